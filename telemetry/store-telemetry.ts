import type { MeterProvider, TracerProvider } from "@opentelemetry/api"
import type { StoreStats } from "../src/counters.ts"
import { counting } from "../src/counting.ts"
import type { FailedOperation, Failures } from "../src/failures.ts"
import type {
  BegunOperation,
  Caller,
  HitListener,
  HitOperation,
  Listener,
  LoaderEnd,
  OperationName,
  Outcome,
} from "../src/listener.ts"
import type { Backend, MaybePromise } from "../tiers/backend.ts"
import type { Runtime } from "../tiers/runtime.ts"
import { BackendCalls } from "./calls.ts"
import { capacityOf } from "./capacity.ts"
import { StoreMetrics } from "./metrics/store-metrics.ts"
import { ATTRIBUTE, OPERATION } from "./names.ts"
import { Observation } from "./observation.ts"
import type { TelemetryOptions } from "./options.ts"
import { Registration, warnOfOtherVersion } from "./providers.ts"
import { safely } from "./safely.ts"
import { end, endAborted, endFailed, outcomeAttributes, type Spanned, Spans, waitFor } from "./spans.ts"

/** The telemetry of one store: receives its events, and reports them to OpenTelemetry if an SDK is registered. */
export class Telemetry implements Listener {
  onHit: HitListener | undefined = undefined
  onUntimedHit: HitListener | undefined = undefined
  onPeek: (() => void) | undefined = undefined
  readonly calls: BackendCalls
  readonly #runtime: Runtime
  readonly #spans: Spans | undefined
  readonly #metrics: StoreMetrics | undefined
  readonly #registration = new Registration()
  /** Whether an SDK traces or collects metrics. */
  #heard = false
  readonly #failures: Failures
  /** What listens while no SDK traces or collects. */
  readonly #unheard: Listener

  constructor(
    store: string,
    backend: Backend,
    runtime: Runtime,
    failures: Failures,
    options: TelemetryOptions,
  ) {
    const { spans = {}, metrics = true, tracerProvider, meterProvider } = options
    const { place } = backend.traits
    const capacity = metrics ? capacityOf(backend.traits.tariff) : undefined
    this.#runtime = runtime
    this.#failures = failures
    this.#unheard = counting(failures)
    this.#spans =
      spans === false
        ? undefined
        : new Spans(store, spans, tracerProvider as TracerProvider | undefined, place)
    this.#metrics = metrics
      ? new StoreMetrics(store, meterProvider as MeterProvider | undefined, capacity)
      : undefined
    this.calls = new BackendCalls(backend.traits, this.#spans, this.#metrics, runtime, capacity)
  }

  /** Is called when the store is open. `stats` returns its counters. */
  opened(stats: () => StoreStats): void {
    this.#metrics?.open(stats)
    this.#sync()
    safely(warnOfOtherVersion)
  }

  closed(): void {
    this.#metrics?.close()
  }

  begin(name: OperationName, key: string | undefined, signal: AbortSignal | undefined): BegunOperation {
    this.#sync()
    return this.#heard ? this.#started(name, key, signal) : this.#unheard.begin(name, key, signal)
  }

  operation<T>(
    name: OperationName,
    key: string | undefined,
    run: (caller: Caller) => MaybePromise<T>,
    describe: (value: T) => Outcome,
    signal: AbortSignal | undefined,
  ): MaybePromise<T> {
    this.#sync()
    if (!this.#heard) return this.#unheard.operation(name, key, run, describe, signal)
    return this.#started(name, key, signal).run(run, describe)
  }

  async load<T>(
    key: string,
    background: boolean,
    run: (caller: Caller) => Promise<T>,
    describe: (value: T) => Outcome,
  ): Promise<T> {
    this.#sync()
    if (background) return this.#observe("refresh", this.#spans?.refresh(key), undefined).run(run, describe)
    const started = this.#spans?.load(key)
    if (started === undefined) return run(this.#spans?.capture())
    // The operations that wait for the load record its time and its failure in their metrics.
    const ends = {
      done: (outcome: Outcome) => end(started, outcomeAttributes(outcome)),
      failed: (error: unknown) => endFailed(started, error),
    }
    return new Observation(started.context, started.context, ends).run(run, describe)
  }

  loaded(ms: number, end: LoaderEnd): void {
    this.#metrics?.recordLoader(ms, end)
  }

  joined(caller: Caller, other: Caller): void {
    if (caller !== undefined && other !== undefined) safely(() => waitFor(caller, other))
  }

  sampled(ms: number, operation: HitOperation): void {
    this.#metrics?.sample(ms, operation)
    this.#sync()
  }

  /** Looks for another SDK: one may be registered or removed at any time. */
  #sync(): void {
    if (!this.#registration.hasChanged()) return
    this.#spans?.sync()
    this.#metrics?.sync()
    this.onUntimedHit = this.#spans?.hearsHits ? this.#spans.onHit : undefined
    this.onHit = this.onUntimedHit
    this.#heard = this.#spans?.tracer !== undefined || this.#metrics?.instruments !== undefined
  }

  #started(name: OperationName, key: string | undefined, signal: AbortSignal | undefined): Observation {
    return this.#observe(name, this.#spans?.operation(name, key), signal)
  }

  /** Records the time, the outcome and the span of an operation. */
  #observe(
    name: FailedOperation,
    started: Spanned | undefined,
    signal: AbortSignal | undefined,
  ): Observation {
    const metrics = this.#metrics
    const operation = OPERATION[name]
    const startedAt = metrics?.instruments === undefined ? undefined : this.#runtime.monotonic()
    const elapsed = () => (startedAt === undefined ? undefined : this.#runtime.monotonic() - startedAt)
    return new Observation(started?.context ?? this.#spans?.capture(), started?.context, {
      done(outcome) {
        metrics?.recordOperation(elapsed(), operation, outcome)
        if (started !== undefined) end(started, outcomeAttributes(outcome))
      },
      failed: (error) => {
        const failure = this.#failures.add(name, error, signal)
        if (failure === undefined) {
          metrics?.recordAborted(elapsed(), operation, error)
          if (started !== undefined) endAborted(started, error)
          return
        }
        const { tier, type } = failure
        metrics?.recordFailure(elapsed(), operation, tier, type)
        if (started !== undefined)
          endFailed(started, error, { [ATTRIBUTE.tier]: tier, [ATTRIBUTE.result]: "error" })
      },
    })
  }
}
