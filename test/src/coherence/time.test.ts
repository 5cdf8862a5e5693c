import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { type Kv, kv } from "../../../src/index.ts"
import { memory, memoryStore } from "../../../tiers/memory.ts"
import { gatedStore } from "../../support/gated-store.ts"
import { testRuntime } from "../../support/runtime.ts"

const reads: Record<string, (store: Kv) => Promise<boolean> | boolean> = {
  get: async (store) => (await store.get("a")) !== undefined,
  "get, strongly": async (store) => (await store.get("a", { consistency: "strong" })) !== undefined,
  getText: async (store) => (await store.getText("a")) !== undefined,
  getJson: async (store) => (await store.getJson("a")) !== undefined,
  getEntry: async (store) => (await store.getEntry("a")) !== undefined,
  getMany: async (store) => (await store.getMany(["a"])).has("a"),
  exists: (store) => store.exists("a"),
  "exists, strongly": (store) => store.exists("a", { consistency: "strong" }),
  scan: async (store) => (await store.scan("a").next()).value !== undefined,
  scanPage: async (store) => (await store.scanPage("a")).entries.length === 1,
}

describe("expiry is exact to the millisecond", () => {
  for (const [name, read] of Object.entries(reads)) {
    test(`${name} sees the entry in its last millisecond, and not in the next, from either tier`, async () => {
      for (const warm of [false, true]) {
        const { client, runtime, elsewhere } = await gatedStore()
        await client.set("a", "1", { ttlMs: 1_500 })
        if (warm) await client.get("a")
        await runtime.advance(1_499)
        expect(await read(client)).toBe(true)
        await runtime.advance(1)
        expect(await read(client)).toBe(false)
        expect(client.peek("a")).toBeUndefined()
        expect(elsewhere.rows()).toBe(1)
      }
    })
  }

  test("L1 answers until the expiry and no longer, whatever the time to live and whenever it was filled", async () => {
    const cases = fc.record({
      ttlMs: fc.integer({ min: 1, max: 20_000 }),
      filledAt: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      l1TtlMs: fc.integer({ min: 1, max: 20_000 }),
      jitter: fc.constantFrom(0, 0.1, 0.9),
    })
    await fc.assert(
      fc.asyncProperty(cases, async ({ ttlMs, filledAt, l1TtlMs, jitter }) => {
        const { client, runtime } = await gatedStore({ l1: { ttlMs: l1TtlMs, jitter } })
        await client.set("a", "1", { ttlMs })
        const wait = Math.floor(ttlMs * filledAt)
        await runtime.advance(wait)
        expect(await client.getText("a")).toBe("1")
        if (ttlMs - 1 > wait) await runtime.advance(ttlMs - 1 - wait)
        expect(await client.getText("a")).toBe("1")
        await runtime.advance(1)
        expect(client.peekText("a")).toBeUndefined()
        expect(await client.getText("a")).toBeUndefined()
      }),
      { numRuns: 60 },
    )
  })

  test("between two ticks of the wall clock, which counts whole milliseconds, L1 does not run late", async () => {
    // Monotonic time has fractions, wall time has none: the time left by the wall clock may be up to a millisecond too
    // long.
    const runtime = { ...testRuntime(1_000_000), fraction: 0.9 }
    let elapsed = 0
    runtime.now = () => Math.floor(1_000_000 + elapsed + runtime.fraction)
    runtime.monotonic = () => 500 + elapsed
    const store = await kv("a", { backend: memory({ runtime }), runtime, l1: { jitter: 0 } })
    await store.set("a", "1", { ttlMs: 5 })
    await store.get("a")
    elapsed = 4
    expect(store.peekText("a")).toBe("1")
    elapsed = 4.2
    expect(runtime.now()).toBe(1_000_005)
    expect(store.peek("a")).toBeUndefined()
    expect(await store.get("a")).toBeUndefined()
  })
})

describe("an expired row that still lies there counts as absent", () => {
  async function withExpiredRow() {
    const opened = await gatedStore()
    const { version = "" } = await opened.client.put("a", "old", { ttlMs: 10 })
    await opened.client.get("a")
    await opened.runtime.advance(10)
    expect(opened.elsewhere.rows()).toBe(1)
    return { ...opened, version }
  }

  test("ifNotExists takes the row over, and exactly one of many writers wins", async () => {
    const { client, elsewhere } = await withExpiredRow()
    const owners = Array.from({ length: 20 }, (_, index) => `owner ${index}`)
    const won = await Promise.all(owners.map((owner) => client.set("a", owner, { ifNotExists: true })))
    expect(won.filter(Boolean)).toHaveLength(1)
    expect(await elsewhere.text("a")).toBe(owners[won.indexOf(true)])
  })

  test("ifVersion does not hold for the version of the row", async () => {
    const { client, version } = await withExpiredRow()
    expect(await client.set("a", "new", { ifVersion: version })).toBe(false)
    expect(await client.delete("a", { ifVersion: version })).toBe(false)
  })

  test("getOrSet loads anew", async () => {
    const { client } = await withExpiredRow()
    expect(await client.getOrSet("a", () => "loaded", { as: "text" })).toBe("loaded")
    expect(await client.getText("a")).toBe("loaded")
  })

  test("reading the row removes nothing, so that a fresh value written meanwhile survives", async () => {
    const { client, gate, elsewhere } = await withExpiredRow()
    gate.hold("get", "reply")
    const reading = client.get("a")
    await elsewhere.put("a", "fresh")
    gate.releaseAll()
    expect(await reading).toBeUndefined()
    expect(await elsewhere.text("a")).toBe("fresh")
    expect(gate.count("delete")).toBe(0)
  })
})

