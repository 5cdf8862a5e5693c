import { afterEach, expect, onTestFinished, test } from "vitest"
import type { Kv } from "../../src/api.ts"
import { numberAt, pathsOf, STATS } from "../../src/counters.ts"
import { KvError } from "../../src/index.ts"
import { ownReport } from "../../telemetry/dashboard/own-report.ts"
import { recorderOf } from "../../telemetry/dashboard/recorder.ts"
import { parseReport, REPORT_VERSION, serializeReport } from "../../telemetry/dashboard/report.ts"
import { COUNTED, CURRENT } from "../../telemetry/metrics/series.ts"
import { OPERATION } from "../../telemetry/names.ts"
import { systemRuntime } from "../../tiers/runtime.ts"
import { type GatedStoreOptions, gatedStore } from "../support/gated-store.ts"
import { histogramOf, metricsOf, numberOf, type TestMetrics, unregisterAll } from "../support/otel.ts"
import { settle } from "../support/runtime.ts"

afterEach(unregisterAll)

const down = (code: "ACCESS_DENIED" | "UNAVAILABLE" | "THROTTLED" = "ACCESS_DENIED") =>
  new KvError(code, "no", { operation: "test" })

/** A store that is closed after the test, so that the next report has none of its name. */
async function opened(options: GatedStoreOptions) {
  const store = await gatedStore({ networked: true, ...options })
  onTestFinished(() => store.client.close())
  return store
}

const fails = (call: Promise<unknown>) => expect(call).rejects.toBeDefined()

/** Every number that `stats()`, the page's report and OpenTelemetry have of a store, each by its path. */
async function told(client: Kv, { collect }: TestMetrics) {
  const stats = client.stats()
  const [process] =
    parseReport(
      serializeReport({
        version: REPORT_VERSION,
        processes: [ownReport(recorderOf(systemRuntime), 0, "test")],
      }),
    ) ?? []
  const reported = process?.stores.find(({ name }) => name === client.name)
  if (reported === undefined) throw new Error("the report has no such store")
  const points = await collect()
  const series = [...COUNTED, ...CURRENT].flatMap(({ path, metric, attributes }) =>
    path === undefined ? [] : [{ path, of: numberOf(points, metric.name, attributes) }],
  )
  const paths = series.map(({ path }) => path)
  const errors = stats.errors.map(({ operation, tier, type, count }) => {
    const attributes = { "cache.operation": OPERATION[operation], "cache.tier": tier, "error.type": type }
    expect(numberOf(points, "tiered_kv.errors", attributes), `${operation} ${tier} ${type}`).toBe(count)
    return `${operation} ${tier} ${type} ${count}`
  })
  expect(points.filter(({ metric }) => metric === "tiered_kv.errors")).toHaveLength(errors.length)
  expect(reported.errors).toEqual(stats.errors)
  for (const path of pathsOf("latency")) {
    const { count, maxMs } = { count: `${path}.count`, maxMs: `${path}.maxMs` } as const
    expect(numberAt(reported, count), count).toBe(numberAt(stats, count))
    expect(numberAt(reported, maxMs), maxMs).toBe(numberAt(stats, maxMs))
  }
  const numbers = Object.fromEntries(paths.map((path) => [path, numberOfStats(stats, path)]))
  expect(Object.fromEntries(paths.map((path) => [path, numberOfStats(reported, path)]))).toEqual(numbers)
  expect(Object.fromEntries(series.map(({ path, of }) => [path, of]))).toEqual(numbers)
  return { stats, points, errors }
}

function numberOfStats(tree: object, path: string): unknown {
  return path.split(".").reduce<unknown>((found, name) => Reflect.get(Object(found), name), tree)
}

test("every counter and every level has a time series, except those that others say", () => {
  const without = [...pathsOf("counter"), ...pathsOf("level")].filter(
    (path) => STATS[path].series.length === 0,
  )
  // The ratio is of hits and misses; loads are those that ended and those in flight.
  expect(without).toEqual(["loader.loads", "l1.hitRatio"])
})

