import { execFile } from "node:child_process"
import { mkdtemp, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { type Built, build } from "../support/built.ts"

/** Far more than any of these scripts takes, and far less than a forgotten timer or socket would. */
const PATIENCE_MS = 20_000

let built: Built
let cwd: string
beforeAll(async () => {
  built = await build()
  cwd = await mkdtemp(join(tmpdir(), "tiered-kv-process-"))
})
afterAll(async () => {
  await built.remove()
  await rm(cwd, { recursive: true, force: true })
})

interface Ended {
  code: number | string | null | undefined
  killed: boolean
  stdout: string
  stderr: string
}

/** Runs a module, with `kv`, `memory` and `KvError` imported, until it ends by itself. */
function script(
  code: string,
  options: { flags?: string[]; environment?: NodeJS.ProcessEnv } = {},
): Promise<Ended> {
  const from = (name: string) => JSON.stringify(`file://${built.file(name)}`)
  const imports = [
    `import { kv, KvError } from ${from("src/index.js")}`,
    `import { memory } from ${from("tiers/memory.js")}`,
  ]
  return run([...imports, code].join("\n"), options)
}

function run(
  code: string,
  { flags = [], environment = {} }: { flags?: string[]; environment?: NodeJS.ProcessEnv } = {},
): Promise<Ended> {
  const args = [...flags, "--unhandled-rejections=strict", "--input-type=module", "-e", code]
  const env = { ...process.env, NODE_ENV: "test", NODE_OPTIONS: "", ...environment }
  return new Promise((resolve) => {
    execFile(process.execPath, args, { cwd, env, timeout: PATIENCE_MS }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : error.code, killed: error?.killed ?? false, stdout, stderr })
    })
  })
}

const cleanly = (stdout: string) => ({ code: 0, killed: false, stdout, stderr: "" })

describe("a script ends by itself, though its store is open", () => {
  test("with a store of memory, whose L1 has a clock and timers", async () => {
    const code = `
      const store = await kv("a", { backend: "memory:" })
      await store.set("a", "1", { ttlMs: 3_600_000 })
      await store.get("a")
      await store.get("absent")
      console.log(store.peekText("a"))`
    expect(await script(code)).toEqual(cleanly("1\n"))
  })

  test("with a store of LMDB, the default, which keeps what was written", async () => {
    const write = `
      const store = await kv("lingering")
      await store.set("a", "1", { ttlMs: 3_600_000 })
      console.log(await store.getText("a"))`
    const read = `
      const store = await kv("lingering")
      console.log(await store.getText("a"))
      await store.close()`
    expect(await script(write)).toEqual(cleanly("1\n"))
    expect(await script(read)).toEqual(cleanly("1\n"))
  })

  test("with a quarantine, a load and a refresh that never ends under way", async () => {
    const code = `
      const table = memory()
      const lost = async () => { throw new KvError("OUTCOME_UNKNOWN", "no reply", { operation: "put" }) }
      const store = await kv("a", { backend: { ...table, delete: lost } })
      await store.delete("a").catch((error) => console.log(error.code))
      await store.set("b", "1", { ttlMs: 60_000 })
      await store.getOrSet("b", () => new Promise(() => {}), { ttlMs: 60_000, refreshAheadMs: 59_999 })
      void store.getOrSet("c", () => new Promise(() => {}))`
    expect(await script(code)).toMatchObject({ ...cleanly("OUTCOME_UNKNOWN\n") })
  })

  test("over a network", async () => {
    const code = `
      const table = memory()
      const backend = { ...table, traits: { ...table.traits, inProcess: false } }
      const store = await kv("a", { backend, timeoutMs: 600_000 })
      await store.set("a", "1", { ttlMs: 3_600_000 })
      console.log(await store.getText("a"))`
    expect(await script(code)).toEqual(cleanly("1\n"))
  })

  test("at once, not after the time to live of anything", async () => {
    const startedAt = performance.now()
    await script(
      'const store = await kv("a", { backend: "memory:" }); await store.set("a", "1"); await store.get("a")',
    )
    expect(performance.now() - startedAt).toBeLessThan(4_500)
  })
})

test("a script does not end in the middle of a call that it awaits, between two attempts or without an answer", async () => {
  const code = `
    const table = memory()
    let attempts = 0
    const get = async (key) => {
      if (++attempts < 3) throw new KvError("UNAVAILABLE", "down", { operation: "get" })
      return table.get(key)
    }
    const put = () => new Promise(() => {})
    const backend = { ...table, traits: { ...table.traits, inProcess: false }, get, put, probe: put }
    const store = await kv("a", { backend, timeoutMs: 500 })
    console.log(await store.get("a"))
    console.log(await store.set("a", "1").catch((error) => error.code))`
  expect(await script(code)).toEqual(cleanly("undefined\nOUTCOME_UNKNOWN\n"))
})