describe("a write sets the expiry anew", () => {
  test("without ttlMs it clears the one that was there", async () => {
    const { client, runtime } = await gatedStore()
    await client.set("a", "1", { ttlMs: 100 })
    await client.set("a", "2")
    expect(await client.getEntry("a")).not.toHaveProperty("expiresAt")
    await runtime.advance(1_000)
    expect(await client.getText("a")).toBe("2")
  })

  test("a compare-and-set sets it if it applies, and leaves it otherwise", async () => {
    const { client, runtime } = await gatedStore()
    const { version = "" } = await client.put("a", "1", { ttlMs: 100 })
    const { version: next = "" } = await client.put("a", "2", { ifVersion: version, ttlMs: 200 })
    await client.set("a", "3", { ifVersion: version })
    await client.set("a", "3", { ifNotExists: true })
    expect((await client.getEntry("a"))?.expiresAt).toBe(runtime.now() + 200)
    await client.set("a", "3", { ifVersion: next })
    expect(await client.getEntry("a")).not.toHaveProperty("expiresAt")
  })
})

describe("L1 ages on the monotonic clock", () => {
  test("an entry answers for the time to live of L1, and then the backend is asked again", async () => {
    const { client, gate, runtime } = await gatedStore({ l1: { ttlMs: 5_000, negativeTtlMs: 1_000 } })
    await client.set("a", "1")
    await client.getMany(["a", "absent"], { fill: true })
    await runtime.advance(999)
    await client.getMany(["a", "absent"])
    expect(gate.count("get")).toBe(2)
    await runtime.advance(1)
    await client.getMany(["a", "absent"])
    expect(gate.count("get")).toBe(3)
    await runtime.advance(3_999)
    expect(client.peekText("a")).toBe("1")
    await runtime.advance(1)
    expect(client.peekText("a")).toBeUndefined()
  })

  test("a hit does not prolong the time to live", async () => {
    const { client, runtime } = await gatedStore({ l1: { ttlMs: 100 } })
    await client.set("a", "1")
    await client.get("a")
    for (let ms = 0; ms < 99; ms += 33) {
      expect(client.peekText("a")).toBe("1")
      await runtime.advance(33)
    }
    await runtime.advance(1)
    expect(client.peekText("a")).toBeUndefined()
  })

  test("jitter shortens the time to live by up to its share, for each entry by another part", async () => {
    const { client, runtime } = await gatedStore({ l1: { ttlMs: 1_000, jitter: 0.5 } })
    const keys = Array.from({ length: 200 }, (_, index) => `k${index}`)
    await client.setMany(keys.map((key) => [key, "v"] as const))
    await client.getMany(keys, { fill: true })
    const held = () => keys.filter((key) => client.peek(key) !== undefined).length
    await runtime.advance(499)
    expect(held()).toBe(200)
    await runtime.advance(251)
    expect(held()).toBeGreaterThan(60)
    expect(held()).toBeLessThan(140)
    await runtime.advance(250)
    expect(held()).toBe(0)
  })

  test("the time that a slow read took counts towards the time to live", async () => {
    const { client, gate, runtime, elsewhere } = await gatedStore({ l1: { ttlMs: 1_000 } })
    await elsewhere.put("a", "1")
    gate.hold("get", "reply")
    const reading = client.getText("a")
    await runtime.advance(600)
    await elsewhere.put("a", "2")
    gate.releaseAll()
    expect(await reading).toBe("1")
    await runtime.advance(399)
    expect(client.peekText("a")).toBe("1")
    await runtime.advance(1)
    expect(client.peekText("a")).toBeUndefined()
  })
})

describe("a wall clock that is stepped", () => {
  test.each([1, 5, 20, 3_600_000])(
    "forward by %i ms expires what expires by then, also in L1",
    async (ms) => {
      const { client, runtime } = await gatedStore({ l1: { ttlMs: 60_000 } })
      await client.set("gone", "1", { ttlMs: ms })
      await client.set("stays", "1", { ttlMs: ms + 30_000 })
      await client.getMany(["gone", "stays"], { fill: true })
      runtime.stepWallClock(ms)
      expect(client.peek("gone")).toBeUndefined()
      expect(await client.get("gone")).toBeUndefined()
      expect(await client.getText("stays")).toBe("1")
    },
  )

  test("back lets nothing in L1 live longer than it would have", async () => {
    const { client, runtime } = await gatedStore({ l1: { ttlMs: 60_000 } })
    await client.set("a", "1", { ttlMs: 1_000 })
    await client.get("a")
    runtime.stepWallClock(-3_600_000)
    await runtime.advance(999)
    expect(client.peekText("a")).toBe("1")
    await runtime.advance(1)
    expect(client.peekText("a")).toBeUndefined()
  })
})

test("two processes whose clocks agree agree on an expiry", async () => {
  const runtime = testRuntime()
  const store = memoryStore()
  const open = () => kv("a", { backend: memory({ runtime, store }), runtime })
  const [one, other] = await Promise.all([open(), open()])
  const { expiresAt } = await one.put("a", "1", { ttlMs: 777 })
  expect((await other.getEntry("a"))?.expiresAt).toBe(expiresAt)
  await runtime.advance(776)
  expect(await other.exists("a")).toBe(true)
  await runtime.advance(1)
  expect(await other.exists("a")).toBe(false)
  expect(await other.set("a", "2", { ifNotExists: true })).toBe(true)
})
