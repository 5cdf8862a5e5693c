import { metrics } from "@opentelemetry/api"
import { AggregationTemporality } from "@opentelemetry/sdk-metrics"
import { afterEach, describe, expect, test } from "vitest"
import { KvError, kv } from "../../src/index.ts"
import { COUNTERS, HISTOGRAMS, type Metric } from "../../telemetry/names.ts"
import type { Tariff } from "../../tiers/backend.ts"
import { tariff as dynamodbTariff } from "../../tiers/dynamodb/tariff.ts"
import { tariff as firestoreTariff } from "../../tiers/firestore/tariff.ts"
import { memory } from "../../tiers/memory.ts"
import { type GatedStoreOptions, gatedStore } from "../support/gated-store.ts"
import {
  histogramOf,
  memoryReader,
  metricsOf,
  numberOf,
  type Point,
  registerTracing,
  type TestMetrics,
  unregisterAll,
} from "../support/otel.ts"
import { settle, testRuntime } from "../support/runtime.ts"

const { CUMULATIVE, DELTA } = AggregationTemporality

const collected: TestMetrics[] = []
afterEach(async () => {
  unregisterAll()
  for (const { provider } of collected.splice(0)) await provider.shutdown()
})

function registered(temporality = CUMULATIVE): TestMetrics {
  const found = metricsOf(temporality)
  collected.push(found)
  return found
}

async function measured(options: GatedStoreOptions = {}) {
  const { collect } = registered()
  return { collect, ...(await gatedStore({ networked: true, ...options })) }
}

/** `requests` of each tier, by result, zeros left out. */
function requests(points: readonly Point[], name = "test"): Record<string, unknown> {
  return Object.fromEntries(
    points
      .filter(({ metric, value }) => metric === "tiered_kv.requests" && value !== 0)
      .filter(({ attributes }) => attributes["cache.name"] === name)
      .map(({ attributes, value }) => [`${attributes["cache.tier"]} ${attributes["cache.result"]}`, value]),
  )
}

