import { describe, expect, expectTypeOf, test } from "vitest"
import { type Kv, KvError, kv } from "../../src/index.ts"
import { memory } from "../../tiers/memory.ts"
import { gatedStore } from "../support/gated-store.ts"

const bytesOf = (text: string) => new Uint8Array(Buffer.from(text))

const openStore = () => kv("cache", { backend: "memory:" })

test("the lines of the contract work as they stand", async () => {
  const bytes = new Uint8Array([0, 255, 10])
  const cache = await openStore()

  await cache.set("user:123", { name: "Alice", plan: "pro" })
  await cache.set("greeting", "hello")
  await cache.set("session:abc", bytes, { ttlMs: 3_600_000 })
  expect(await cache.set("lock:res", { owner: "w1" }, { ifNotExists: true })).toBe(true)
  expect(await cache.set("lock:res", { owner: "w2" }, { ifNotExists: true })).toBe(false)

  expect(await cache.get("user:123")).toEqual(bytesOf('{"name":"Alice","plan":"pro"}'))
  expect(await cache.get("session:abc")).toEqual(bytes)
  expect(await cache.get("nobody")).toBeUndefined()
  expect(await cache.getText("greeting")).toBe("hello")
  expect(await cache.getText("nobody")).toBeUndefined()
  expect(await cache.getJson("user:123")).toEqual({ name: "Alice", plan: "pro" })
  expect(await cache.getJson("lock:res")).toEqual({ owner: "w1" })
  expect(await cache.getJson("nobody")).toBeUndefined()
  expect(await cache.exists("user:123")).toBe(true)

  const found: Record<string, string> = {}
  for await (const { key, value } of cache.scan("user:")) found[key] = Buffer.from(value).toString()
  expect(found).toEqual({ "user:123": '{"name":"Alice","plan":"pro"}' })

  await cache.delete("user:123")
  expect(await cache.exists("user:123")).toBe(false)
  expect(await cache.get("user:123")).toBeUndefined()
  await cache.close()
})

test("the types are those of the contract", () => {
  expectTypeOf<Kv["get"]>().returns.resolves.toEqualTypeOf<Uint8Array | undefined>()
  expectTypeOf<Kv["getText"]>().returns.resolves.toEqualTypeOf<string | undefined>()
  expectTypeOf<Kv["exists"]>().returns.resolves.toEqualTypeOf<boolean>()
  expectTypeOf<Kv["set"]>().returns.resolves.toEqualTypeOf<boolean>()
  expectTypeOf<Kv["peek"]>().returns.toEqualTypeOf<Uint8Array | undefined>()
})