describe("no rejection goes unhandled", () => {
  test("of calls that were given up, of loads that nobody waits for, of refreshes and batches that fail", async () => {
    const code = `
      const table = memory()
      const turn = () => new Promise((resolve) => setTimeout(resolve, 5))
      const down = async () => {
        await turn()
        throw new KvError("UNAVAILABLE", "down", { operation: "any" })
      }
      const failing = { ...table, get: down, getMany: down, exists: down, put: down, putMany: down, delete: down, deleteMany: down, scan: down }
      for (const inProcess of [true, false]) {
        const backend = { ...failing, traits: { ...table.traits, inProcess } }
        const store = await kv("a", { backend, timeoutMs: 50 })
        const calls = (signal) => [
          store.get("a", signal), store.get("a", { ...signal, consistency: "strong" }),
          store.getMany(["a", "b", "c"], signal), store.exists("a", signal),
          store.set("a", "1", signal), store.setMany([["a", "1"], ["b", "2"]], signal),
          store.delete("a", signal), store.deleteMany(["a", "b"], signal),
          store.scan("", signal).next(), store.scanPage("", signal), store.getOrSet("a", () => 1, signal),
        ]
        const controller = new AbortController()
        const given = [...calls({}), ...calls({ signal: controller.signal })]
        const outcomes = Promise.allSettled(given)
        controller.abort(new Error("given up"))
        console.log((await outcomes).every(({ status }) => status === "rejected"))
        await store.close()
      }

      const store = await kv("b", { backend: "memory:" })
      const gone = new AbortController()
      const rejecting = async () => {
        await turn()
        throw new Error("origin")
      }
      const abandoned = store.getOrSet("x", rejecting, { signal: gone.signal }).catch((error) => console.log(error.message))
      gone.abort(new Error("gone"))
      await abandoned
      await store.set("y", "1", { ttlMs: 1_000 })
      console.log(await store.getOrSet("y", rejecting, { ttlMs: 1_000, refreshAheadMs: 999, as: "text" }))
      await turn()
      await turn()
      await store.close()
      await turn()
      console.log("end")`
    expect(await script(code)).toEqual(cleanly("true\ntrue\ngone\n1\nend\n"))
  })
})

describe("what a script loads", () => {
  const FOREIGN =
    /node_modules\/(@aws-sdk|@smithy|@google-cloud|google-gax|@grpc|@azure|ioredis|lmdb|@opentelemetry)\//

  /** The modules that a script loads, by a hook that lists them. */
  async function loadedBy(code: string): Promise<string[]> {
    const list = join(cwd, "loaded.txt")
    await rm(list, { force: true })
    const hooks = `
      import { appendFileSync } from "node:fs"
      export function load(url, context, next) {
        appendFileSync(process.env.LOADED, url + "\\n")
        return next(url, context)
      }`
    const dataUrl = (text: string) => `data:text/javascript,${encodeURIComponent(text)}`
    // Node 26 warns of \`register\`, and Node 20 has no \`registerHooks\`.
    const register = `
      import module from "node:module"
      if (module.registerHooks) module.registerHooks(await import(${JSON.stringify(dataUrl(hooks))}))
      else module.register(${JSON.stringify(dataUrl(hooks))})`
    const ended = await run(code, { flags: ["--import", dataUrl(register)], environment: { LOADED: list } })
    expect(ended).toEqual(cleanly(""))
    return (await readFile(list, "utf8")).split("\n")
  }

  /** The files of the package among them. Each costs a start as much as a few thousand lines in one file. */
  const filesOf = (loaded: string[]) =>
    loaded.flatMap((url) => /\/tiered-kv-built-[^/]*\/dist\/(.*)$/.exec(url)?.[1] ?? []).sort()

  const main = () => JSON.stringify(`file://${built.file("src/index.js")}`)

  test("importing the main entry loads no SDK, no LMDB, no OpenTelemetry and no backend", async () => {
    const loaded = await loadedBy(`import { kv } from ${main()}; void kv`)
    expect(loaded.filter((url) => FOREIGN.test(url))).toEqual([])
    expect(filesOf(loaded)).toEqual(["chunks/base.js", "chunks/core.js", "src/index.js"])
  })

  test.each([
    ["memory:", []],
    ["lmdb:of-few-files", ["tiers/lmdb/backend.js"]],
  ])("opening a store on %s and reading from it loads %s besides", async (backend, files) => {
    const open = `const store = await kv("a", { backend: "${backend}" }); await store.getText("b"); await store.close()`
    const loaded = await loadedBy(`import { kv } from ${main()}; ${open}`)
    expect(filesOf(loaded)).toEqual(["chunks/base.js", "chunks/core.js", "src/index.js", ...files])
  })

  test("opening a store on memory and reading a key loads no part of Node but what its first lines need", async () => {
    const code = `
      const before = new Set(process.moduleLoadList)
      const { kv } = await import(${main()})
      const store = await kv("a", { backend: "memory:" })
      if ((await store.getText("absent")) !== undefined) throw new Error("there")
      const loaded = process.moduleLoadList.filter((name) => !before.has(name))
      process.stdout.write(loaded.join("\\n"))`
    const { stdout } = await run(code)
    const heavy = /crypto|stream|worker|NativeModule module$|timers.promises/
    expect(stdout.split("\n").filter((name) => heavy.test(name))).toEqual([])
    expect(stdout).not.toBe("")
  })

  test("each backend loads its own package and no other's", async () => {
    const owned = /node_modules\/(@aws-sdk|@google-cloud|@azure|ioredis|lmdb)\//
    const packagesOf = async (url: string) => {
      const open = `await (await kv("a", { backend: "${url}", timeoutMs: 500 }).catch(() => {}))?.close()`
      const loaded = await loadedBy(`import { kv } from ${main()}; ${open}`)
      return [...new Set(loaded.map((url) => owned.exec(url)?.[1]).filter((name) => name !== undefined))]
    }
    expect(await packagesOf("memory:")).toEqual([])
    expect(await packagesOf("lmdb:of-its-own")).toEqual(["lmdb"])
  })
})