describe("metrics tell", () => {
  test("requests exactly, by tier and result", async () => {
    const { collect, client, gate } = await measured()
    await client.set("a", "1")
    for (let i = 0; i < 1_000; i++) await client.get("a")
    client.peek("a")
    await client.get("absent")
    await client.get("absent")
    await client.exists("b")
    await client.get("a", { consistency: "strong" })
    await client.getMany(["a", "absent", "c"])
    await client.getOrSet("d", () => 1)
    await client.getOrSet("e", () => undefined)
    await client.getOrSet("f", () => Promise.reject(new Error("no origin"))).catch(() => {})
    gate.always("get", { fail: new KvError("ACCESS_DENIED", "no", { operation: "get" }) })
    await client.get("g").catch(() => {})

    expect(requests(await collect())).toEqual({
      "l1 hit": 999 + 1 + 1,
      "l1 negative": 1 + 1,
      "l1 miss": 1 + 1 + 1 + 1 + 3 + 1,
      "l1 bypass": 1,
      "l2 hit": 1 + 1,
      "l2 miss": 1 + 1 + 1 + 3,
      "l2 error": 1,
      "loader hit": 1,
      "loader miss": 1,
      "loader error": 1,
    })
  })

  test("reads and loads that waited for another", async () => {
    const { collect, client, gate } = await measured()
    gate.hold("get")
    const reads = [client.get("a"), client.get("a"), client.exists("a")]
    await settle()
    gate.releaseAll()
    await Promise.all(reads)
    await Promise.all([1, 2, 3].map(() => client.getOrSet("b", () => Promise.resolve(1))))
    const points = await collect()
    expect(numberOf(points, "tiered_kv.coalesced", { "cache.tier": "l2" })).toBe(2 + 2)
    expect(numberOf(points, "tiered_kv.coalesced", { "cache.tier": "loader" })).toBe(2)
  })

  test("evictions by reason, and invalidations", async () => {
    const { collect, client, runtime } = await measured({ l1: { maxEntries: 2, maxBytes: 1_000 } })
    for (const key of ["a", "b", "c"]) {
      await client.set(key, "1")
      await client.get(key)
    }
    await client.set("large", "x".repeat(2_000))
    await client.get("large")
    await client.set("c", "2")
    await client.get("c")
    await runtime.advance(6_000)
    await client.get("c")
    const points = await collect()
    const evicted = (reason: string) =>
      numberOf(points, "tiered_kv.evictions", { "tiered_kv.eviction.reason": reason })
    expect({
      entries: evicted("entries"),
      oversize: evicted("oversize"),
      expired: evicted("expired"),
      bytes: evicted("bytes"),
      negatives: evicted("negatives"),
    }).toEqual({ entries: 1, oversize: 1, expired: 1, bytes: 0, negatives: 0 })
    expect(numberOf(points, "tiered_kv.invalidations")).toBe(1)
  })

  test("errors by operation and type, also from before an SDK was registered", async () => {
    const { client, gate } = await gatedStore({ networked: true })
    gate.always("get", { fail: new KvError("ACCESS_DENIED", "no", { operation: "get" }) })
    await client.get("a").catch(() => {})
    const { collect } = registered()
    await client.getText("a").catch(() => {})
    await client.getMany(["a", "a"]).catch(() => {})
    gate.always("get", undefined)
    class Odd extends Error {
      override name = "name of a customer: Bob"
    }
    await client.getOrSet("a", () => Promise.reject(new RangeError("secret"))).catch(() => {})
    await client.getOrSet("a", () => Promise.reject(new Odd("secret"))).catch(() => {})
    await client.getOrSet("a", () => Promise.reject("no error at all")).catch(() => {})
    const errors = (await collect()).filter(({ metric }) => metric === "tiered_kv.errors")
    const found = errors.map(({ attributes, value }) => [
      attributes["cache.operation"],
      attributes["cache.tier"],
      attributes["error.type"],
      value,
    ])
    expect(found).toEqual([
      ["get", "l2", "ACCESS_DENIED", 2],
      ["get_many", "l2", "ACCESS_DENIED", 1],
      ["get_or_set", "loader", "RangeError", 1],
      ["get_or_set", "loader", "_OTHER", 2],
    ])
  })

  test("bytes read and written", async () => {
    const { collect, client } = await measured()
    await client.set("a", "12345")
    await client.setMany([["b", "123"]])
    await client.get("a")
    await client.get("a")
    await client.get("absent")
    for await (const _ of client.scan(""));
    await client.getOrSet("c", () => "x")
    const points = await collect()
    expect(numberOf(points, "tiered_kv.io", { "tiered_kv.io.direction": "read" })).toBe(5 + 5 + 3)
    expect(numberOf(points, "tiered_kv.io", { "tiered_kv.io.direction": "write" })).toBe(5 + 3 + 3)
  })

  test("the units that the service bills, for every attempt that was answered", async () => {
    const { collect } = registered()
    const store = async (tariff: Tariff) => {
      const { client, gate, runtime } = await gatedStore({
        networked: true,
        l1: false,
        behind: (table) => ({ ...table, traits: { ...table.traits, tariff } }),
      })
      await client.set("a", "x".repeat(100))
      await client.set("b", Buffer.alloc(24_576))
      await client.get("b")
      await Promise.all([client.get("a"), client.get("absent")])
      await client.exists("a")
      gate.script("getMany", { keys: { c: new KvError("ACCESS_DENIED", "no", { operation: "getMany" }) } })
      await Promise.allSettled([client.get("c"), client.get("d")])
      gate.script("get", { fail: new KvError("UNAVAILABLE", "down", { operation: "get" }) })
      const retried = client.get("a")
      await settle()
      await runtime.advance(100)
      await retried
      await client.setMany([["c", "1"]])
      await client.scanPage("")
      await client.delete("a")
      await client.deleteMany(["b", "c"])
      await client.close()
    }
    const units = async () => {
      const points = (await collect()).filter(({ metric }) => metric === "tiered_kv.l2.capacity")
      return Object.fromEntries(
        points.map(({ attributes, value }) => [attributes["tiered_kv.capacity.unit"], value]),
      )
    }
    await store(dynamodbTariff)
    // b: 24,634 bytes, so 7 of 4 KiB and 25 of 1 KiB. The page holds 24,908 bytes together.
    const dynamodb = { read: 7 + 2 + 1 + 1 + 1 + 7, write: 1 + 25 + 1 + 1 + 2 }
    expect(await units()).toEqual(dynamodb)
    await store(firestoreTariff)
    // The first store was closed and its counts were collected, so that those of the name begin anew.
    expect(await units()).toEqual({ read: 1 + 2 + 1 + 1 + 1 + 3, write: 3, delete: 3 })
  })

  test("the entries, the bytes and their limits, and what is under way", async () => {
    const { collect, client, gate } = await measured({ l1: { maxEntries: 100, maxBytes: 5_000 } })
    for (const key of ["a", "b"]) {
      await client.set(key, "1")
      await client.get(key)
    }
    gate.hold("get")
    const reading = client.get("c")
    await settle()
    const points = await collect()
    gate.releaseAll()
    await reading
    const { bytes } = client.stats().l1
    expect(numberOf(points, "tiered_kv.entry.count", { "cache.tier": "l1" })).toBe(2)
    expect(numberOf(points, "tiered_kv.entry.limit", { "cache.tier": "l1" })).toBe(100)
    expect(numberOf(points, "tiered_kv.memory.usage", { "cache.tier": "l1" })).toBe(bytes)
    expect(numberOf(points, "tiered_kv.memory.limit", { "cache.tier": "l1" })).toBe(5_000)
    expect(numberOf(points, "tiered_kv.inflight")).toBe(1)
    expect(numberOf(await collect(), "tiered_kv.inflight")).toBe(0)
  })

  test("the unit of every instrument", async () => {
    const { collect, client } = await measured()
    await client.set("a", "1")
    const units = Object.fromEntries((await collect()).map(({ metric, unit }) => [metric, unit]))
    expect(units).toEqual({
      "tiered_kv.requests": "{request}",
      "tiered_kv.l1.doubled_hits": "{request}",
      "tiered_kv.coalesced": "{request}",
      "tiered_kv.evictions": "{entry}",
      "tiered_kv.invalidations": "{entry}",
      "tiered_kv.io": "By",
      "tiered_kv.fills": "{entry}",
      "tiered_kv.writes": "{entry}",
      "tiered_kv.retries": "{request}",
      "tiered_kv.throttles": "{request}",
      "tiered_kv.refreshes": "{load}",
      "tiered_kv.aborts": "{operation}",
      "tiered_kv.quarantine.count": "{entry}",
      "tiered_kv.negative_entry.count": "{entry}",
      "tiered_kv.entry.count": "{entry}",
      "tiered_kv.entry.limit": "{entry}",
      "tiered_kv.memory.usage": "By",
      "tiered_kv.memory.limit": "By",
      "tiered_kv.inflight": "{operation}",
      "tiered_kv.operation.duration": "s",
      "db.client.operation.duration": "s",
    })
  })
})