test("JSON has the type that JSON gives back, readonly unless it is the caller's own", async () => {
  interface Session {
    at: Date
    roles: string[]
    pair: [Date, number]
    nested: { id?: bigint; by: { toJSON(): { n: 1 } } | null }
    touch(): void
    optional?: Date
  }
  interface Own {
    at: string
    roles: string[]
    pair: [string, number]
    nested: { id?: never; by: { n: 1 } | null }
    optional?: string
  }
  interface Shared {
    readonly at: string
    readonly roles: readonly string[]
    readonly pair: readonly [string, number]
    readonly nested: { readonly id?: never; readonly by: { readonly n: 1 } | null }
    readonly optional?: string
  }
  const store = await openStore()
  const load = (): Session | undefined => undefined
  const mutable = { mutable: true } as const
  expectTypeOf(store.getJson<Session>("a")).resolves.toEqualTypeOf<Shared | undefined>()
  expectTypeOf(store.getJson<Session>("a", { consistency: "strong" })).resolves.toEqualTypeOf<
    Shared | undefined
  >()
  expectTypeOf(store.getJson<Session>("a", mutable)).resolves.toEqualTypeOf<Own | undefined>()
  expectTypeOf(store.getJson("a")).resolves.toBeUnknown()
  expectTypeOf(store.peekJson<Session>("a")).toEqualTypeOf<Shared | undefined>()
  expectTypeOf(store.getManyJson<Session>(["a"])).resolves.toEqualTypeOf<Map<string, Shared>>()
  expectTypeOf(store.getManyJson<Session>(["a"], mutable)).resolves.toEqualTypeOf<Map<string, Own>>()
  expectTypeOf(store.getOrSet("a", load)).resolves.toEqualTypeOf<Shared | undefined>()
  expectTypeOf(store.getOrSet("a", load, mutable)).resolves.toEqualTypeOf<Own | undefined>()
  expectTypeOf(store.getOrSet("date", () => new Date(0))).resolves.toEqualTypeOf<string | undefined>()
  const text = () => "text" as string
  expectTypeOf(store.getOrSet("b", text, { as: "text" })).resolves.toEqualTypeOf<string | undefined>()
  const bytes = () => new Uint8Array()
  expectTypeOf(store.getOrSet("c", bytes, { as: "bytes" })).resolves.toEqualTypeOf<Uint8Array | undefined>()
  // @ts-expect-error text is stored from a string
  await expect(store.getOrSet("d", () => 1, { as: "text" })).rejects.toMatchObject({ code: "INVALID_VALUE" })

  type Anything = null | number | string | boolean | Anything[] | { [name: string]: Anything }
  const anything: Anything | undefined = await store.getJson<Anything>("e", mutable)
  expect(anything).toBeUndefined()
})

describe("getEntry and versions", () => {
  test("give the value with its version, and its expiry in Unix ms if it has one", async () => {
    const { client, runtime } = await gatedStore()
    const { version } = await client.put("a", "1", { ttlMs: 1_000 })
    expect(await client.getEntry("a")).toEqual({
      key: "a",
      value: bytesOf("1"),
      version,
      expiresAt: runtime.now() + 1_000,
    })
    await client.set("b", "2")
    expect(await client.getEntry("b")).not.toHaveProperty("expiresAt")
    expect(await client.getEntry("c")).toBeUndefined()
  })

  test("a version is new with every write, also of an equal value", async () => {
    const store = await openStore()
    const first = await store.put("a", "1")
    const second = await store.put("a", "1")
    expect(first.version).not.toBe(second.version)
    expect((await store.getEntry("a"))?.version).toBe(second.version)
    for await (const entry of store.scan("a")) expect(entry.version).toBe(second.version)
  })

  test("compare-and-set applies to the current version alone", async () => {
    const store = await openStore()
    const { version = "" } = await store.put("a", "1")
    expect(await store.set("a", "2", { ifVersion: version })).toBe(true)
    expect(await store.set("a", "3", { ifVersion: version })).toBe(false)
    expect(await store.delete("a", { ifVersion: version })).toBe(false)
    expect(await store.getText("a")).toBe("2")
    const current = (await store.getEntry("a"))?.version ?? ""
    expect(await store.delete("a", { ifVersion: current })).toBe(true)
    expect(await store.set("a", "4", { ifVersion: current })).toBe(false)
    expect(await store.delete("a", { ifVersion: current })).toBe(false)
    expect(await store.exists("a")).toBe(false)
  })

  test("a version works in another handle of the same store", async () => {
    const backend = memory()
    const one = await kv("one", { backend })
    const other = await kv("other", { backend })
    const { version = "" } = await one.put("a", "1")
    expect(await other.set("a", "2", { ifVersion: version })).toBe(true)
    expect(await other.set("a", "3", { ifVersion: version })).toBe(false)
  })

  test("a version of another key, or one that nobody gave, is INVALID_VERSION", async () => {
    const { client, gate } = await gatedStore()
    const { version = "" } = await client.put("a", "1")
    for (const wrong of [
      ["b", version],
      ["a", ""],
      ["a", "1"],
      ["a", version.split(".").slice(0, 2).join(".")],
      ["a", `${version} `],
      ["a", `x${version}`],
    ] as const) {
      await expect(client.set(wrong[0], "2", { ifVersion: wrong[1] })).rejects.toMatchObject({
        code: "INVALID_VERSION",
        key: wrong[0],
      })
      await expect(client.delete(wrong[0], { ifVersion: wrong[1] })).rejects.toMatchObject({
        code: "INVALID_VERSION",
      })
    }
    expect(gate.count()).toBe(1)
  })
})

