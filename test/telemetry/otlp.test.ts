import { metrics } from "@opentelemetry/api"
import { OTLPMetricExporter } from "@opentelemetry/exporter-metrics-otlp-http"
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http"
import { MeterProvider, PeriodicExportingMetricReader } from "@opentelemetry/sdk-metrics"
import { BatchSpanProcessor } from "@opentelemetry/sdk-trace-base"
import { NodeTracerProvider } from "@opentelemetry/sdk-trace-node"
import { afterAll, afterEach, beforeAll, expect, test } from "vitest"
import { attributesOf, type OtlpReceiver, startOtlpReceiver } from "../servers/otlp.ts"
import { gatedStore } from "../support/gated-store.ts"
import { inRequest, unregisterAll } from "../support/otel.ts"

let receiver: OtlpReceiver
beforeAll(async () => {
  receiver = await startOtlpReceiver()
})
afterAll(() => receiver.stop())

/** A registered SDK whose exporters send to the receiver when the test says so, and give up after `timeoutMillis`. */
function exporting(timeoutMillis: number) {
  const traceExporter = new OTLPTraceExporter({ url: `${receiver.url}/v1/traces`, timeoutMillis })
  const spans = new NodeTracerProvider({ spanProcessors: [new BatchSpanProcessor(traceExporter)] })
  spans.register()
  const exporter = new OTLPMetricExporter({ url: `${receiver.url}/v1/metrics`, timeoutMillis })
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 2 ** 31 - 1 })
  const meters = new MeterProvider({ readers: [reader] })
  metrics.setGlobalMeterProvider(meters)
  const sdk = { spans, meters }
  running.push(sdk)
  return sdk
}

const running: { spans: NodeTracerProvider; meters: MeterProvider }[] = []
afterEach(async () => {
  unregisterAll()
  for (const { spans, meters } of running.splice(0))
    await Promise.allSettled([spans.shutdown(), meters.shutdown()])
  receiver.spans.splice(0)
  receiver.metrics.splice(0)
  receiver.hangs = false
})

test("spans arrive at a collector with their parents, links, kinds and attributes", async () => {
  const { spans } = exporting(10_000)
  const { client } = await gatedStore({ networked: true })
  await inRequest("request", async () => {
    await Promise.all(["a", "b"].map((key) => client.get(key)))
    await client.getOrSet("c", () => "loaded")
  })
  await spans.forceFlush()

  const named = (name: string) => receiver.spans.filter((span) => span.name === name)
  const [request] = named("request")
  const [call] = named("getMany memory")
  const gets = named("cache.get test")
  const ids = new Set(receiver.spans.map(({ spanId }) => spanId))
  expect(receiver.spans.map(({ name }) => name).sort()).toEqual(
    [
      "cache.get test",
      "cache.get test",
      "cache.get_or_set test",
      "cache.load test",
      "get memory",
      "getMany memory",
      "put memory",
      "request",
    ].sort(),
  )
  expect(gets.map(({ parentSpanId }) => parentSpanId)).toEqual([request?.spanId, request?.spanId])
  expect(gets.map(({ spanId }) => spanId)).toContain(call?.parentSpanId)
  expect(call?.links).toHaveLength(1)
  for (const { traceId, spanId } of call?.links ?? []) {
    expect(traceId).toBe(request?.traceId)
    expect(ids).toContain(spanId)
  }
  // SPAN_KIND_CLIENT and SPAN_KIND_INTERNAL.
  expect([call?.kind, gets[0]?.kind]).toEqual([3, 1])
  expect(call && attributesOf(call)).toEqual({
    "db.system.name": "memory",
    "db.operation.name": "getMany",
    "db.collection.name": "memory",
    "db.operation.batch.size": 2,
  })
  const [load] = named("cache.load test")
  expect(load && attributesOf(load)).toMatchObject({
    "cache.name": "test",
    "cache.item_size": 8,
  })
  expect(new Set(receiver.spans.map(({ traceId }) => traceId)).size).toBe(1)
  for (const span of receiver.spans) {
    expect(BigInt(span.endTimeUnixNano)).toBeGreaterThanOrEqual(BigInt(span.startTimeUnixNano))
    expect(span.scope).toBe(span.name === "request" ? "test" : "tiered-kv")
  }
})

test("metrics arrive with their kinds, units, attributes and buckets", async () => {
  const { meters } = exporting(10_000)
  const { client } = await gatedStore({ networked: true })
  await client.set("a", "1")
  for (let i = 0; i < 10; i++) await client.get("a")
  await meters.forceFlush()
  const metric = (name: string) => receiver.metrics.find((one) => one.name === name)
  const requests = metric("tiered_kv.requests")
  expect(requests).toMatchObject({
    unit: "{request}",
    scope: "tiered-kv",
    sum: { isMonotonic: true, aggregationTemporality: 2 },
  })
  const hits = requests?.sum?.dataPoints.filter((point) => {
    const { "cache.name": name, "cache.tier": tier, "cache.result": result } = attributesOf(point)
    return name === "test" && tier === "l1" && result === "hit"
  })
  expect(hits).toMatchObject([{ asDouble: 9 }])
  expect(metric("tiered_kv.entry.count")).toMatchObject({ unit: "{entry}", sum: { isMonotonic: false } })
  const durations = metric("tiered_kv.operation.duration")
  expect(durations).toMatchObject({ unit: "s", histogram: { aggregationTemporality: 2 } })
  expect(durations?.histogram?.dataPoints[0]?.explicitBounds).toHaveLength(16)
  expect(metric("db.client.operation.duration")?.histogram?.dataPoints[0]?.explicitBounds).toEqual([
    0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10,
  ])
})

test("a collector that does not answer holds up neither a call nor close", async () => {
  const { spans, meters } = exporting(100)
  receiver.hangs = true
  const { client } = await gatedStore({ networked: true })
  await client.set("a", "1")
  const flushing = Promise.allSettled([spans.forceFlush(), meters.forceFlush()])
  for (let i = 0; i < 10; i++) expect(await client.getText("a")).toBe("1")
  await client.close()
  expect(receiver.spans).toEqual([])
  await flushing
})