describe("metrics have durations", () => {
  test("of operations that leave L1, by tier, operation and result or error", async () => {
    const { collect, client, gate, runtime } = await measured()
    gate.hold("get")
    const reading = client.get("a")
    await settle()
    await runtime.advance(30)
    gate.releaseAll()
    await reading
    await client.get("a")
    await client.set("b", "1")
    await client.getOrSet("c", () => 1)
    gate.script("get", { fail: new KvError("ACCESS_DENIED", "no", { operation: "get" }) })
    await client.get("d").catch(() => {})
    await client.getOrSet("e", () => Promise.reject(new RangeError())).catch(() => {})

    const points = await collect()
    const durations = points.filter(({ metric }) => metric === "tiered_kv.operation.duration")
    expect(durations.map(({ attributes }) => attributes)).toEqual([
      { "cache.name": "test", "cache.tier": "l2", "cache.operation": "get", "cache.result": "miss" },
      { "cache.name": "test", "cache.tier": "l2", "cache.operation": "set" },
      {
        "cache.name": "test",
        "cache.tier": "loader",
        "cache.operation": "get_or_set",
        "cache.result": "hit",
      },
      { "cache.name": "test", "cache.tier": "l2", "cache.operation": "get", "error.type": "ACCESS_DENIED" },
      {
        "cache.name": "test",
        "cache.tier": "loader",
        "cache.operation": "get_or_set",
        "error.type": "RangeError",
      },
    ])
    const read = histogramOf(points, "tiered_kv.operation.duration", {
      "cache.result": "miss",
      "cache.tier": "l2",
    })
    expect(read).toMatchObject({ count: 1, sum: 0.03 })
    expect(read?.buckets.boundaries).toEqual([
      0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
    ])
    const calls = histogramOf(points, "db.client.operation.duration", {
      "db.system.name": "memory",
      "db.operation.name": "get",
      "db.collection.name": "memory",
      "error.type": undefined,
    })
    expect(calls?.sum).toBeCloseTo(0.03)
    expect(
      histogramOf(points, "db.client.operation.duration", { "error.type": "ACCESS_DENIED" })?.count,
    ).toBe(1)
  })

  test("of a refresh in the background, and of one that fails", async () => {
    const { collect, client } = await measured()
    const ahead = { ttlMs: 3_000, refreshAheadMs: 2_000 }
    for (const key of ["a", "b"]) await client.set(key, 1, { ttlMs: 1_000 })
    await client.getOrSet("a", () => 2, ahead)
    await settle()
    await client.getOrSet("b", () => Promise.reject(new RangeError()), ahead)
    await settle()
    const points = await collect()
    const refreshes = { "cache.operation": "refresh", "cache.tier": "loader" }
    expect(
      histogramOf(points, "tiered_kv.operation.duration", { ...refreshes, "cache.result": "hit" })?.count,
    ).toBe(1)
    expect(
      histogramOf(points, "tiered_kv.operation.duration", { ...refreshes, "error.type": "RangeError" })
        ?.count,
    ).toBe(1)
    expect(numberOf(points, "tiered_kv.errors", { "cache.operation": "refresh" })).toBe(1)
  })

  test("of one L1 hit in 256, drained by whoever collects first, for every reader", async () => {
    const delta = memoryReader(DELTA)
    const { collect, provider } = metricsOf(CUMULATIVE, { readers: [delta.reader] })
    collected.push({ collect, provider })
    const { client } = await gatedStore()
    await client.set("a", "1")
    const hits = async (rounds: number) => {
      for (let hit = 0; hit < 256 * rounds; hit++) client.peek("a")
    }
    await client.get("a")
    await hits(10)
    const metric = "tiered_kv.l1.operation.duration"
    const of = { "cache.name": "test", "cache.operation": "peek" }
    expect(histogramOf(await collect(), metric, of)?.count).toBe(10)
    expect(histogramOf(await delta.collect(), metric, of)?.count).toBe(10)
    await hits(5)
    expect(histogramOf(await delta.collect(), metric, of)?.count).toBe(5)
    expect(histogramOf(await collect(), metric, of)?.count).toBe(15)
    await hits(2_000)
    expect(histogramOf(await delta.collect(), metric, of)?.count).toBe(1_024)
  })

  test("that are not negative, though the wall clock steps back", async () => {
    const { collect, client, runtime, gate } = await measured()
    gate.hold("get")
    const reading = client.get("a")
    await settle()
    runtime.stepWallClock(-86_400_000)
    gate.releaseAll()
    await reading
    const points = await collect()
    expect(histogramOf(points, "tiered_kv.operation.duration")).toMatchObject({ count: 1, sum: 0 })
  })

  test("that are not negative, though the clock that was passed in runs backwards", async () => {
    const { collect } = registered()
    let now = 1_000_000
    const runtime = { ...testRuntime(), monotonic: () => now-- }
    const store = await kv("test", { backend: memory({ runtime }), runtime })
    await store.get("a")
    const duration = histogramOf(await collect(), "tiered_kv.operation.duration")
    expect(duration).toMatchObject({ count: 1, sum: 0 })
    await store.close()
  })
})

