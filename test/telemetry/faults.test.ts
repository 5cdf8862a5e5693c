import {
  type MeterProvider as ApiMeterProvider,
  type Context,
  type ContextManager,
  context,
  DiagLogLevel,
  diag,
  type Histogram,
  type Meter,
  metrics,
  ROOT_CONTEXT,
  type Span,
  type Tracer,
  trace,
} from "@opentelemetry/api"
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks"
import {
  AggregationTemporality,
  MeterProvider,
  PeriodicExportingMetricReader,
  type PushMetricExporter,
} from "@opentelemetry/sdk-metrics"
import {
  BasicTracerProvider,
  BatchSpanProcessor,
  SimpleSpanProcessor,
  type SpanExporter,
  type SpanProcessor,
} from "@opentelemetry/sdk-trace-base"
import { NodeTracerProvider } from "@opentelemetry/sdk-trace-node"
import { afterEach, describe, expect, test } from "vitest"
import { KvError } from "../../src/index.ts"
import { gatedStore } from "../support/gated-store.ts"
import { inRequest, metricsOf, registerTracing, unregisterAll } from "../support/otel.ts"
import { settle } from "../support/runtime.ts"

afterEach(() => {
  unregisterAll()
  diag.disable()
})

const broken = () => {
  throw new Error("telemetry is broken")
}

/** An object whose methods all throw, except these. */
function breaking<T extends object>(works: Partial<T>): T {
  const methods = new Proxy(works, { get: (target, name) => Reflect.get(target, name) ?? broken })
  return methods as T
}

/** Makes every call under `active` and checks every answer, on a networked backend and on an embedded one. */
async function everythingWorks(active: Context = ROOT_CONTEXT): Promise<void> {
  for (const networked of [true, false]) {
    if (active === ROOT_CONTEXT) await oneOfEverything(networked)
    else await context.with(active, () => oneOfEverything(networked))
  }
}

async function oneOfEverything(networked: boolean): Promise<void> {
  const { client, gate } = await gatedStore({ networked, telemetry: { spans: { keys: "hash" } } })
  const strong = { consistency: "strong" } as const
  {
    expect(await client.set("a", "1")).toBe(true)
    expect(await client.set("a", "2", { ifNotExists: true })).toBe(false)
    for (let i = 0; i < 3; i++) expect(await client.getText("a")).toBe("1")
    expect(await client.getText("a", strong)).toBe("1")
    expect(await client.exists("a")).toBe(true)
    expect(await client.getText("absent")).toBeUndefined()
    expect(await client.getText("absent")).toBeUndefined()
    expect(await client.getManyText(["a", "absent", "b"])).toEqual(new Map([["a", "1"]]))
    expect(await Promise.all([1, 2].map(() => client.getOrSet("c", () => Promise.resolve(3))))).toEqual([
      3, 3,
    ])
    const ahead = { ttlMs: 3_000, refreshAheadMs: 2_000 }
    expect(await client.getOrSet("d", () => 4, { ttlMs: 1_000 })).toBe(4)
    expect(await client.getOrSet("d", () => 5, ahead)).toBe(4)
    await settle()
    expect(await client.getJson("d")).toBe(5)
    const lost = new RangeError("no origin")
    await expect(client.getOrSet("e", () => Promise.reject(lost))).rejects.toBe(lost)
    await client.setMany([["f", "6"]])
    await client.deleteMany(["f"])
    expect((await client.scanPage("")).entries).toHaveLength(3)
    expect(await client.delete("a")).toBe(true)
    const denied = new KvError("ACCESS_DENIED", "no", { operation: "get" })
    gate.script("get", { fail: denied })
    await expect(client.get("g")).rejects.toBe(denied)
    const parallel = ["h", "i", "j"].map((key) => client.get(key))
    expect(await Promise.all(parallel)).toEqual([undefined, undefined, undefined])
  }
  await client.close()
}

/** A context with a recording span of a working SDK. */
function request(): Context {
  return trace.setSpan(ROOT_CONTEXT, new BasicTracerProvider().getTracer("test").startSpan("request"))
}

const span = (works: Partial<Span> = {}) => breaking<Span>({ isRecording: () => true, ...works })
const noContext = { traceId: "", spanId: "", traceFlags: 0 }