describe("put", () => {
  test("says whether it was applied, the version and the expiry", async () => {
    const { client, runtime } = await gatedStore()
    const expiresAt = runtime.now() + 50
    expect(await client.put("a", "1", { ttlMs: 50 })).toEqual({
      applied: true,
      version: expect.any(String),
      expiresAt,
    })
    expect(await client.put("b", "1")).toEqual({ applied: true, version: expect.any(String) })
    expect(await client.put("a", "2", { ifNotExists: true, ttlMs: 9 })).toEqual({ applied: false })
  })
})

describe("many keys", () => {
  test("getMany gives the present ones, by key; duplicates are one", async () => {
    const { client, gate } = await gatedStore()
    await client.setMany(
      new Map([
        ["a", "1"],
        ["b", "2"],
      ]),
    )
    expect(await client.getMany(["a", "b", "c", "a"])).toEqual(
      new Map([
        ["a", bytesOf("1")],
        ["b", bytesOf("2")],
      ]),
    )
    expect(gate.count("get")).toBe(3)
    expect(await client.getManyText(new Set(["b", "nobody"]))).toEqual(new Map([["b", "2"]]))
    expect(await client.getManyJson<number>(["a", "b"])).toEqual(
      new Map([
        ["a", 1],
        ["b", 2],
      ]),
    )
    expect(await client.getMany([])).toEqual(new Map())
  })

  test("keys and entries may come from any iterable, such as a generator", async () => {
    const store = await openStore()
    await store.setMany(
      (function* () {
        yield ["a", "1"] as const
        yield ["b", { two: 2 }] as const
        yield ["c", new Uint8Array([3])] as const
      })(),
      { ttlMs: 60_000 },
    )
    const keys = function* () {
      yield* ["a", "b", "c"]
    }
    expect((await store.getMany(keys())).size).toBe(3)
    expect((await store.getEntry("b"))?.expiresAt).toBeGreaterThan(Date.now())
    await store.deleteMany(keys())
    expect((await store.getMany(keys())).size).toBe(0)
  })

  test("setMany writes the last value of a key that comes twice", async () => {
    const store = await openStore()
    await store.setMany([
      ["a", "first"],
      ["b", "other"],
      ["a", "last"],
    ])
    expect(await store.getManyText(["a", "b"])).toEqual(
      new Map([
        ["a", "last"],
        ["b", "other"],
      ]),
    )
  })

  test("any number of keys is split into batches of what the backend takes", async () => {
    const { client, gate } = await gatedStore()
    const keys = Array.from({ length: 2_345 }, (_, index) => `key:${index}`)
    await client.setMany(keys.map((key) => [key, key] as const))
    expect(gate.calls.map((call) => call.keys.length)).toEqual([1_000, 1_000, 345])
    const found = await client.getManyText(keys)
    expect(keys.every((key) => found.get(key) === key)).toBe(true)
    await client.deleteMany(keys)
    expect((await client.getMany(keys)).size).toBe(0)
    await client.setMany([])
    await client.deleteMany([])
  })

  test("getMany rejects if one key cannot be read, because that key must not look absent", async () => {
    const { client, gate } = await gatedStore()
    await client.set("a", "1")
    gate.script("get", "pass", { fail: new KvError("CORRUPT_ENTRY", "torn", { operation: "get" }) })
    await expect(client.getMany(["a", "b"])).rejects.toMatchObject({ code: "CORRUPT_ENTRY" })
    expect((await client.getMany(["a", "b"])).size).toBe(1)
  })
})