describe("attributes", () => {
  test("are those that the metric is declared with, and no others", async () => {
    const { collect, client, gate } = await measured()
    await client.set("a", "1")
    for (let hit = 0; hit <= 256; hit++) await client.get("a")
    await client.set("b", 1, { ttlMs: 1_000 })
    await client.getOrSet("b", () => 2, { ttlMs: 3_000, refreshAheadMs: 2_000 })
    await settle()
    await client.getOrSet("c", () => Promise.reject(new RangeError())).catch(() => {})
    gate.script("get", { fail: new KvError("ACCESS_DENIED", "no", { operation: "get" }) })
    await client.get("d").catch(() => {})

    const seen = new Map<string, Set<string>>()
    for (const { metric, attributes } of await collect()) {
      seen.set(metric, new Set([...(seen.get(metric) ?? []), ...Object.keys(attributes)]))
    }
    for (const { name, attributes = [] } of Object.values<Metric>({
      ...HISTOGRAMS,
      errors: COUNTERS.errors,
    })) {
      // The memory backend has no server, no namespace, no scripts and no codes of errors.
      const used = attributes.filter(
        (attribute) => !/^server|namespace$|^cloud|procedure|status/.test(attribute),
      )
      const own = name.startsWith("tiered_kv.") ? ["cache.name"] : []
      expect([...(seen.get(name) ?? [])].sort(), name).toEqual([...own, ...used].sort())
    }
  })
})

