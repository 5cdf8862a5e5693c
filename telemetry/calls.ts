import { context, createContextKey, type Span, SpanKind, trace } from "@opentelemetry/api"
import type { CallListener } from "../src/listener.ts"
import type { Backend, BackendOperation, MaybePromise } from "../tiers/backend.ts"
import type { Runtime } from "../tiers/runtime.ts"
import { type Capacity, metered } from "./capacity.ts"
import { type DbRequest, dbRequestsOf } from "./db-attributes.ts"
import { errorType } from "./error-type.ts"
import { recordDuration, type StoreMetrics } from "./metrics/store-metrics.ts"
import { ATTRIBUTE } from "./names.ts"
import { safely, watch } from "./safely.ts"
import { end, endFailed, isContext, linksTo, type Spanned, type Spans } from "./spans.ts"

/** The SDK's own key: keys of one description are one key, so it takes no import to name it. */
const SUPPRESS_TRACING = createContextKey("OpenTelemetry SDK Context Key SUPPRESS_TRACING")

/** Attempts after the first, by the span of the call. */
const retriesOf = new WeakMap<Span, number>()

/** The spans, durations and capacity of the calls to one store's backend, by the conventions for databases. */
export class BackendCalls implements CallListener {
  readonly #spans: Spans | undefined
  readonly #metrics: StoreMetrics | undefined
  readonly #runtime: Runtime
  readonly #capacity: Capacity | undefined
  /** Whose request is sent next: set by {@link run} until it reaches {@link observed}. */
  #callers: readonly unknown[] = []

  constructor(
    spans: Spans | undefined,
    metrics: StoreMetrics | undefined,
    runtime: Runtime,
    capacity: Capacity | undefined,
  ) {
    this.#spans = spans
    this.#metrics = metrics
    this.#runtime = runtime
    this.#capacity = capacity
  }

  metered(backend: Backend): Backend {
    return this.#capacity === undefined ? backend : metered(backend, this.#capacity)
  }

  capture(): unknown {
    return this.#spans?.capture()
  }

  run<T>(captured: readonly unknown[], send: () => T): T {
    this.#callers = captured
    try {
      return send()
    } finally {
      this.#callers = []
    }
  }

  onRetry(): void {
    const span = safely(() => trace.getActiveSpan())
    if (span !== undefined) retriesOf.set(span, (retriesOf.get(span) ?? 0) + 1)
  }

  observed(backend: Backend): Backend {
    const { traits, compareVersions } = backend
    const requests = dbRequestsOf(traits)
    const call = <T>(operation: BackendOperation, keys: number, send: () => MaybePromise<T>) =>
      this.#call(requests[operation], keys, send)
    return {
      traits,
      open: () => backend.open(),
      close: () => backend.close(),
      ...(compareVersions === undefined ? {} : { compareVersions: compareVersions.bind(backend) }),
      wasWrittenBy: (key, id) => backend.wasWrittenBy(key, id),

      get: (key) => call("get", 1, () => backend.get(key)),
      getMany: (keys) => call("getMany", keys.length, () => backend.getMany(keys)),
      exists: (key) => call("exists", 1, () => backend.exists(key)),
      scan: async (prefix, page) => call("scan", 1, () => backend.scan(prefix, page)),
      put: async (key, write) => call("put", 1, () => backend.put(key, write)),
      putMany: async (writes) => call("putMany", writes.size, () => backend.putMany(writes)),
      delete: async (key, removal) => call("delete", 1, () => backend.delete(key, removal)),
      deleteMany: async (removals) => call("deleteMany", removals.size, () => backend.deleteMany(removals)),
    }
  }

  #call<T>(request: DbRequest, keys: number, send: () => MaybePromise<T>): MaybePromise<T> {
    const callers = this.#callers
    this.#callers = []
    const instruments = this.#metrics?.instruments
    const started = this.#spans?.tracer && this.#start(request, keys, callers)
    if (started === undefined && instruments === undefined) return send()

    const startedAt = this.#runtime.monotonic()
    const ended = (error: unknown) => {
      const { attributes } = request
      const told =
        error === undefined ? attributes : { ...attributes, [ATTRIBUTE.errorType]: errorType(error) }
      recordDuration(instruments?.dbDuration, this.#runtime.monotonic() - startedAt, told)
      if (started === undefined) return
      const count = retriesOf.get(started.span)
      const retries = count === undefined ? undefined : { [ATTRIBUTE.retryCount]: count }
      if (error === undefined) end(started, retries)
      else endFailed(started, error, retries)
    }
    const active = started?.context.setValue(SUPPRESS_TRACING, true)
    return watch(active, send, (answer) => ended(errorIn(answer)), ended)
  }

  /** A call made for several callers belongs to the first, and links to the others. */
  #start(
    { spanName, attributes }: DbRequest,
    keys: number,
    callers: readonly unknown[],
  ): Spanned | undefined {
    return this.#spans?.start(() => {
      const [first] = callers
      const parent = isContext(first) ? first : context.active()
      return {
        name: spanName,
        parent,
        kind: SpanKind.CLIENT,
        attributes: keys > 1 ? { ...attributes, [ATTRIBUTE.dbBatchSize]: keys } : attributes,
        ...(callers.length > 1 ? { links: linksTo(callers, parent) } : {}),
      }
    })
  }
}

/** The first error of the keys of a batch: whoever asked for that key sees it. */
function errorIn(answer: unknown): unknown {
  if (!(answer instanceof Map)) return undefined
  for (const result of answer.values()) if (result instanceof Error) return result
  return undefined
}
