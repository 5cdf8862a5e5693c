import { type Attributes, context, createContextKey, SpanKind } from "@opentelemetry/api"
import type { CallListener } from "../src/listener.ts"
import type { Backend, BackendOperation, BackendTraits, MaybePromise } from "../tiers/backend.ts"
import type { Runtime } from "../tiers/runtime.ts"
import { type Capacity, metered } from "./capacity.ts"
import { errorType } from "./error-type.ts"
import { type StoreMetrics, seconds } from "./metrics.ts"
import { ATTRIBUTE } from "./names.ts"
import { quietly, watch } from "./quietly.ts"
import { end, endFailed, isContext, linksTo, type Spanned, type Spans } from "./spans.ts"

/** The SDK's own key: keys of one description are one key, so it takes no import to name it. */
const SUPPRESS_TRACING = createContextKey("OpenTelemetry SDK Context Key SUPPRESS_TRACING")
const CALL = createContextKey("tiered-kv backend call")

/** A call under way. */
class Call {
  retries = 0
}

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
    const call = quietly(() => context.active().getValue(CALL))
    if (call instanceof Call) call.retries++
  }

  observed(backend: Backend): Backend {
    const { traits, compareVersions } = backend
    const call = <T>(operation: BackendOperation, keys: number, send: () => MaybePromise<T>) =>
      this.#call(traits, operation, keys, send)
    return {
      traits,
      open: () => backend.open(),
      close: () => backend.close(),
      ...(compareVersions === undefined ? {} : { compareVersions: compareVersions.bind(backend) }),
      carries: (key, id) => backend.carries(key, id),

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

  #call<T>(
    traits: BackendTraits,
    operation: BackendOperation,
    keys: number,
    send: () => MaybePromise<T>,
  ): MaybePromise<T> {
    const callers = this.#callers
    this.#callers = []
    const instruments = this.#metrics?.instruments
    const attributes = {
      [ATTRIBUTE.dbSystem]: traits.system,
      [ATTRIBUTE.dbOperation]: traits.calls[operation],
      [ATTRIBUTE.dbCollection]: traits.target,
    }
    const started = this.#start(attributes, keys, callers)
    if (started === undefined && instruments === undefined) return send()

    const startedAt = this.#runtime.monotonic()
    const ended = (error: unknown) => {
      const failed = error === undefined ? {} : { [ATTRIBUTE.errorType]: errorType(error) }
      const ms = this.#runtime.monotonic() - startedAt
      instruments?.dbDuration.record(seconds(ms), { ...attributes, ...failed })
      if (started === undefined) return
      const retries = call.retries === 0 ? {} : { [ATTRIBUTE.retryCount]: call.retries }
      if (error === undefined) end(started, retries)
      else endFailed(started, error, retries)
    }
    const call = new Call()
    const active = started?.context.setValue(SUPPRESS_TRACING, true).setValue(CALL, call)
    return watch(active, send, (answer) => ended(errorIn(answer)), ended)
  }

  /** A call made for several callers belongs to the first, and links to the others. */
  #start(attributes: Attributes, keys: number, callers: readonly unknown[]): Spanned | undefined {
    return this.#spans?.start(() => {
      const [first] = callers
      const parent = isContext(first) ? first : context.active()
      return {
        name: `${attributes[ATTRIBUTE.dbOperation]} ${attributes[ATTRIBUTE.dbCollection]}`,
        parent,
        kind: SpanKind.CLIENT,
        attributes: keys > 1 ? { ...attributes, [ATTRIBUTE.dbBatchSize]: keys } : attributes,
        links: linksTo(callers, parent),
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