describe("metrics are collected", () => {
  test.each([
    ["before", CUMULATIVE],
    ["before", DELTA],
    ["after", CUMULATIVE],
    ["after", DELTA],
  ])("by an SDK registered %s the store was opened, with temporality %s", async (when, temporality) => {
    const early = when === "before" ? registered(temporality) : undefined
    const { client } = await gatedStore({ networked: true })
    await client.set("a", "1")
    await client.get("a")
    await client.get("a")
    const { collect } = early ?? registered(temporality)
    await client.get("a", { consistency: "strong" })
    expect(requests(await collect())).toEqual({ "l1 hit": 1, "l1 miss": 1, "l1 bypass": 1, "l2 hit": 2 })
    await client.get("a")
    const before = temporality === DELTA ? {} : { "l1 miss": 1, "l1 bypass": 1, "l2 hit": 2 }
    expect(requests(await collect())).toEqual({ ...before, "l1 hit": temporality === DELTA ? 1 : 2 })
  })

  test("by an SDK registered late from one of the next 256 hits of a store that only hits L1", async () => {
    const { client } = await gatedStore()
    await client.set("a", "1")
    await client.get("a")
    const { collect } = registered()
    for (let hit = 0; hit < 256; hit++) await client.get("a")
    expect(requests(await collect())).toMatchObject({ "l1 hit": 256 })
  })

  test("by two readers that see the same counts, whichever asks first and how often", async () => {
    const cumulative = memoryReader(CUMULATIVE)
    const { collect, provider } = metricsOf(DELTA, { readers: [cumulative.reader] })
    collected.push({ collect, provider })
    const { client } = await gatedStore()
    await client.set("a", "1")
    await client.get("a")
    for (let round = 1; round <= 3; round++) {
      await client.get("a")
      await client.get("a")
      expect(requests(await collect())["l1 hit"]).toBe(2)
      expect(requests(await cumulative.collect())["l1 hit"]).toBe(2 * round)
      expect(requests(await cumulative.collect())["l1 hit"]).toBe(2 * round)
    }
  })

  test("in one series for all stores of a name, and in another for another name; the last one closed, it begins anew", async () => {
    const { collect } = registered()
    const open = async (name: string, hits: number) => {
      const store = await kv(name, { backend: memory(), l1: { maxEntries: 10 } })
      await store.set("a", "1")
      for (let i = 0; i <= hits; i++) await store.get("a")
      await store.getOrSet("b", () => Promise.reject(new RangeError())).catch(() => {})
      return store
    }
    const [one, two, other] = await Promise.all([open("same", 3), open("same", 4), open("other", 5)])
    const errors = { "cache.operation": "get_or_set", "cache.name": "same" }
    const check = async () => {
      const points = await collect()
      expect(requests(points, "same")["l1 hit"]).toBe(7)
      expect(requests(points, "other")["l1 hit"]).toBe(5)
      expect(numberOf(points, "tiered_kv.errors", errors)).toBe(2)
      return [
        numberOf(points, "tiered_kv.entry.count", { "cache.name": "same" }),
        numberOf(points, "tiered_kv.entry.limit", { "cache.name": "same" }),
      ]
    }
    expect(await check()).toEqual([2, 20])
    await one?.close()
    expect(await check()).toEqual([1, 10])
    await two?.close()
    expect(await check()).toEqual([0, 0])
    const again = await open("same", 2)
    expect(requests(await collect(), "same")["l1 hit"]).toBe(2)
    await again.close()
    await other?.close()
  })

  test("once for a store that two handles share", async () => {
    const { collect } = registered()
    process.env.KV_HANDLES_URL = "memory:"
    const [one, two] = [await kv("handles"), await kv("handles")]
    delete process.env.KV_HANDLES_URL
    await one.set("a", "1")
    await one.get("a")
    await two.get("a")
    expect(requests(await collect(), "handles")).toEqual({ "l1 hit": 1, "l1 miss": 1, "l2 hit": 1 })
    await one.close()
    await two.close()
  })

  test("by an SDK that replaces the first from all that the store has counted, and by the first no more", async () => {
    const { collect, client } = await measured()
    await client.set("a", "1")
    await client.get("a")
    await client.get("a")
    metrics.disable()
    const next = registered()
    await client.get("b")
    expect(requests(await next.collect())).toEqual({ "l1 hit": 1, "l1 miss": 2, "l2 hit": 1, "l2 miss": 1 })
    expect(requests(await collect())).toEqual({ "l1 hit": 1, "l1 miss": 2, "l2 hit": 1 })
  })

  test("once by an SDK that is removed and registered again", async () => {
    const { collect, provider } = registered()
    const { client } = await gatedStore()
    await client.get("a")
    for (let round = 0; round < 2; round++) {
      metrics.disable()
      await client.get("b")
      metrics.setGlobalMeterProvider(provider)
      await client.get("c")
    }
    expect(requests(await collect())).toEqual({ "l1 miss": 3, "l2 miss": 3, "l1 negative": 2 })
    await client.close()
    expect(requests(await collect())).toEqual({ "l1 miss": 3, "l2 miss": 3, "l1 negative": 2 })
  })

  test("once more after the last store of a name was closed, and then no more", async () => {
    const { collect } = registered(DELTA)
    const { client } = await gatedStore()
    await client.get("a")
    await collect()
    await client.get("b")
    await client.close()
    expect(requests(await collect())).toEqual({ "l1 miss": 1, "l2 miss": 1 })
    expect((await collect()).filter(({ attributes }) => attributes["cache.name"] === "test")).toEqual([])
  })

  test("by a meter provider that was passed in, registered or not, beside a store that follows the registered one", async () => {
    const { collect, provider } = registered()
    const passed = await gatedStore({ telemetry: { meterProvider: provider } })
    const following = await gatedStore()
    await passed.client.get("a")
    await following.client.get("a")
    expect(requests(await collect())).toEqual({ "l1 miss": 2, "l2 miss": 2 })
    unregisterAll()
    await following.client.get("b")
    expect(requests(await collect())["l1 miss"]).toBe(3)
    await passed.client.get("c")
    await following.client.get("c")
    expect(requests(await collect())["l1 miss"]).toBe(4)
  })

  test("by nobody from a store with telemetry: false, or metrics: false", async () => {
    for (const telemetry of [false, { metrics: false }] as const) {
      const { collect, client } = await measured({ telemetry })
      await client.set("a", "1")
      await client.get("a")
      await client.get("a")
      expect((await collect()).filter(({ attributes }) => attributes["cache.name"] === "test")).toEqual([])
      unregisterAll()
    }
  })

  test("without a key, and without an attribute of many values", async () => {
    registerTracing()
    const { collect, client } = await measured({ telemetry: { spans: { keys: "full" } } })
    for (let i = 0; i < 100; i++) {
      await client.getOrSet(`user:${i}`, () => i)
      await client.get(`absent:${i}`)
      await client.delete(`user:${i}`)
    }
    const points = await collect()
    expect(points.length).toBeLessThan(60)
    expect(JSON.stringify(points.map(({ attributes }) => attributes))).not.toMatch(/user|absent/)
  })
})
