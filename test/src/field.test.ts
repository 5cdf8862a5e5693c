import { describe, expect, test } from "vitest"
import { KvError, kv } from "../../src/index.ts"
import { memory } from "../../tiers/memory.ts"
import { gatedStore } from "../support/gated-store.ts"
import { settle } from "../support/runtime.ts"

// Errors of the best-known caches and stores, one test each. Names of packages say where they were seen.

const unavailable = () => new KvError("UNAVAILABLE", "down", { operation: "get", backend: "memory" })

/** A promise, and the function that resolves it. */
function later<T>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => {}
  const promise = new Promise<T>((settle) => (resolve = settle))
  return { promise, resolve }
}

describe("bentocache, cacheable", () => {
  test("a read in flight does not refill L1 with the old value after a set", async () => {
    const { client, gate } = await gatedStore()
    await client.set("a", "old")
    gate.script("get", { hold: "reply" })
    const reading = client.getText("a")
    await settle()
    await client.set("a", "new")
    gate.releaseAll()
    await reading
    expect(client.peek("a")).toBeUndefined()
    expect(await client.getText("a")).toBe("new")
  })

  test("a set during getOrSet is not overwritten by what was loaded, neither in L1 nor in L2", async () => {
    const { client, elsewhere } = await gatedStore()
    const loaded = later<string>()
    const loading = client.getOrSet("a", () => loaded.promise, { as: "text" })
    await settle()
    await client.set("a", "written")
    loaded.resolve("loaded")
    expect(await loading).toBe("written")
    expect(await client.getText("a")).toBe("written")
    expect(await elsewhere.text("a")).toBe("written")
  })

  test("a set by another process during getOrSet is not overwritten either", async () => {
    const { client, elsewhere } = await gatedStore()
    const loaded = later<string>()
    const loading = client.getOrSet("a", () => loaded.promise, { as: "text" })
    await settle()
    await elsewhere.put("a", "theirs")
    loaded.resolve("loaded")
    expect(await loading).toBe("theirs")
    expect(await elsewhere.text("a")).toBe("theirs")
  })

  test("a delete during getOrSet is not undone, and a call after the delete loads anew", async () => {
    const { client, elsewhere } = await gatedStore()
    const loaded = later<string>()
    const loading = client.getOrSet("a", () => loaded.promise, { as: "text" })
    await settle()
    await client.delete("a")
    loaded.resolve("from before the delete")
    expect(await loading).toBe("from before the delete")
    expect(elsewhere.rows()).toBe(0)
    expect(await client.getOrSet("a", () => "from after it", { as: "text" })).toBe("from after it")
  })

  test("a delete during a refresh is not undone", async () => {
    const { client, elsewhere } = await gatedStore()
    const options = { as: "text", ttlMs: 1_000, refreshAheadMs: 999 } as const
    await client.set("a", "old", { ttlMs: 500 })
    const loaded = later<string>()
    expect(await client.getOrSet("a", () => loaded.promise, options)).toBe("old")
    await client.delete("a")
    loaded.resolve("refreshed")
    await settle()
    expect(elsewhere.rows()).toBe(0)
  })

  test("set and delete do not resolve with true when the backend failed, and the tiers do not diverge", async () => {
    const { client, gate, elsewhere } = await gatedStore()
    await client.set("a", "1")
    await client.get("a")
    gate.always("put", { fail: unavailable() })
    gate.always("delete", { fail: unavailable() })
    await expect(client.set("a", "2")).rejects.toMatchObject({ code: "UNAVAILABLE" })
    await expect(client.delete("a")).rejects.toMatchObject({ code: "UNAVAILABLE" })
    expect(await client.getText("a")).toBe("1")
    expect(await elsewhere.text("a")).toBe("1")
  })
})

