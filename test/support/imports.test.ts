import { describe, expect, test } from "vitest"
import { brokenRules, type Room } from "./import-rules.ts"
import { circlesIn, importsOf, loadedBy, type Tree } from "./imports.ts"
import { reachInsOf } from "./reach-ins.ts"

describe("the imports of a file", () => {
  const kinds = (text: string) => importsOf({ "a/b.ts": text }).map(({ kind, to }) => [kind, to])

  test.each([
    ["import", `import a, { type A } from "./c.ts"`, [["value", "a/c.ts"]]],
    ["import for its effects", `import "../c.ts"`, [["value", "c.ts"]]],
    [
      "import of types one by one, which loads the file",
      `import { type A } from "./c.ts"`,
      [["value", "a/c.ts"]],
    ],
    ["import type", `import type { A } from "sdk"`, [["type", "sdk"]]],
    ["export from", `export { a } from "./c.ts"`, [["value", "a/c.ts"]]],
    ["export all from", `export * from "./c.ts"`, [["value", "a/c.ts"]]],
    ["export type from", `export type { A } from "./c.ts"`, [["type", "a/c.ts"]]],
    ["typeof import()", `type Sdk = typeof import("sdk")`, [["type", "sdk"]]],
    ["import()", `const a = (await import("./c.ts")).a`, [["dynamic", "a/c.ts"]]],
    ["import() of what is not known before it runs", "await import(name)", [["dynamic", "name"]]],
    ["no import", `export const text = 'import "c"' // import "d"`, []],
  ])("%s", (_, text, expected) => {
    expect(kinds(text)).toEqual(expected)
  })

  test("a file that cannot be parsed is an error, not a file without imports", () => {
    expect(() => importsOf({ "a.ts": `import {` })).toThrow("a.ts cannot be parsed")
  })
})

describe("circles among imports", () => {
  const circles = (tree: Tree) => circlesIn(importsOf(tree))

  test("two files that import each other are a circle, though only as types", () => {
    const tree = { "a.ts": `import type { B } from "./b.ts"`, "b.ts": `import type { A } from "./a.ts"` }
    expect(circles(tree)).toEqual(["a.ts → b.ts → a.ts"])
  })

  test("files that import each other by way of others are one circle", () => {
    const tree = {
      "start.ts": `import "./x/a.ts"`,
      "x/a.ts": `import "./b.ts"`,
      "x/b.ts": `export * from "../c.ts"; import "./d.ts"`,
      "c.ts": `await import("./x/a.ts")`,
      "x/d.ts": "",
    }
    expect(circles(tree)).toEqual(["x/a.ts → x/b.ts → c.ts → x/a.ts"])
  })

  test("two circles are both found, also where one file leads into both", () => {
    const tree = {
      "a.ts": `import "./b.ts"; import "./c.ts"`,
      "b.ts": `import "./a.ts"`,
      "c.ts": `import "./d.ts"`,
      "d.ts": `import "./c.ts"`,
    }
    expect(circles(tree)).toEqual(["a.ts → b.ts → a.ts", "c.ts → d.ts → c.ts"])
  })

  test("files that share what they import are no circle", () => {
    const tree = { "a.ts": `import "./b.ts"; import "./c.ts"`, "b.ts": `import "./c.ts"`, "c.ts": "" }
    expect(circles(tree)).toEqual([])
  })
})

describe("import rules", () => {
  const ROOMS: readonly Room[] = [
    { files: ["tiers/redis/"], values: ["tiers/redis/", "tiers/errors.ts"], dynamic: ["ioredis"] },
    { files: ["tiers/errors.ts"] },
    { files: ["src/"], values: ["src/"], types: ["tiers/redis/"] },
  ]
  const broken = (tree: Tree) => brokenRules(tree, importsOf(tree), ROOMS)

  test("an SDK may be imported as a type and by import(), and no other way", () => {
    const allowed = `import type { Redis } from "ioredis"\nawait import("ioredis")\nimport "node:fs"`
    expect(broken({ "tiers/redis/backend.ts": allowed })).toEqual([])
    expect(broken({ "tiers/redis/backend.ts": `\nimport { Redis } from "ioredis"` })).toEqual([
      "tiers/redis/backend.ts:2 imports ioredis",
    ])
  })

  test("a file imports what its folder may, in the way in which it may", () => {
    expect(broken({ "src/a.ts": `import type { A } from "../tiers/redis/a.ts"\nimport "./b.ts"` })).toEqual(
      [],
    )
    expect(broken({ "src/a.ts": `import { a } from "../tiers/redis/a.ts"` })).toEqual([
      "src/a.ts:1 imports tiers/redis/a.ts",
    ])
    expect(broken({ "src/a.ts": `await import("../tiers/redis/a.ts")` })).toEqual([
      "src/a.ts:1 loads by import() tiers/redis/a.ts",
    ])
    expect(broken({ "tiers/redis/a.ts": `import type { A } from "../../src/a.ts"` })).toEqual([
      "tiers/redis/a.ts:1 imports a type from src/a.ts",
    ])
  })

  test("a name that only begins like an allowed one is not allowed", () => {
    expect(
      broken({ "tiers/redis/a.ts": `import "../redis-other/a.ts"; await import("ioredis-mock")` }),
    ).toEqual([
      "tiers/redis/a.ts:1 imports tiers/redis-other/a.ts",
      "tiers/redis/a.ts:1 loads by import() ioredis-mock",
    ])
  })

  test("a file of a folder without a rule is told", () => {
    expect(broken({ "tiers/new/a.ts": "" })).toEqual(["tiers/new/a.ts is in no room"])
  })
})

test("an entry loads what it imports as values, by way of others too, and nothing else", () => {
  const tree = {
    "entry.ts": `import "./a.ts"; import type { B } from "./b.ts"; await import("./c.ts")`,
    "a.ts": `export { Redis } from "ioredis"`,
    "b.ts": `import "lmdb"`,
    "c.ts": `import "lru-cache"`,
  }
  expect([...loadedBy("entry.ts", importsOf(tree))]).toEqual(["entry.ts", "a.ts", "ioredis"])
})

describe("reaches into a package", () => {
  const found = (text: string) => {
    const tree = { "src/a.ts": text }
    return reachInsOf(tree, importsOf(tree)).map(({ line, what }) => `${line} ${what}`)
  }

  test.each([
    [`import { A } from "sdk/build/a.js"`, "1 sdk/build/a.js"],
    [`import type { A } from "@scope/sdk/a"`, "1 @scope/sdk/a"],
    [`await import("../node_modules/sdk/a.js")`, "1 node_modules/sdk/a.js"],
    [`\nconst a = createRequire(import.meta.url)("sdk")`, "2 createRequire"],
    [`const a = Symbol.for("sdk")`, `1 Symbol.for("sdk")`],
    [`const a = createContextKey("sdk")`, `1 createContextKey("sdk")`],
    ["const a = client._socket.fd", "1 client._socket"],
    [`const a = client?.["_socket"]`, `1 client?.["_socket"]`],
    ["const { _socket: socket } = client", "1 _socket: socket"],
    ["function a({ _socket }: Client) {}", "1 _socket"],
    [`if ("_socket" in client) {}`, `1 "_socket"`],
  ])("%s", (text, expected) => {
    expect(found(text)).toEqual([expected])
  })

  test.each([
    `import { A } from "@scope/sdk"; import { b } from "../b.ts"; import "node:fs/promises"`,
    "const a = { _id: 1 }; const _b = a.id",
    "class A { _a = 1; b() { return this._a } }",
  ])("%s is none", (text) => {
    expect(found(text)).toEqual([])
  })
})