test("stats(), the page's report and OpenTelemetry tell the same numbers under faults, and hide no outage", async () => {
  const metrics = metricsOf()
  const { client, gate, runtime } = await opened({ timeoutMs: 1_000, retryBudget: 0, quarantineMs: 100 })
  await client.setMany(["a", "b", "c"].map((key) => [key, "1"]))
  await client.get("a")
  await client.get("a")
  client.peek("a")
  client.peek("absent")

  // A hung backend: ten callers wait for one read until its time is over.
  gate.hold("get")
  const hung = Array.from({ length: 10 }, () => fails(client.get("hung")))
  const controller = new AbortController()
  const aborted = fails(client.get("hung", { signal: controller.signal }))
  await settle()
  controller.abort()
  await aborted
  await runtime.advance(1_000)
  await Promise.all(hung)
  gate.releaseAll()

  // Reads that a read under way answers.
  gate.hold("get")
  const joined = ["b", "b", "b"].map((key) => client.get(key))
  await settle()
  await runtime.advance(10)
  gate.releaseAll()
  await Promise.all(joined)

  // `exists`, answered slowly, and failed.
  gate.hold("exists")
  const asked = client.exists("c")
  await settle()
  await runtime.advance(40)
  gate.releaseAll()
  await asked
  gate.script("exists", { fail: down() })
  await fails(client.exists("d"))

  // Failed reads: alone, strong, and single keys of a batch.
  gate.script("get", { fail: down() }, { fail: down() })
  await fails(client.get("d"))
  await fails(client.get("d", { consistency: "strong" }))
  gate.script("getMany", { keys: { e: down() } })
  await fails(client.getMany(["c", "e", "f"]))

  // Writes: applied, refused, failed, throttled, in a batch, in doubt.
  await client.set("a", "2", { ifNotExists: true })
  gate.script("put", { fail: down() }, { fail: down("THROTTLED") })
  await fails(client.set("a", "3"))
  const throttled = fails(client.set("a", "4"))
  await settle()
  await runtime.advance(100)
  await throttled
  gate.script("putMany", { keys: { h: down() } })
  await fails(client.setMany(["g", "h"].map((key) => [key, "1"])))
  gate.always("probe", { fail: down() })
  gate.script("delete", { loseReply: new KvError("OUTCOME_UNKNOWN", "lost", { operation: "delete" }) })
  const lost = fails(client.delete("g"))
  await settle()
  await runtime.advance(50)
  await lost

  // Loaders that bring a value, nothing, an error, a value that does not fit, the error of another store.
  await client.getOrSet("i", () => 1)
  await client.getOrSet("j", () => undefined)
  await Promise.all([1, 2].map(() => fails(client.getOrSet("k", () => Promise.reject(new RangeError())))))
  await fails(client.getOrSet("l", () => 1n))
  await fails(client.getOrSet("m", () => Promise.reject(down("UNAVAILABLE"))))
  gate.script("scan", { fail: down() })
  await fails(client.scanPage(""))

  const { stats, points, errors } = await told(client, metrics)
  expect(stats.l1).toMatchObject({ hits: 2, misses: 1 + 1 + 11 + 3 + 2 + 1 + 3 + 6, bypasses: 1 })
  expect(stats.l2).toMatchObject({
    hits: 1 + 1 + 1 + 1,
    misses: 1 + 5,
    coalesced: 2 + 1,
    readErrors: 11 + 1 + 1 + 1 + 1,
    writes: 3 + 1 + 1,
    refused: 1,
    writeErrors: 1 + 1 + 1 + 1,
    throttles: 1,
  })
  // Each read of a key by a call of its own: a hit, one of two who waited, …
  const { l1, l2 } = stats
  expect(l1.misses - 1 + l1.bypasses).toBe(l2.hits + l2.misses + l2.coalesced + l2.readErrors)
  expect(stats.loader).toMatchObject({ loads: 5, hits: 2, misses: 1, errors: 2, coalesced: 0 })
  expect(stats.aborted).toBe(1)
  expect(stats.quarantined).toBe(1)
  expect(errors).toEqual([
    "get l2 TIMEOUT 10",
    "exists l2 ACCESS_DENIED 1",
    "get l2 ACCESS_DENIED 2",
    "getMany l2 ACCESS_DENIED 1",
    "set l2 ACCESS_DENIED 1",
    "set l2 THROTTLED 1",
    "setMany l2 PARTIAL_FAILURE 1",
    "delete l2 OUTCOME_UNKNOWN 1",
    "getOrSet loader RangeError 2",
    "getOrSet loader INVALID_VALUE 1",
    "getOrSet loader UNAVAILABLE 1",
    "scan l2 ACCESS_DENIED 1",
  ])

  // The time of the hung read is among those of reads, and that of the slow exists.
  expect(l2.readLatency.maxMs).toBeGreaterThanOrEqual(990)
  expect(l2.readLatency.count).toBe(stats.l2.hits + stats.l2.misses + l2.readErrors - 10)
  const timed = (operation: string, more: object) =>
    histogramOf(points, "tiered_kv.operation.duration", { "cache.operation": operation, ...more })
  expect(timed("get", { "error.type": "TIMEOUT" })).toMatchObject({ count: 10, sum: 10 })
  expect(timed("get", { "cache.result": "aborted" })?.count).toBe(1)
  expect(timed("exists", { "cache.result": "hit" })).toMatchObject({ count: 1, sum: 0.04 })
  const loaders = points.filter(({ metric }) => metric === "tiered_kv.loader.duration")
  const counts = loaders.map(({ value }) => (typeof value === "object" ? value.count : 0))
  expect(counts.reduce((a, b) => a + b)).toBe(stats.loader.loads)
})

test("a loader whose caller aborts, and a refresh that fails, are told apart by all three", async () => {
  const metrics = metricsOf()
  const { client } = await opened({})
  const controller = new AbortController()
  let end = () => {}
  const loader = () => new Promise<void>((resolve) => (end = resolve))
  const loading = client.getOrSet("a", loader, { signal: controller.signal })
  await settle()
  controller.abort()
  await fails(loading)
  end()
  await client.set("b", 1, { ttlMs: 1_000 })
  const ahead = { ttlMs: 3_000, refreshAheadMs: 2_000 }
  expect(await client.getOrSet("b", () => Promise.reject(new RangeError()), ahead)).toBe(1)
  await settle()
  const { stats, errors } = await told(client, metrics)
  expect(stats).toMatchObject({ aborted: 1, loader: { refreshes: 1, errors: 1 } })
  expect(errors).toEqual(["refresh loader RangeError 1"])
})

test("a store without telemetry counts its failures and aborts too", async () => {
  const { client, gate } = await opened({ telemetry: false })
  gate.script("get", { fail: down() })
  await fails(client.get("a"))
  const controller = new AbortController()
  gate.hold("get")
  const reading = client.get("b", { signal: controller.signal })
  controller.abort()
  await fails(reading)
  gate.releaseAll()
  const { errors, aborted } = client.stats()
  expect(errors).toMatchObject([{ operation: "get", tier: "l2", type: "ACCESS_DENIED", count: 1 }])
  expect(aborted).toBe(1)
})