describe("bentocache", () => {
  test("a backend that hangs does not hang its caller: a read ends with TIMEOUT, a write with OUTCOME_UNKNOWN", async () => {
    const { client, gate, runtime } = await gatedStore({ networked: true, timeoutMs: 2_000 })
    gate.hold()
    const calls = {
      get: client.get("a"),
      getMany: client.getMany(["a", "b"]),
      exists: client.exists("a"),
      getOrSet: client.getOrSet("c", () => 1),
      scan: client.scanPage(""),
      set: client.set("d", "1"),
    }
    const codes = Promise.all(
      Object.entries(calls).map(([name, call]) =>
        call.then(
          () => [name, "answered"],
          (error: unknown) => [name, error instanceof KvError && error.code],
        ),
      ),
    )
    await settle()
    await runtime.advance(2_000)
    expect(Object.fromEntries(await codes)).toEqual({
      get: "TIMEOUT",
      getMany: "TIMEOUT",
      exists: "TIMEOUT",
      getOrSet: "TIMEOUT",
      scan: "TIMEOUT",
      set: "OUTCOME_UNKNOWN",
    })
  })

  test("one failed read of the backend does not lock its key", async () => {
    const { client, gate } = await gatedStore()
    gate.script("get", { fail: unavailable() })
    await expect(client.getOrSet("a", () => 1)).rejects.toMatchObject({ code: "UNAVAILABLE" })
    expect(await client.getOrSet("a", () => 1)).toBe(1)
    expect(await client.get("a")).toBeDefined()
  })
})

describe("keyv, @keyv/dynamo, unstorage's Azure Tables, LaunchDarkly's store", () => {
  test("an outage does not read as a miss, and getOrSet does not load during one", async () => {
    const { client, gate } = await gatedStore()
    await client.set("a", "1")
    gate.always("get", { fail: unavailable() })
    gate.always("exists", { fail: unavailable() })
    gate.always("scan", { fail: unavailable() })
    let loads = 0
    for (const call of [
      () => client.get("a"),
      () => client.getMany(["a"]),
      () => client.exists("a"),
      () => client.scan("").next(),
      () => client.getOrSet("a", () => ++loads),
    ]) {
      await expect(call()).rejects.toMatchObject({ code: "UNAVAILABLE" })
    }
    expect(loads).toBe(0)
  })

  test("reading an expired row does not delete the fresh one written meanwhile", async () => {
    const { client, gate, runtime, elsewhere } = await gatedStore()
    await client.set("a", "old", { ttlMs: 10 })
    await runtime.advance(10)
    gate.script("get", { hold: "reply" })
    const reading = client.get("a")
    await settle()
    await elsewhere.put("a", "fresh")
    gate.releaseAll()
    expect(await reading).toBeUndefined()
    await settle()
    expect(await elsewhere.text("a")).toBe("fresh")
  })

  test("more than 100 keys, or keys that come twice, turn no batch into misses; unprocessed keys are not dropped", async () => {
    const throttled = new KvError("THROTTLED", "unprocessed", { operation: "getMany", backend: "memory" })
    const { client, gate, runtime } = await gatedStore({ networked: true })
    const keys = Array.from({ length: 2_500 }, (_, index) => `k${index}`)
    gate.script("putMany", { keys: { k3: throttled, k1700: throttled } })
    const writing = client.setMany(keys.map((key) => [key, key] as const))
    await settle()
    await runtime.advance(5_000)
    await writing
    gate.script("getMany", { keys: { k5: throttled, k6: throttled } })
    const reading = client.getManyText([...keys, ...keys])
    await settle()
    await runtime.advance(5_000)
    expect(await reading).toEqual(new Map(keys.map((key) => [key, key])))
  })

  test("everything can be deleted, not only the first page", async () => {
    const { client, elsewhere } = await gatedStore()
    await client.setMany(Array.from({ length: 1_234 }, (_, index) => [`k${index}`, "v"] as const))
    const keys: string[] = []
    for await (const { key } of client.scan("")) keys.push(key)
    await client.deleteMany(keys)
    expect(elsewhere.rows()).toBe(0)
  })
})

describe("cacheable", () => {
  test("0, the empty text, false and null are no misses, from either tier", async () => {
    const { client } = await gatedStore()
    for (const value of [0, "", false, null]) {
      await client.set("a", typeof value === "string" ? JSON.stringify(value) : value)
      for (const tier of ["l2", "l1"]) {
        expect(await client.getJson("a"), tier).toBe(value)
        expect(await client.getOrSet<unknown>("a", () => "loaded"), tier).toBe(value)
      }
    }
    for (const value of [0, "", false, null]) {
      await client.delete("a")
      for (const tier of ["loader", "l2", "l1"]) {
        expect(await client.getOrSet<unknown>("a", () => value), tier).toBe(value)
      }
    }
  })
})

