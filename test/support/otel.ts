import { context, metrics, trace } from "@opentelemetry/api"
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks"
import {
  AggregationTemporality,
  type DataPoint,
  type Histogram,
  InMemoryMetricExporter,
  MeterProvider,
  type MetricReader,
  PeriodicExportingMetricReader,
} from "@opentelemetry/sdk-metrics"
import {
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
  type TracerConfig,
} from "@opentelemetry/sdk-trace-base"
import { NodeTracerProvider } from "@opentelemetry/sdk-trace-node"

/** A registered SDK that keeps its spans in memory. */
export interface TestTracing {
  readonly provider: NodeTracerProvider
  /** The spans that have ended, in the order in which they did. */
  spans(): ReadableSpan[]
  /** The only ended span of that name. */
  span(name: string): ReadableSpan
  /** Forgets the spans that have ended. */
  reset(): void
}

export function registerTracing(config: TracerConfig = {}): TestTracing {
  const exporter = new InMemorySpanExporter()
  const provider = new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)], ...config })
  provider.register({ contextManager: new AsyncLocalStorageContextManager() })
  return {
    provider,
    spans: () => exporter.getFinishedSpans(),
    span(name) {
      const named = exporter.getFinishedSpans().filter((span) => span.name === name)
      const [only] = named
      if (only === undefined || named.length > 1) {
        const names = exporter.getFinishedSpans().map((span) => span.name)
        throw new Error(`${named.length} spans are called "${name}" among ${JSON.stringify(names)}`)
      }
      return only
    },
    reset: () => exporter.reset(),
  }
}

/** Removes every registered SDK. */
export function unregisterAll(): void {
  trace.disable()
  context.disable()
  metrics.disable()
}

/** Runs `run` under a new recording span, as a request would, and ends the span. */
export async function inRequest<T>(name: string, run: () => T | Promise<T>): Promise<T> {
  return trace.getTracer("test").startActiveSpan(name, async (span) => {
    try {
      return await run()
    } finally {
      span.end()
    }
  })
}

/** What a test looks at of a span: its parent and its links by name, or by id where the other span was not recorded. */
export function shape(span: ReadableSpan, all: readonly ReadableSpan[]): SpanShape {
  const nameOf = (spanId: string) =>
    all.find((other) => other.spanContext().spanId === spanId)?.name ?? spanId
  const { parentSpanContext, links } = span
  return {
    name: span.name,
    parent: parentSpanContext && nameOf(parentSpanContext.spanId),
    links: links.map((link) => nameOf(link.context.spanId)),
  }
}

export interface SpanShape {
  name: string
  parent: string | undefined
  links: string[]
}

/** A meter provider with one reader, which collects when told. */
export interface TestMetrics {
  readonly provider: MeterProvider
  /** Collects, and gives every point since the last collection (delta) or the start (cumulative). */
  collect(): Promise<Point[]>
}

/** One number, or one histogram, as it was exported. */
export interface Point {
  metric: string
  unit: string
  attributes: Record<string, unknown>
  value: number | Histogram
}

export function metricsOf(
  temporality = AggregationTemporality.CUMULATIVE,
  options: { register?: boolean; readers?: MetricReader[] } = {},
): TestMetrics {
  const reader = memoryReader(temporality)
  const provider = new MeterProvider({ readers: [reader.reader, ...(options.readers ?? [])] })
  if (options.register ?? true) metrics.setGlobalMeterProvider(provider)
  return { provider, collect: reader.collect }
}

/** A reader that collects when told, and never by itself. */
export function memoryReader(temporality: AggregationTemporality): {
  reader: MetricReader
  collect(): Promise<Point[]>
} {
  const exporter = new InMemoryMetricExporter(temporality)
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 2 ** 31 - 1 })
  return {
    reader,
    async collect() {
      exporter.reset()
      await reader.forceFlush()
      return exporter.getMetrics().flatMap(({ scopeMetrics }) =>
        scopeMetrics.flatMap(({ metrics }) =>
          metrics.flatMap(({ descriptor, dataPoints }) =>
            [...dataPoints].map(({ attributes, value }: DataPoint<unknown>) => ({
              metric: descriptor.name,
              unit: descriptor.unit,
              attributes,
              value: value as number | Histogram,
            })),
          ),
        ),
      )
    },
  }
}

/** The number of the one point of `metric` that has all these attributes; `undefined` if there is none. */
export function numberOf(
  points: readonly Point[],
  metric: string,
  attributes: Record<string, unknown> = {},
): number | undefined {
  const value = valueIn(points, metric, attributes)
  if (typeof value === "object") throw new Error(`${metric} is a histogram`)
  return value
}

/** The same of a histogram. */
export function histogramOf(
  points: readonly Point[],
  metric: string,
  attributes: Record<string, unknown> = {},
): Histogram | undefined {
  const value = valueIn(points, metric, attributes)
  if (typeof value === "number") throw new Error(`${metric} is not a histogram`)
  return value
}

function valueIn(points: readonly Point[], metric: string, attributes: Record<string, unknown>) {
  const fitting = points.filter(
    (point) =>
      point.metric === metric &&
      Object.entries(attributes).every(([name, value]) => point.attributes[name] === value),
  )
  if (fitting.length > 1)
    throw new Error(`${fitting.length} points of ${metric} have ${JSON.stringify(attributes)}`)
  return fitting[0]?.value
}