describe("the store answers as ever with", () => {
  const tracers: Record<string, () => Tracer> = {
    "a provider that has no tracer": broken,
    "a tracer that throws": () => breaking<Tracer>({}),
    "a tracer that gives no span": () => breaking<Tracer>({ startSpan: () => JSON.parse("null") }),
    "spans of which every method throws": () => breaking<Tracer>({ startSpan: () => breaking<Span>({}) }),
    "recording spans of which the rest throws": () => breaking<Tracer>({ startSpan: () => span() }),
    "spans that cannot be ended": () =>
      breaking<Tracer>({
        startSpan: () =>
          span({ spanContext: () => noContext, setAttributes: () => span(), setStatus: () => span() }),
      }),
  }
  test.each(Object.entries(tracers))("%s", async (_, getTracer) => {
    trace.setGlobalTracerProvider({ getTracer })
    context.setGlobalContextManager(new AsyncLocalStorageContextManager())
    await everythingWorks(request())
  })

  test("active spans that break under hits", async () => {
    context.setGlobalContextManager(new AsyncLocalStorageContextManager())
    for (const works of [{}, { isRecording: () => true }]) {
      trace.disable()
      trace.setGlobalTracerProvider({ getTracer: () => breaking<Tracer>({}) })
      const active = trace.setSpan(ROOT_CONTEXT, breaking<Span>(works))
      await everythingWorks(active)
      for (const l1Hits of ["attribute", "span"] as const) {
        const { client } = await gatedStore({ telemetry: { spans: { l1Hits } } })
        await client.set("a", "1")
        await client.getText("a")
        expect(await context.with(active, () => client.getText("a"))).toBe("1")
      }
    }
  })

  const processors: Record<string, Partial<SpanProcessor>> = {
    "a span processor that throws at the start": { onEnd() {} },
    "a span processor that throws at the end": { onStart() {} },
  }
  test.each(Object.entries(processors))("%s", async (_, works) => {
    new NodeTracerProvider({ spanProcessors: [breaking<SpanProcessor>(works)] }).register({
      contextManager: new AsyncLocalStorageContextManager(),
    })
    await everythingWorks(request())
  })

  test("an exporter that throws", async () => {
    const exporter = breaking<SpanExporter>({ shutdown: async () => {} })
    const provider = new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] })
    provider.register()
    await everythingWorks(request())
  })

  test("an exporter that hangs, for which close does not wait", async () => {
    let exported = 0
    const exporter: SpanExporter = {
      export: () => void exported++,
      shutdown: () => new Promise(() => {}),
      forceFlush: () => new Promise(() => {}),
    }
    const provider = new NodeTracerProvider({
      spanProcessors: [
        new SimpleSpanProcessor(exporter),
        new BatchSpanProcessor(exporter, { maxExportBatchSize: 1 }),
      ],
    })
    provider.register()
    const hanging: PushMetricExporter = {
      export() {},
      forceFlush: () => new Promise(() => {}),
      shutdown: () => new Promise(() => {}),
    }
    const reader = new PeriodicExportingMetricReader({ exporter: hanging, exportIntervalMillis: 2 ** 31 - 1 })
    metrics.setGlobalMeterProvider(new MeterProvider({ readers: [reader] }))
    reader.forceFlush().catch(() => {})
    await everythingWorks()
    expect(exported).toBeGreaterThan(0)
  })

  const manager = () => new AsyncLocalStorageContextManager()
  const managers: Record<string, () => ContextManager> = {
    "a context manager that throws": () => Object.assign(manager(), { active: broken, with: broken }),
    "a context manager that runs nothing": () => Object.assign(manager(), { with: () => undefined }),
    "a context manager that throws after it ran": () =>
      Object.assign(manager(), {
        with(_: Context, run: () => unknown) {
          run()
          return broken()
        },
      }),
  }
  test.each(Object.entries(managers))("%s", async (_, brokenManager) => {
    registerTracing()
    context.disable()
    context.setGlobalContextManager(brokenManager())
    await everythingWorks()
  })

  test("a provider that has no meter, and meters and histograms that throw", async () => {
    const meters = [
      broken,
      () => breaking<Meter>({}),
      () => {
        const { provider } = metricsOf(AggregationTemporality.DELTA, { register: false })
        const meter = provider.getMeter("real")
        return breaking<Meter>({
          createHistogram: () => breaking<Histogram>({}),
          createObservableCounter: meter.createObservableCounter.bind(meter),
          createObservableUpDownCounter: meter.createObservableUpDownCounter.bind(meter),
          addBatchObservableCallback: meter.addBatchObservableCallback.bind(meter),
        })
      },
    ]
    for (const getMeter of meters) {
      metrics.disable()
      metrics.setGlobalMeterProvider(breaking<ApiMeterProvider>({ getMeter }))
      await everythingWorks()
    }
  })

  test("histograms that throw, which leave no span open", async () => {
    const tracing = registerTracing()
    const { provider } = metricsOf(AggregationTemporality.DELTA, { register: false })
    const meter = provider.getMeter("real")
    const throwing = Object.assign(meter, { createHistogram: () => breaking<Histogram>({}) })
    metrics.setGlobalMeterProvider({ getMeter: () => throwing })
    const { client } = await gatedStore({ networked: true })
    await client.get("a")
    await client.getOrSet("a", () => Promise.reject(new RangeError())).catch(() => {})
    expect(tracing.spans().map(({ name }) => name)).toEqual([
      "get memory",
      "cache.get test",
      "cache.load test",
      "cache.get_or_set test",
    ])
  })

  test("a clock that steps back in the middle of a span", async () => {
    const tracing = registerTracing()
    const { client, gate, runtime } = await gatedStore({ networked: true })
    gate.hold("get")
    const reading = client.get("a")
    await settle()
    runtime.stepWallClock(-86_400_000)
    await settle()
    gate.releaseAll()
    expect(await reading).toBeUndefined()
    const { duration } = tracing.span("cache.get test")
    expect(duration[0]).toBeGreaterThanOrEqual(0)
  })

  test("a logger that throws", async () => {
    let works = true
    const line = () => void (works || broken())
    diag.setLogger({ error: line, warn: line, info: line, debug: line, verbose: line }, DiagLogLevel.ALL)
    trace.setGlobalTracerProvider({ getTracer: () => breaking<Tracer>({}) })
    works = false
    try {
      await everythingWorks()
    } finally {
      works = true
    }
  })
})