describe("unstorage", () => {
  test("a text comes back as text, whatever it looks like", async () => {
    const { client } = await gatedStore()
    for (const text of ["42", "null", "true", "undefined", "1e5", '{"a":1}', "[]", "2020-01-01", " 7 "]) {
      await client.set("a", text)
      for (const tier of ["l2", "l1"]) expect(await client.getText("a"), tier).toBe(text)
      await client.delete("b")
      for (const tier of ["loader", "l2", "l1"])
        expect(await client.getOrSet("b", () => text), tier).toBe(text)
    }
  })
})

describe("cacheable, cache-manager, bentocache without serialization", () => {
  test("changing a passed, a loaded or a returned object does not change the cache", async () => {
    const { client } = await gatedStore()
    interface User {
      roles: string[]
    }
    const passed = { roles: ["reader"] }
    await client.set("a", passed)
    passed.roles.push("admin")
    const returned = await client.getJson<User>("a", { mutable: true })
    returned?.roles.push("admin")
    await client
      .getOrSet<User>("b", () => passed, { mutable: true })
      .then((user) => user?.roles.push("owner"))
    expect(await client.getJson("a")).toEqual({ roles: ["reader"] })
    expect(await client.getJson("b")).toEqual({ roles: ["reader", "admin"] })
    // @ts-expect-error the type is readonly as well
    const changing = client.getJson<User>("a").then((user) => user?.roles.push("admin"))
    await expect(changing).rejects.toThrow(TypeError)
  })
})

describe("cacheable, cache-manager, node-redis", () => {
  test("L1 is bounded without being told to be", async () => {
    const store = await kv("a", { backend: memory() })
    for (let index = 0; index < 12_000; index++) {
      await store.set(`k${index}`, "v")
      await store.get(`k${index}`)
      await store.get(`absent:${index}`)
    }
    expect(store.stats().l1.entries).toBe(10_000)
    expect(store.stats().l1.negatives).toBe(1_000)
    await store.close()
  })
})

describe("libraries that take a time to live in several units", () => {
  test("a time to live is in ms, says so, and 0 does not mean three things", async () => {
    const { client, runtime } = await gatedStore()
    await client.set("a", "1", { ttlMs: 60 })
    await runtime.advance(59)
    expect(await client.exists("a")).toBe(true)
    await runtime.advance(1)
    expect(await client.exists("a")).toBe(false)
    await expect(client.set("a", "1", { ttlMs: 0 })).rejects.toMatchObject({ code: "INVALID_TTL" })
    await expect(Reflect.apply(client.set, client, ["a", "1", { ttl: 60 }])).rejects.toMatchObject({
      code: "INVALID_OPTION",
    })
  })
})

describe("Alien's own clients", () => {
  test("an option that is not known does not turn a conditional write into an unconditional one", async () => {
    const { client, elsewhere } = await gatedStore()
    await client.set("lock", "mine")
    for (const options of [{ if_not_exists: true }, { onlyIfAbsent: true }, { nx: true }]) {
      await expect(Reflect.apply(client.set, client, ["lock", "theirs", options])).rejects.toMatchObject({
        code: "INVALID_OPTION",
      })
    }
    expect(await client.set("lock", "theirs", { ifNotExists: true })).toBe(false)
    expect(await elsewhere.text("lock")).toBe("mine")
  })

  test("a lost lock and a plain miss take one request and no waiting", async () => {
    const { client, gate, runtime } = await gatedStore({ networked: true })
    await client.set("lock", "mine")
    const before = runtime.monotonic()
    const asked = gate.count()
    expect(await client.set("lock", "theirs", { ifNotExists: true })).toBe(false)
    expect(await client.get("absent")).toBeUndefined()
    expect(await client.delete("lock", { ifVersion: (await client.getEntry("lock"))?.version ?? "" })).toBe(
      true,
    )
    expect(runtime.monotonic()).toBe(before)
    expect(gate.count()).toBe(asked + 4)
  })
})

describe("the pattern as usually documented", () => {
  test("a lock released after its time ran out does not delete the next owner's", async () => {
    const { client, runtime, elsewhere } = await gatedStore()
    const first = await client.put("lock", "first", { ifNotExists: true, ttlMs: 100 })
    await runtime.advance(100)
    const second = await client.put("lock", "second", { ifNotExists: true, ttlMs: 100 })
    expect(second.applied).toBe(true)
    expect(await client.delete("lock", { ifVersion: first.version ?? "" })).toBe(false)
    expect(await elsewhere.text("lock")).toBe("second")
    expect(await client.delete("lock", { ifVersion: second.version ?? "" })).toBe(true)
  })
})
