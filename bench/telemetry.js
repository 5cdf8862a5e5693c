import { randomBytes } from "node:crypto"
import { createRequire } from "node:module"
import { BentoCacheInstrumentation } from "@bentocache/otel"
import * as bentocache from "bentocache"
import { memoryDriver } from "bentocache/drivers/memory"
import { Cacheable } from "cacheable"
import { kv } from "tiered-kv"
import { memory } from "tiered-kv/memory"
import { formatNs, table } from "./compare.js"

// An application has one copy of the API. This folder has another copy than the package, so the package's is loaded.
const fromRoot = createRequire(new URL("../package.json", import.meta.url))
const { context, metrics, ROOT_CONTEXT, TraceFlags, trace } = fromRoot("@opentelemetry/api")
const { MeterProvider, PeriodicExportingMetricReader } = fromRoot("@opentelemetry/sdk-metrics")
const { BatchSpanProcessor } = fromRoot("@opentelemetry/sdk-trace-base")
const { NodeTracerProvider } = fromRoot("@opentelemetry/sdk-trace-node")

const KEYS = 1_024
/** Calls of one timing: long compared with the resolution of the clock, short compared with the drift of the machine. */
const CALLS = 1_024
const ROUNDS = 600
const HOUR_MS = 3_600_000

/** Largest allowed cost of a hit, as a multiple of the same hit with `telemetry: false`. */
const NO_SDK = 1.05
const NO_SPAN = 1.1
/** Largest allowed cost of two recorded spans and metrics in a read of the backend, ns. */
const TWO_SPANS_NS = 10_000

/** What telemetry adds to a hit and to a read of the backend, beside the same store with `telemetry: false`. */
export async function telemetry() {
  const stores = await hitStores()
  const hit = { "telemetry: false": repeat(stores.off), default: repeat(stores.on) }

  const bare = await inTurns(hit)
  const sdk = registerSdk()
  // A read of the backend sees the SDK at once.
  for (const { store } of Object.values(stores)) await store.get("absent")
  const idle = await inTurns(hit)
  const unsampled = await inTurns(mapValues(hit, underUnsampled))
  const looking = await inTurns({
    without: underUnsampled(repeat({ get: (key) => andNothing(() => stores.off.get(key)) })),
    within: underUnsampled(repeat({ get: (key) => lookUpAnd(() => stores.off.get(key)) })),
  })
  const lookUp = looking.within - looking.without

  const row = (name, times, allowed) => {
    const [without, within] = [times["telemetry: false"], times.default]
    const verdict = within <= allowed ? "met" : "MISSED"
    const ratio = (ns) => `${(ns / without).toFixed(2)}×`
    return [name, formatNs(without), formatNs(within), ratio(within), `≤ ${ratio(allowed)} ${verdict}`]
  }
  table(
    "A hit, and what telemetry makes of it",
    ["", "telemetry: false", "default", "ratio", "goal"],
    [
      row("no SDK", bare, bare["telemetry: false"] * NO_SDK),
      row("SDK with spans and metrics, no active span", idle, idle["telemetry: false"] * NO_SPAN),
      row("under an unsampled span", unsampled, unsampled["telemetry: false"] + lookUp),
    ],
  )
  console.log(`  The last goal is the price of looking up the active span, here ${formatNs(lookUp)}.`)

  await backendReads(sdk)
  await peers(stores, sdk)
  await sdk.shutdown()
  for (const { store } of Object.values(stores)) await store.close()
}

/** Reads of a backend that is declared remote and answers from memory, so that its own time hardly counts. */
async function backendReads({ underRecorded }) {
  const remote = () => {
    const backend = memory()
    const traits = { ...backend.traits, inProcess: false }
    return { ...backend, traits, get: async (key) => backend.get(key) }
  }
  const off = await kv("off", { l1: false, backend: remote(), telemetry: false })
  const on = await kv("on", { l1: false, backend: remote() })
  for (const store of [off, on]) await store.set("key", "x".repeat(100))
  const reads = { off: { get: () => off.getText("key") }, on: { get: () => on.getText("key") } }
  const times = await inTurns(
    mapValues(reads, (read) => underRecorded(repeat(read))),
    ROUNDS / 4,
  )
  const added = times.on - times.off
  const verdict = added <= TWO_SPANS_NS ? "met" : "MISSED"
  table(
    "A read of the backend, with two recorded spans and metrics",
    ["", "telemetry: false", "default", "adds", "goal"],
    [
      [
        "",
        formatNs(times.off),
        formatNs(times.on),
        formatNs(added),
        `≤ ${formatNs(TWO_SPANS_NS)} ${verdict}`,
      ],
    ],
  )
  await off.close()
  await on.close()
}

