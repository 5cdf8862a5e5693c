import type { Context, Histogram } from "@opentelemetry/api"
import { errorType } from "../src/failures.ts"
import type { BackendTraits, Callers } from "../tiers/backend.ts"
import { isKvError } from "../tiers/errors.ts"
import type { Runtime } from "../tiers/runtime.ts"
import type { CallObserver, ObservedCall, Operation, Subject } from "../tiers/wrappers/resilience/observer.ts"
import { activeContext, CLIENT } from "./api.ts"
import { type Capacity, metering } from "./capacity.ts"
import { type DbCall, dbCallsOf } from "./db-attributes.ts"
import { recordDuration, type StoreMetrics } from "./metrics/store-metrics.ts"
import { ATTRIBUTE } from "./names.ts"
import { report } from "./safely.ts"
import { end, endFailed, isContext, linksTo, type Spanned, type Spans } from "./spans.ts"
import { runner, SuppressedCall, suppressed } from "./suppression.ts"

/** Records the spans, durations and capacity of the calls to the backend of one store, by the database conventions. */
export class BackendCalls implements CallObserver {
  readonly answered: CallObserver["answered"]
  readonly #spans: Spans | undefined
  readonly #metrics: StoreMetrics | undefined
  readonly #runtime: Runtime
  readonly #responseAttributes: BackendTraits["responseAttributes"]
  readonly #calls: Readonly<Partial<Record<Operation | "conditionalDelete", DbCall>>>

  constructor(
    traits: BackendTraits,
    spans: Spans | undefined,
    metrics: StoreMetrics | undefined,
    runtime: Runtime,
    capacity: Capacity | undefined,
  ) {
    this.#spans = spans
    this.#metrics = metrics
    this.#runtime = runtime
    this.#responseAttributes = traits.responseAttributes
    this.#calls = dbCallsOf(traits)
    this.answered = traits.tariff && capacity && metering(traits.tariff, capacity)
  }

  get run(): CallObserver["run"] {
    return runner()
  }

  begin(
    operation: Operation,
    subject: Subject,
    callers: Callers = [],
    isConditional = false,
  ): ObservedCall | undefined {
    const call = this.#calls[isConditional && operation === "delete" ? "conditionalDelete" : operation]
    const duration = call && this.#metrics?.instruments?.dbDuration
    const started = call && this.#spans?.tracer && this.#start(call, keysOf(subject), callers)
    const scope = suppressed(started?.context)
    if (call === undefined || (started === undefined && duration === undefined)) {
      return scope && new SuppressedCall(scope)
    }
    return new BackendCall(call, this.#runtime, started, scope, duration, this.#responseAttributes)
  }

  /** The span of a call for several callers is a child of the first caller's span, and has links to the others. */
  #start({ spanName, attributes }: DbCall, keys: number, callers: Callers): Spanned | undefined {
    return this.#spans?.start(() => {
      const [first] = callers
      const parent = isContext(first) ? first : activeContext()
      return {
        name: spanName,
        parent,
        kind: CLIENT,
        attributes: keys > 1 ? { ...attributes, [ATTRIBUTE.dbBatchSize]: keys } : attributes,
        ...(callers.length > 1 ? { links: linksTo(callers, parent) } : {}),
      }
    })
  }
}

/** One call to the backend, with its duration and, if it is traced, its span. */
class BackendCall implements ObservedCall {
  readonly scope: Context | undefined
  readonly #call: DbCall
  readonly #runtime: Runtime
  readonly #started: Spanned | undefined
  readonly #duration: Histogram | undefined
  readonly #startedAt: number
  readonly #responseAttributes: BackendTraits["responseAttributes"]
  #retries = 0

  constructor(
    call: DbCall,
    runtime: Runtime,
    started: Spanned | undefined,
    scope: Context | undefined,
    duration: Histogram | undefined,
    responseAttributes: BackendTraits["responseAttributes"],
  ) {
    this.#responseAttributes = responseAttributes
    this.scope = scope
    this.#call = call
    this.#runtime = runtime
    this.#started = started
    this.#duration = duration
    this.#startedAt = runtime.monotonic()
  }

  retried(): void {
    this.#retries++
  }

  ended(answer: unknown): void {
    this.failed(errorIn(answer))
  }

  failed(error: unknown): void {
    try {
      this.#tell(error)
    } catch (thrown) {
      report(thrown)
    }
  }

  /** Records the end of the call; `error` is `undefined` after a success. */
  #tell(error: unknown): void {
    const { attributes } = this.#call
    const response = error === undefined ? {} : this.#response(error)
    const status = response[ATTRIBUTE.dbStatus]
    const told =
      error === undefined
        ? attributes
        : {
            ...attributes,
            [ATTRIBUTE.errorType]: errorType(error),
            ...(status === undefined ? {} : { [ATTRIBUTE.dbStatus]: status }),
          }
    recordDuration(this.#duration, this.#runtime.monotonic() - this.#startedAt, told)
    if (this.#started === undefined) return
    const retries = this.#retries === 0 ? undefined : { [ATTRIBUTE.retryCount]: this.#retries }
    if (error === undefined) end(this.#started, retries)
    else endFailed(this.#started, error, { ...retries, ...response })
  }

  /** What the service says in the error of the last attempt, which the backend has mapped. */
  #response(error: unknown): Readonly<Record<string, string>> {
    let cause = error
    while (isKvError(cause)) cause = cause.cause
    return this.#responseAttributes?.(cause) ?? {}
  }
}

/** The number of keys of a call; 1 for a scan. */
function keysOf(subject: Subject): number {
  if (typeof subject === "string") return 1
  return "size" in subject ? subject.size : subject.length
}

/** The error of the first failed key in a batch. */
function errorIn(answer: unknown): unknown {
  if (!(answer instanceof Map)) return undefined
  for (const result of answer.values()) if (result instanceof Error) return result
  return undefined
}
