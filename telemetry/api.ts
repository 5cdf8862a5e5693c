import type {
  Context,
  ContextManager,
  DiagLogger,
  MeterProvider,
  Span,
  SpanContext,
  SpanKind,
  SpanStatusCode,
  TracerProvider,
} from "@opentelemetry/api"

/**
 * What this package uses of OpenTelemetry's API. It loads no copy of the API: it reads what is registered where every copy of major version 1
 * registers it, so that a process without an SDK does not load the API, and an SDK that came with another copy is found.
 */

/** What is registered. */
export interface Registered {
  /** Version of the copy of the API that registered first. */
  readonly version?: string
  readonly trace?: TracerProvider
  readonly metrics?: MeterProvider
  readonly context?: ContextManager
  readonly diag?: DiagLogger
}

/** The global in which all copies of the API of major version 1 store what is registered. */
const REGISTRY = Symbol.for("opentelemetry.js.api.1")

const NOTHING: Registered = {}

export function registered(): Registered {
  return (globalThis as { [REGISTRY]?: Registered })[REGISTRY] ?? NOTHING
}

/** The name of the symbol in which a copy of another major version registers. */
const OTHER_REGISTRY = /^opentelemetry\.js\.api\.(?!1$)(\d+)$/

/** What is registered with another major version of the API, which this package does not know. */
export function registeredElsewhere(): { major: string; diag: DiagLogger | undefined } | undefined {
  for (const symbol of Object.getOwnPropertySymbols(globalThis)) {
    const [, major] = OTHER_REGISTRY.exec(symbol.description ?? "") ?? []
    const registry: Registered | undefined = Reflect.get(globalThis, symbol)
    if (major !== undefined) return { major, diag: registry?.diag }
  }
  return undefined
}

/** The key under which a context has its span. */
const SPAN_KEY = Symbol.for("OpenTelemetry Context Key SPAN")

/** A context without a manager, which the API would make. */
class PlainContext implements Context {
  readonly #values: ReadonlyMap<symbol, unknown>

  constructor(values: ReadonlyMap<symbol, unknown>) {
    this.#values = values
  }

  getValue(key: symbol): unknown {
    return this.#values.get(key)
  }

  setValue(key: symbol, value: unknown): Context {
    return new PlainContext(new Map([...this.#values, [key, value]]))
  }

  deleteValue(key: symbol): Context {
    return new PlainContext(new Map([...this.#values].filter(([other]) => other !== key)))
  }
}

const ROOT: Context = new PlainContext(new Map())

export function activeContext(): Context {
  return registered().context?.active() ?? ROOT
}

export function spanOf(context: Context): Span | undefined {
  return (context.getValue(SPAN_KEY) as Span | undefined) ?? undefined
}

export function withSpan(context: Context, span: Span): Context {
  return context.setValue(SPAN_KEY, span)
}

export function withoutSpan(context: Context): Context {
  return context.deleteValue(SPAN_KEY)
}

const TRACE_ID = /^(?!0{32})[0-9a-f]{32}$/i
const SPAN_ID = /^(?!0{16})[0-9a-f]{16}$/i

export function isValid({ traceId, spanId }: SpanContext): boolean {
  return TRACE_ID.test(traceId) && SPAN_ID.test(spanId)
}

export const INTERNAL: SpanKind.INTERNAL = 0
export const CLIENT: SpanKind.CLIENT = 2
export const ERROR: SpanStatusCode.ERROR = 2