/** The same hit in the caches that have telemetry of their own: bentocache's otel package, cacheable's statistics. */
async function peers({ off, on, attribute }, { underRecorded }) {
  const instrumentation = new BentoCacheInstrumentation()
  instrumentation.manuallyRegister({ ...bentocache })
  instrumentation.disable()
  const bento = new bentocache.BentoCache({
    default: "memory",
    stores: { memory: bentocache.bentostore().useL1Layer(memoryDriver({ maxItems: 10_000 })) },
  })
  const cacheable = { plain: new Cacheable(), counting: new Cacheable({ stats: true }) }
  for (const key of KEYS_READ) {
    const value = randomBytes(50).toString("hex")
    await bento.set({ key, value, ttl: HOUR_MS })
    for (const cache of Object.values(cacheable)) await cache.set(key, value, HOUR_MS)
  }
  const bentoHit = repeat({ get: (key) => bento.get({ key }) })
  const bentoTraced = async () => {
    instrumentation.enable()
    await bentoHit()
    instrumentation.disable()
  }
  const pairs = {
    "tiered-kv": [repeat(off), repeat(on)],
    'tiered-kv, l1Hits: "attribute"': [repeat(off), repeat(attribute)],
    "bentocache with @bentocache/otel": [bentoHit, bentoTraced],
    "cacheable with stats": [cacheable.plain, cacheable.counting].map((cache) =>
      repeat({ get: (key) => cache.get(key) }),
    ),
  }
  const rows = []
  for (const [name, [without, within]] of Object.entries(pairs)) {
    const row = [name]
    for (const under of [(run) => run, underUnsampled, underRecorded]) {
      const times = await inTurns({ without: under(without), within: under(within) }, ROUNDS / 10)
      row.push(formatNs(times.without), `+ ${formatNs(Math.max(0, times.within - times.without))}`)
    }
    rows.push(row)
  }
  const head = ["", "no active span", "adds", "unsampled span", "adds", "recorded span", "adds"]
  table("The same hit side by side, and what its telemetry adds", head, rows)
  await bento.disconnectAll()
  for (const cache of Object.values(cacheable)) await cache.disconnect()
}

const KEYS_READ = Array.from({ length: KEYS }, (_, i) => `user:${i}`)

/**
 * Stores that differ only in their telemetry. They are filled in turns, so that their entries are placed alike in memory.
 */
async function hitStores() {
  const options = { off: false, on: {}, attribute: { spans: { l1Hits: "attribute" } } }
  const stores = {}
  for (const [name, telemetry] of Object.entries(options)) {
    const store = await kv(name, { backend: "memory:", l1: { ttlMs: HOUR_MS }, telemetry })
    stores[name] = { store, get: (key) => store.getText(key) }
  }
  for (const key of KEYS_READ) {
    const value = randomBytes(50).toString("hex")
    for (const { store } of Object.values(stores)) {
      await store.set(key, value)
      await store.getText(key)
    }
  }
  globalThis.gc?.()
  return stores
}

/** A real SDK, whose exporters drop what they get. */
function registerSdk() {
  const exporter = {
    export: (_, done) => done({ code: 0 }),
    shutdown: async () => {},
    forceFlush: async () => {},
  }
  const spans = new NodeTracerProvider({ spanProcessors: [new BatchSpanProcessor(exporter)] })
  spans.register()
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 1_000 })
  const meters = new MeterProvider({ readers: [reader] })
  metrics.setGlobalMeterProvider(meters)
  return {
    underRecorded: (run) => () =>
      trace.getTracer("bench").startActiveSpan("request", (span) => run().finally(() => span.end())),
    async shutdown() {
      await spans.shutdown()
      await meters.shutdown()
    },
  }
}

/** Runs under a span of another process, which does not record here. */
function underUnsampled(run) {
  const spanContext = { traceId: "1".repeat(32), spanId: "2".repeat(16), traceFlags: TraceFlags.NONE }
  const active = trace.setSpan(ROOT_CONTEXT, trace.wrapSpanContext(spanContext))
  return () => context.with(active, run)
}

/** Calls that differ only in one look-up of the active span, whose result is used. */
function lookUpAnd(run) {
  if (trace.getActiveSpan()?.isRecording()) recording++
  return run()
}

function andNothing(run) {
  if (recording < 0) recording++
  return run()
}

let recording = 0

function repeat({ get }) {
  return async () => {
    for (let i = 0; i < CALLS; i++) await get(KEYS_READ[i & (KEYS - 1)])
  }
}

/**
 * Time of one call of each, ns: the fastest tenth of many short rounds, because other load only adds time. The functions
 * take turns, and so does the first place, because a function that runs after one with less in the processor's caches is
 * slower.
 */
async function inTurns(functions, rounds = ROUNDS) {
  const times = mapValues(functions, () => [])
  const order = Object.entries(functions)
  for (let round = 0; round < rounds; round++) {
    for (const [name, run] of order) {
      const start = process.hrtime.bigint()
      await run()
      times[name].push(Number(process.hrtime.bigint() - start) / CALLS)
    }
    order.push(order.shift())
    if (round % order.length === 0) order.reverse()
  }
  return mapValues(times, (all) => all.sort((a, b) => a - b)[Math.floor(all.length / 10)])
}

function mapValues(object, map) {
  return Object.fromEntries(Object.entries(object).map(([name, value]) => [name, map(value)]))
}