test("what goes wrong in telemetry is told to OpenTelemetry's own logger", async () => {
  const logged: unknown[] = []
  const logger = {
    error: (...line: unknown[]) => logged.push(...line),
    warn() {},
    info() {},
    debug() {},
    verbose() {},
  }
  diag.setLogger(logger, DiagLogLevel.ERROR)
  trace.setGlobalTracerProvider({ getTracer: () => breaking<Tracer>({}) })
  const { client } = await gatedStore()
  await client.get("a")
  expect(logged).toContainEqual(new Error("telemetry is broken"))
})

describe("what leaves the process", () => {
  test("holds no value, no key and no credential", async () => {
    const tracing = registerTracing()
    const { collect } = metricsOf()
    const secret = "s3cr3t-marker"
    const { client, gate } = await gatedStore({
      networked: true,
      behind: (table) => ({ ...table, traits: { ...table.traits, target: "table" } }),
    })
    const safely = (call: Promise<unknown>) => call.catch(() => {})
    await inRequest("request", async () => {
      await client.set(`k:${secret}`, secret)
      await client.getText(`k:${secret}`)
      await client.getText(`k:${secret}`)
      await safely(client.getJson(`k:${secret}`))
      await client.getOrSet("a", () => ({ secret }))
      await safely(client.getOrSet("b", () => Promise.reject(new Error(secret))))
      await safely(
        client.getOrSet("c", () => Promise.reject(Object.assign(new Error(), { name: `${secret} x` }))),
      )
      await safely(client.set("d", secret, { ifVersion: secret }))
      gate.always("get", { fail: Object.assign(new Error(`redis://:${secret}@host`), { code: secret }) })
      await safely(client.get("e"))
      gate.always("put", {
        fail: new KvError("ACCESS_DENIED", "no", { operation: "put", key: secret, cause: new Error(secret) }),
      })
      await safely(client.set("f", "1"))
    })
    const spans = tracing
      .spans()
      .map(({ name, attributes, events, links, status }) => ({ name, attributes, events, links, status }))
    expect(spans.length).toBeGreaterThan(10)
    expect(JSON.stringify(spans)).not.toContain(secret)
    const points = await collect()
    expect(points.length).toBeGreaterThan(20)
    expect(JSON.stringify(points)).not.toContain(secret)
  })
})

test("a call that is refused before it leaves makes no span", async () => {
  const tracing = registerTracing()
  const { client } = await gatedStore()
  await client.close()
  await expect(client.get("a")).rejects.toMatchObject({ code: "CLOSED" })
  expect(tracing.spans()).toEqual([])
})
