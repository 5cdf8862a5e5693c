import { describe, expect, test } from "vitest"
import { pathsOf, valueAt } from "../../src/counters.ts"
import { KvError, kv } from "../../src/index.ts"
import { memory } from "../../tiers/memory.ts"
import { gatedStore } from "../support/gated-store.ts"
import { testRuntime } from "../support/runtime.ts"

const strong = { consistency: "strong" } as const

describe("stats()", () => {
  test("are all zero before anything happened, but for the limits of L1", async () => {
    const { client } = await gatedStore()
    const { name, backend, ...stats } = client.stats()
    expect({ name, backend }).toEqual({ name: "test", backend: { kind: "memory", target: "memory" } })
    expect(stats.l1).toMatchObject({ maxEntries: 10_000, maxBytes: 67_108_864 })
    Object.assign(stats.l1, { maxEntries: 0, maxBytes: 0 })
    const none = { count: 0, minMs: 0, meanMs: 0, p50Ms: 0, p90Ms: 0, p99Ms: 0, maxMs: 0 }
    for (const path of pathsOf("latency")) expect(valueAt(stats, path), path).toEqual(none)
    for (const path of [...pathsOf("counter"), ...pathsOf("level")])
      expect(valueAt(stats, path), path).toBe(0)
  })

  test("count hits and misses of either tier exactly, however they were read", async () => {
    const { client } = await gatedStore()
    await client.set("a", { n: 1 })
    await client.get("a")
    await client.get("absent")
    await client.get("absent")
    for (let round = 0; round < 100; round++) {
      await client.get("a")
      await client.getText("a")
      await client.getJson("a")
      client.peek("a")
      await client.getMany(["a"])
      await client.exists("a")
    }
    await client.get("a", strong)
    await client.get("absent", strong)
    const { l1, l2 } = client.stats()
    expect(l1).toMatchObject({
      hits: 600,
      negativeHits: 1,
      misses: 2,
      bypasses: 2,
      fills: 1,
      entries: 1,
      negatives: 1,
    })
    expect(l1.hitRatio).toBeCloseTo(601 / 603)
    expect(l2).toMatchObject({ hits: 2, misses: 2, readErrors: 0 })
  })

  test("count no hit for an entry found past its deadline", async () => {
    const { client, runtime } = await gatedStore({ l1: { ttlMs: 10, negativeTtlMs: 10 } })
    await client.set("a", "1")
    await client.getMany(["a", "absent"], { fill: true })
    await runtime.advance(10)
    client.peek("a")
    await client.get("absent")
    expect(client.stats().l1).toMatchObject({ hits: 0, negativeHits: 0, expirations: 2 })
  })

  test("count writes applied, refused and failed, and failed reads, strong ones included", async () => {
    const { client, gate } = await gatedStore()
    const down = new KvError("UNAVAILABLE", "down", { operation: "put" })
    await client.set("a", "1")
    await client.set("a", "2", { ifNotExists: true })
    await client.setMany([
      ["b", "1"],
      ["c", "1"],
    ])
    await client.deleteMany(["b", "c"])
    gate.script("put", { fail: down })
    await expect(client.set("a", "3")).rejects.toBe(down)
    gate.script("get", { fail: down }, { fail: down })
    await expect(client.get("a")).rejects.toBe(down)
    await expect(client.get("a", strong)).rejects.toBe(down)
    expect(client.stats().l2).toMatchObject({ writes: 5, refused: 1, writeErrors: 1, readErrors: 2 })
  })

  test("count the callers that joined a read or a load, and time the read and the load", async () => {
    const { client, gate, runtime } = await gatedStore()
    gate.hold("get")
    const reads = ["a", "a", "a"].map((key) => client.get(key))
    expect(client.stats()).toMatchObject({ inFlight: 1, l2: { coalesced: 0 } })
    await runtime.advance(20)
    gate.releaseAll()
    await Promise.all(reads)
    expect(client.stats()).toMatchObject({ inFlight: 0, l2: { coalesced: 2 } })

    const slow = async () => {
      await runtime.advance(40)
      return 1
    }
    await Promise.all([client.getOrSet("b", slow), client.getOrSet("b", slow), client.getOrSet("b", slow)])
    const { loader, l2 } = client.stats()
    expect(loader).toMatchObject({ loads: 1, coalesced: 2, errors: 0 })
    expect(loader.latency.count).toBe(1)
    expect(loader.latency.maxMs).toBeGreaterThanOrEqual(39)
    expect(l2.readLatency.maxMs).toBeGreaterThanOrEqual(19)
    expect(l2.readLatency.maxMs).toBeLessThan(21)
  })

  test("time one hit in 256", async () => {
    const { client } = await gatedStore()
    await client.set("a", "1")
    await client.get("a")
    for (let hit = 0; hit < 1_024; hit++) client.peek("a")
    expect(client.stats().l1.latency.count).toBe(4)
    expect(client.stats().l1.hits).toBe(1_024)
  })

  test("time a hit from its look-up to its answer, and no look-up that a batch or a stale entry made", async () => {
    const runtime = testRuntime()
    let steps = 0
    const client = await kv("test", {
      backend: memory({ runtime }),
      // Each reading is 1 ms after the last.
      runtime: { ...runtime, monotonic: () => steps++ },
      l1: { ttlMs: 1_000_000, jitter: 0 },
    })
    await client.set("a", "1")
    await client.set("b", "1")
    await client.getMany(["a", "b"], { fill: true })
    for (let hit = 0; hit < 511; hit++) await client.getMany(["a", "b"])
    expect(client.stats().l1.latency.count).toBe(0)
    for (let hit = 0; hit < 512; hit++) await client.get("a")
    const { count, minMs } = client.stats().l1.latency
    expect(count).toBe(2)
    // Answering a hit reads the clock on the way: L1 does, to see whether the entry is fresh.
    expect(minMs).toBeGreaterThan(1)
    await client.close()
  })

  test("count peeks that find nothing as misses, and as reads of absent keys", async () => {
    const { client } = await gatedStore()
    client.peek("a")
    client.peekText("a")
    await client.get("a")
    client.peekJson("a")
    expect(client.stats().l1).toMatchObject({ hits: 0, misses: 3, negativeHits: 1 })
  })

  test("count no invalidation when the store is closed", async () => {
    const { client } = await gatedStore()
    for (const key of ["a", "b"]) await client.getMany([key], { fill: true })
    await client.set("c", "1")
    await client.get("c")
    await client.close()
    expect(client.stats().l1).toMatchObject({ invalidations: 0, entries: 0, negatives: 0 })
  })

  test("count refused fills, invalidations and quarantines", async () => {
    const { client, gate, runtime } = await gatedStore({ quarantineMs: 100 })
    gate.hold("get", "reply")
    const reading = client.get("a")
    await client.set("a", "1")
    gate.releaseAll()
    await reading
    expect(client.stats().l1).toMatchObject({ refusedFills: 1, entries: 0, fills: 0 })
    await client.get("a")
    await client.set("a", "2")
    expect(client.stats().l1.invalidations).toBe(1)

    gate.script("put", { fail: new KvError("OUTCOME_UNKNOWN", "lost", { operation: "put" }) })
    await expect(client.set("a", "3")).rejects.toThrow()
    expect(client.stats().quarantined).toBe(1)
    await runtime.advance(100)
    expect(client.stats().quarantined).toBe(0)
  })

  test("are plain data of the caller's own", async () => {
    const { client } = await gatedStore()
    const before = client.stats()
    const copy = structuredClone(before)
    await client.set("a", "1")
    await client.get("a")
    expect(before).toEqual(copy)
    before.l1.evictions.entries = 99
    expect(client.stats().l1.evictions.entries).toBe(0)
    expect(JSON.parse(JSON.stringify(client.stats()))).toEqual(client.stats())
  })
})
