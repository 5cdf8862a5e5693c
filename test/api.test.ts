import { describe, expect, expectTypeOf, test } from "vitest"
import { type Entry, type Kv, KvError, kv } from "../src/index.ts"
import { memory } from "../tiers/memory.ts"
import { gatedStore } from "./gated-store.ts"

const bytesOf = (text: string) => new Uint8Array(Buffer.from(text))

const openStore = () => kv("cache", { backend: "memory:" })

async function keysOf(entries: AsyncIterable<Entry>): Promise<string[]> {
  const keys: string[] = []
  for await (const { key } of entries) keys.push(key)
  return keys
}

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

describe("values", () => {
  const values = {
    "empty text": "",
    "text beyond the BMP": "naïve ☕ 🤷🏽",
    "text with a byte order mark": "\uFEFFhello",
    "text with a NUL": "a\0b",
    "text that looks like a number": "42",
    "text that looks like JSON": '{"a":1}',
    "text of 24,576 bytes": "é".repeat(12_288),
  }
  for (const [name, text] of Object.entries(values)) {
    test(`${name} comes back as it went in, from either tier`, async () => {
      const store = await openStore()
      await store.set("a", text)
      for (const tier of ["l2", "l1"]) {
        expect(await store.getText("a"), tier).toBe(text)
        expect(await store.get("a"), tier).toEqual(bytesOf(text))
      }
      expect(store.peekText("a")).toBe(text)
    })
  }

  const bytes = {
    "no bytes": new Uint8Array(),
    "every byte": Uint8Array.from({ length: 256 }, (_, byte) => byte),
    "bytes that are no UTF-8": new Uint8Array([0xc3, 0x28, 0xff]),
    "a Buffer": Buffer.from("buffer"),
    "a view into something larger": new Uint8Array(bytesOf("0123456789").buffer, 3, 4),
    "24,576 bytes": new Uint8Array(24_576).fill(7),
  }
  for (const [name, value] of Object.entries(bytes)) {
    test(`${name} come back as they went in, from either tier`, async () => {
      const store = await openStore()
      await store.set("a", value)
      for (const tier of ["l2", "l1"]) expect(await store.get("a"), tier).toEqual(new Uint8Array(value))
      expect(store.peek("a")).toEqual(new Uint8Array(value))
    })
  }

  for (const value of [0, -1.5, true, false, null, [], {}, [1, [2]], { a: { b: null } }]) {
    test(`${JSON.stringify(value)} is stored as JSON`, async () => {
      const store = await openStore()
      await store.set("a", value)
      for (const tier of ["l2", "l1", "l1 again"]) expect(await store.getJson("a"), tier).toEqual(value)
      expect(store.peekJson("a")).toEqual(value)
      expect(await store.getText("a")).toBe(JSON.stringify(value))
    })
  }

  test("what is falsy is no miss: it is there, and L1 answers with it", async () => {
    const { client, gate } = await gatedStore()
    await client.setMany([
      ["zero", 0],
      ["no", false],
      ["null", null],
      ["empty", ""],
    ])
    for (const round of [1, 2]) {
      expect(await client.getJson("zero"), `round ${round}`).toBe(0)
      expect(await client.getJson("no")).toBe(false)
      expect(await client.getJson("null")).toBeNull()
      expect(await client.getText("empty")).toBe("")
      expect(await client.exists("null")).toBe(true)
    }
    expect(gate.count("get")).toBe(4)
    expect(await client.getOrSet("null", () => "never loaded")).toBeNull()
  })

  test("a Date is stored as its JSON, and an object by its toJSON", async () => {
    const store = await openStore()
    await store.set("date", new Date(0))
    await store.set("own", { toJSON: () => ({ kept: true }) })
    expect(await store.getJson("date")).toBe("1970-01-01T00:00:00.000Z")
    expect(await store.getJson("own")).toEqual({ kept: true })
  })

  test("bytes that are not UTF-8, or not JSON, are no miss either: INVALID_VALUE says how to read them", async () => {
    const store = await openStore()
    await store.set("bytes", new Uint8Array([0xff]))
    await store.set("text", "{oops")
    for (const tier of ["l2", "l1"]) {
      await expect(store.getText("bytes"), tier).rejects.toMatchObject({
        code: "INVALID_VALUE",
        key: "bytes",
      })
      await expect(store.getJson("bytes"), tier).rejects.toMatchObject({ code: "INVALID_VALUE" })
      await expect(store.getJson("text"), tier).rejects.toThrow(
        /not JSON; read it with getText\(\) or get\(\)/,
      )
      await expect(store.getManyJson(["text"]), tier).rejects.toMatchObject({ code: "INVALID_VALUE" })
    }
    expect(() => store.peekText("bytes")).toThrow(KvError)
    expect(() => store.peekJson("text")).toThrow(KvError)
  })
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

  test("one of another key, or one that nobody gave, is INVALID_VERSION", async () => {
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

  test("any iterable will do, a generator too", async () => {
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

  test("of a key that comes twice, the last value is written", async () => {
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

  test("any number of them, in batches of what the backend takes", async () => {
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

  test("one key that cannot be read rejects the whole, because it must not look absent", async () => {
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

  test("asked strongly, it corrects what L1 holds", async () => {
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

describe("scan", () => {
  test('gives every match, page by page, and "" is every key', async () => {
    const { client, gate } = await gatedStore()
    const keys = Array.from({ length: 25 }, (_, index) => `user:${index}`)
    await client.setMany([...keys, "other"].map((key) => [key, key] as const))
    expect((await keysOf(client.scan("user:", { limit: 10 }))).sort()).toEqual([...keys].sort())
    expect(gate.count("scan")).toBe(3)
    expect(await keysOf(client.scan(""))).toHaveLength(26)
    expect(await keysOf(client.scan("none:"))).toEqual([])
  })

  test("reads a page when the loop gets to it, and none after a break", async () => {
    const { client, gate } = await gatedStore()
    await client.setMany(Array.from({ length: 30 }, (_, index) => [`k${index}`, "v"] as const))
    const iterator = client.scan("k", { limit: 10 })
    expect(gate.count("scan")).toBe(0)
    for await (const { key } of iterator) if (key === "k0") break
    expect(gate.count("scan")).toBe(1)
    expect(await iterator.next()).toEqual({ done: true, value: undefined })
  })

  test("can be gone through by pages, whose cursors hold in another handle", async () => {
    const backend = memory()
    const one = await kv("one", { backend })
    const other = await kv("other", { backend })
    await one.setMany(["a1", "a2", "a3", "b1"].map((key) => [key, key] as const))
    const first = await one.scanPage("a", { limit: 2 })
    expect(first.entries.map(({ key }) => key)).toEqual(["a1", "a2"])
    const second = await other.scanPage("a", { limit: 2, cursor: first.nextCursor ?? "" })
    expect(second.entries.map(({ key }) => key)).toEqual(["a3"])
    expect(second).not.toHaveProperty("nextCursor")
    expect(await keysOf(one.scan("a", { limit: 1, cursor: first.nextCursor ?? "" }))).toEqual(["a3"])
  })

  test("a cursor of another prefix, a damaged one, or none of ours is INVALID_CURSOR", async () => {
    const { client, gate } = await gatedStore()
    await client.setMany(["a1", "a2", "b1", "b2"].map((key) => [key, key] as const))
    const { nextCursor = "" } = await client.scanPage("a", { limit: 1 })
    const scans = gate.count("scan")
    const damaged = `${nextCursor.slice(0, -2)}${nextCursor.endsWith("A") ? "BB" : "AA"}`
    for (const [prefix, cursor] of [
      ["b", nextCursor],
      ["", nextCursor],
      ["a", damaged],
      ["a", `${nextCursor}.x`],
      ["a", ""],
      ["a", "a1"],
    ] as const) {
      await expect(client.scanPage(prefix, { cursor })).rejects.toMatchObject({ code: "INVALID_CURSOR" })
      await expect(keysOf(client.scan(prefix, { cursor }))).rejects.toMatchObject({ code: "INVALID_CURSOR" })
    }
    expect(gate.count("scan")).toBe(scans)
  })
})

describe("getOrSet", () => {
  test("loads an absent key, stores what was loaded, and does not load again", async () => {
    const { client, elsewhere } = await gatedStore()
    const asked: string[] = []
    const load = async ({ key, signal }: { key: string; signal: AbortSignal }) => {
      asked.push(key)
      expect(signal.aborted).toBe(false)
      return { plan: "pro" }
    }
    for (const round of [1, 2, 3]) {
      expect(await client.getOrSet("user:1", load, { ttlMs: 60_000 }), `${round}`).toEqual({ plan: "pro" })
    }
    expect(asked).toEqual(["user:1"])
    expect(await elsewhere.text("user:1")).toBe('{"plan":"pro"}')
  })

  test.each([
    ["json", "text", '"text"'],
    ["json", { a: [1] }, '{"a":[1]}'],
    ["text", "text", "text"],
    ["bytes", bytesOf("\x00é"), "\x00é"],
  ] as const)("as %s, %j comes back as the loader returned it, on every call", async (as, value, stored) => {
    const { client, elsewhere } = await gatedStore()
    for (const tier of ["loader", "l2", "l1"]) {
      expect(await client.getOrSet<unknown>("a", () => value, { as }), tier).toEqual(value)
    }
    expect(await elsewhere.text("a")).toBe(stored)
  })

  test("what does not fit the form is INVALID_VALUE, and nothing is stored", async () => {
    const { client, elsewhere } = await gatedStore()
    const wrong = [
      ["json", bytesOf("a"), /as: "bytes"/],
      ["text", { a: 1 }, /as: "json"/],
      ["bytes", "text", /as: "json"/],
      ["json", Symbol("none"), /JSON cannot represent/],
      ["text", "x".repeat(24_577), /24576/],
    ] as const
    for (const [as, value, message] of wrong) {
      const call = client.getOrSet<unknown>("a", () => value, { as })
      await expect(call).rejects.toMatchObject({
        code: "INVALID_VALUE",
        message: expect.stringMatching(message),
      })
    }
    expect(elsewhere.rows()).toBe(0)
  })

  test("undefined from the loader means that there is none: nothing is stored", async () => {
    const { client, elsewhere } = await gatedStore()
    expect(await client.getOrSet("a", () => undefined)).toBeUndefined()
    expect(elsewhere.rows()).toBe(0)
    expect(await client.getOrSet("a", () => 1)).toBe(1)
  })

  test("the loader's error passes through untouched, and the next call loads again", async () => {
    const { client } = await gatedStore()
    const failure = new TypeError("the origin is down")
    await expect(client.getOrSet("a", () => Promise.reject(failure))).rejects.toBe(failure)
    const thrown = () => {
      throw failure
    }
    await expect(client.getOrSet("a", thrown)).rejects.toBe(failure)
    expect(await client.getOrSet("a", () => 1)).toBe(1)
  })

  test("loads ahead of the expiry in the background, over the version that was hit", async () => {
    const { client, runtime, elsewhere } = await gatedStore()
    let loads = 0
    const options = { ttlMs: 1_000, refreshAheadMs: 300 }
    const read = () => client.getOrSet("a", () => ++loads, options)
    expect(await read()).toBe(1)
    await runtime.advance(600)
    expect(await read()).toBe(1)
    expect(loads).toBe(1)
    await runtime.advance(150)
    expect(await read()).toBe(1)
    await runtime.advance(0)
    expect(loads).toBe(2)
    expect(await elsewhere.text("a")).toBe("2")
    expect(await read()).toBe(2)
  })

  test("a refresh does not undo what was written meanwhile, and its failure leaves the entry as it is", async () => {
    const { client, runtime } = await gatedStore()
    const options = { ttlMs: 1_000, refreshAheadMs: 999 }
    await client.getOrSet("a", () => "old", options)
    await runtime.advance(10)
    const failing = () => Promise.reject(new Error("down"))
    expect(await client.getOrSet("a", failing, options)).toBe("old")
    await runtime.advance(0)
    expect(await client.getText("a")).toBe('"old"')
    expect(client.stats().loader.errors).toBe(1)

    let finish: (value: string) => void = () => {}
    const slow = () => new Promise<string>((resolve) => (finish = resolve))
    expect(await client.getOrSet("a", slow, options)).toBe("old")
    await client.set("a", '"written"')
    finish("refreshed")
    await runtime.advance(0)
    expect(await client.getText("a")).toBe('"written"')
  })

  test("a loader that asks for its own key on the spot is told so, instead of waiting for itself", async () => {
    const store = await openStore()
    const recursive = () => store.getOrSet("a", () => 1)
    await expect(store.getOrSet("a", recursive)).rejects.toMatchObject({
      code: "INVALID_OPTION",
      message: expect.stringContaining("wait for itself"),
    })
    expect(await store.getOrSet("a", () => 2)).toBe(2)
  })

  test("a load is aborted once nobody waits for it, stores nothing then, and not a moment before", async () => {
    const { client, runtime, elsewhere } = await gatedStore()
    const signals: AbortSignal[] = []
    const finish: ((value: string) => void)[] = []
    const load = ({ signal }: { signal: AbortSignal }) => {
      signals.push(signal)
      return new Promise<string>((resolve) => finish.push(resolve))
    }
    const first = new AbortController()
    const second = new AbortController()
    const one = client.getOrSet("a", load, { signal: first.signal })
    const two = client.getOrSet("a", load, { signal: second.signal })
    await runtime.advance(0)
    first.abort(new Error("one left"))
    await expect(one).rejects.toThrow("one left")
    expect(signals.map((signal) => signal.aborted)).toEqual([false])
    second.abort(new Error("two left"))
    await expect(two).rejects.toThrow("two left")
    expect(signals.map((signal) => signal.aborted)).toEqual([true])

    await client.delete("a")
    finish[0]?.("abandoned")
    await runtime.advance(0)
    expect(elsewhere.rows()).toBe(0)
  })

  test("a load that came to its end is not aborted afterwards", async () => {
    const store = await openStore()
    let kept: AbortSignal | undefined
    await store.getOrSet("a", ({ signal }) => {
      kept = signal
      return 1
    })
    expect(kept?.aborted).toBe(false)
  })
})

describe("signal", () => {
  const calls: Record<string, (store: Kv, signal: AbortSignal) => Promise<unknown>> = {
    get: (store, signal) => store.get("a", { signal }),
    getText: (store, signal) => store.getText("a", { signal }),
    getJson: (store, signal) => store.getJson("a", { signal }),
    getEntry: (store, signal) => store.getEntry("a", { signal }),
    getMany: (store, signal) => store.getMany(["a"], { signal }),
    getManyText: (store, signal) => store.getManyText(["a"], { signal }),
    getManyJson: (store, signal) => store.getManyJson(["a"], { signal }),
    exists: (store, signal) => store.exists("a", { signal }),
    set: (store, signal) => store.set("a", "1", { signal }),
    put: (store, signal) => store.put("a", "1", { signal }),
    setMany: (store, signal) => store.setMany([["a", "1"]], { signal }),
    delete: (store, signal) => store.delete("a", { signal }),
    deleteMany: (store, signal) => store.deleteMany(["a"], { signal }),
    scan: (store, signal) => store.scan("", { signal }).next(),
    scanPage: (store, signal) => store.scanPage("", { signal }),
    getOrSet: (store, signal) => store.getOrSet("a", () => 1, { signal }),
  }

  for (const [name, call] of Object.entries(calls)) {
    test(`${name} rejects with the reason, at once, and asks nothing if it was aborted before`, async () => {
      const { client, gate } = await gatedStore()
      const reason = new Error("the request is gone")
      await expect(call(client, AbortSignal.abort(reason))).rejects.toBe(reason)
      expect(gate.count()).toBe(0)

      gate.hold()
      const controller = new AbortController()
      const waiting = call(client, controller.signal)
      await Promise.resolve()
      controller.abort(reason)
      await expect(waiting).rejects.toBe(reason)
      gate.releaseAll()
      await client.close()
    })

    test(`${name} that is not aborted leaves no listener behind`, async () => {
      const { client } = await gatedStore()
      const { signal } = new AbortController()
      let listeners = 0
      const { addEventListener, removeEventListener } = signal
      signal.addEventListener = (...args: Parameters<typeof addEventListener>) => {
        listeners++
        addEventListener.apply(signal, args)
      }
      signal.removeEventListener = (...args: Parameters<typeof removeEventListener>) => {
        listeners--
        removeEventListener.apply(signal, args)
      }
      await call(client, signal)
      expect(listeners).toBe(0)
    })
  }
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

describe("close", () => {
  const calls: Record<string, (store: Kv) => unknown> = {
    get: (store) => store.get("a"),
    getText: (store) => store.getText("a"),
    getJson: (store) => store.getJson("a"),
    getEntry: (store) => store.getEntry("a"),
    getMany: (store) => store.getMany(["a"]),
    getManyText: (store) => store.getManyText(["a"]),
    getManyJson: (store) => store.getManyJson(["a"]),
    exists: (store) => store.exists("a"),
    set: (store) => store.set("a", "1"),
    put: (store) => store.put("a", "1"),
    setMany: (store) => store.setMany([["a", "1"]]),
    delete: (store) => store.delete("a"),
    deleteMany: (store) => store.deleteMany(["a"]),
    scan: (store) => store.scan("").next(),
    scanPage: (store) => store.scanPage(""),
    getOrSet: (store) => store.getOrSet("a", () => 1),
    peek: async (store) => store.peek("a"),
    peekText: async (store) => store.peekText("a"),
    peekJson: async (store) => store.peekJson("a"),
    invalidate: async (store) => store.invalidate(),
  }

  test("after it every call fails with CLOSED, what L1 held included, and stats still answer", async () => {
    const { client, gate } = await gatedStore()
    await client.set("a", "1")
    await client.get("a")
    const scan = client.scan("", { limit: 1 })
    await client.close()
    const asked = gate.count()
    for (const [name, call] of Object.entries(calls)) {
      await expect(call(client), name).rejects.toMatchObject({ code: "CLOSED", operation: name })
    }
    await expect(scan.next()).rejects.toMatchObject({ code: "CLOSED" })
    expect(gate.count()).toBe(asked)
    expect(client.stats().name).toBe("test")
  })

  test("a scan under way ends with its page, and says CLOSED", async () => {
    const { client } = await gatedStore()
    await client.setMany(["a", "b", "c"].map((key) => [key, key] as const))
    const scan = client.scan("", { limit: 2 })
    await scan.next()
    await client.close()
    expect((await scan.next()).value?.key).toBe("b")
    await expect(scan.next()).rejects.toMatchObject({ code: "CLOSED" })
  })

  test("is idempotent, and works as `await using` does", async () => {
    const { client } = await gatedStore()
    const closing = client.close()
    expect(client.close()).toBe(closing)
    expect(client[Symbol.asyncDispose]()).toBe(closing)
    await closing
    await client.close()
  })
})