describe("peek", () => {
  test("answers from L1 alone, without a promise", async () => {
    const { client, gate } = await gatedStore()
    await client.set("a", { n: 1 })
    expect(client.peek("a")).toBeUndefined()
    await client.get("a")
    const asked = gate.count()
    expect(client.peek("a")).toEqual(bytesOf('{"n":1}'))
    expect(client.peekText("a")).toBe('{"n":1}')
    expect(client.peekJson("a")).toEqual({ n: 1 })
    await client.get("nobody")
    expect(client.peek("nobody")).toBeUndefined()
    expect(gate.count()).toBe(asked + 1)
  })
})

describe("consistency", () => {
  test('"strong" asks the backend on every read, "cached" does so once', async () => {
    const { client, gate, elsewhere } = await gatedStore()
    await elsewhere.put("a", "1")
    await client.getText("a", { consistency: "cached" })
    await elsewhere.put("a", "2")
    expect(await client.getText("a")).toBe("1")

    const strong = { consistency: "strong" } as const
    expect(await client.getText("a", strong)).toBe("2")
    expect(await client.get("a", strong)).toEqual(bytesOf("2"))
    expect(await client.getJson("a", strong)).toBe(2)
    expect((await client.getEntry("a", strong))?.value).toEqual(bytesOf("2"))
    expect(await client.getManyText(["a"], strong)).toEqual(new Map([["a", "2"]]))
    expect(await client.exists("a", strong)).toBe(true)
    expect(await client.getOrSet("a", () => "loaded", strong)).toBe(2)
    expect(gate.count()).toBe(8)
  })
})

describe("exists", () => {
  test("is answered by L1 where it knows, else by the backend without reading the value", async () => {
    const { client, gate, elsewhere } = await gatedStore()
    await elsewhere.put("a", "1")
    expect(await client.exists("a")).toBe(true)
    expect(await client.exists("b")).toBe(false)
    expect([gate.count("exists"), gate.count("get")]).toEqual([2, 0])
    await client.getMany(["a", "b"], { fill: true })
    expect(await client.exists("a")).toBe(true)
    expect(await client.exists("b")).toBe(false)
    expect(gate.count("exists")).toBe(2)
  })

  test("with strong consistency corrects what L1 holds", async () => {
    const { client, elsewhere } = await gatedStore()
    await elsewhere.put("a", "1")
    await client.getMany(["a", "b"], { fill: true })
    await elsewhere.delete("a")
    await elsewhere.put("b", "2")
    expect(await client.exists("a")).toBe(true)
    expect(await client.exists("a", { consistency: "strong" })).toBe(false)
    expect(await client.exists("b", { consistency: "strong" })).toBe(true)
    expect(await client.getText("a")).toBeUndefined()
    expect(await client.getText("b")).toBe("2")
  })
})

describe("delete", () => {
  test("is true if the entry is gone, also if it was not there", async () => {
    const store = await openStore()
    await store.set("a", "1")
    expect(await store.delete("a")).toBe(true)
    expect(await store.delete("a")).toBe(true)
    expect(await store.exists("a")).toBe(false)
  })
})

describe("invalidate", () => {
  test("drops one key, or everything, from L1; the backend keeps it", async () => {
    const { client, elsewhere } = await gatedStore()
    await client.setMany([
      ["a", "1"],
      ["b", "1"],
    ])
    await client.getMany(["a", "b", "c"], { fill: true })
    await elsewhere.put("a", "2")
    await elsewhere.put("c", "2")
    client.invalidate("a")
    expect(client.peekText("b")).toBe("1")
    expect(await client.getText("a")).toBe("2")
    expect(await client.getText("c")).toBeUndefined()
    client.invalidate()
    expect(client.peek("b")).toBeUndefined()
    expect(await client.getText("c")).toBe("2")
  })
})
