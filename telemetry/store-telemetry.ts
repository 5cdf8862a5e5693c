import { createRequire } from "node:module"
import type { StoreStats } from "../src/counters.ts"
import type { Caller, HitListener, Listener, OperationName, Outcome } from "../src/listener.ts"
import type { Backend, MaybePromise } from "../tiers/backend.ts"
import type { Runtime } from "../tiers/runtime.ts"
import { BackendCalls } from "./calls.ts"
import { capacityOf } from "./capacity.ts"
import { isKvError } from "./error-type.ts"
import { StoreMetrics } from "./metrics/store-metrics.ts"
import { ATTRIBUTE, OPERATION } from "./names.ts"
import { Observation } from "./observation.ts"
import type { TelemetryOptions } from "./options.ts"
import { Registration } from "./providers.ts"
import { safely } from "./safely.ts"
import { end, endFailed, outcomeAttributes, type Spanned, Spans, waitFor } from "./spans.ts"

/** The telemetry of one store: receives its events, and reports them to OpenTelemetry if an SDK is registered. */
export class Telemetry implements Listener {
  onHit: HitListener | undefined = undefined
  readonly calls: BackendCalls
  readonly #runtime: Runtime
  readonly #spans: Spans | undefined
  readonly #metrics: StoreMetrics | undefined
  readonly #registration = new Registration()
  /** Whether an SDK traces or collects metrics. */
  #heard = false
  /** The observation of each operation while no SDK traces or collects. */
  readonly #unheard = new Map<string, Observation>()

  constructor(store: string, backend: Backend, runtime: Runtime, options: TelemetryOptions) {
    const { spans = {}, metrics = true, tracerProvider, meterProvider } = options
    const version = packageVersion()
    const capacity = metrics ? capacityOf(backend.traits.tariff) : undefined
    this.#runtime = runtime
    this.#spans = spans === false ? undefined : new Spans(store, spans, tracerProvider, version)
    this.#metrics = metrics ? new StoreMetrics(store, meterProvider, version, capacity) : undefined
    this.calls = new BackendCalls(backend.traits, this.#spans, this.#metrics, runtime, capacity)
  }

  /** Is called when the store is open. `stats` returns its counters. */
  opened(stats: () => StoreStats): void {
    this.#metrics?.open(stats)
    this.#sync()
  }

  closed(): void {
    this.#metrics?.close()
  }

  begin(name: OperationName, key: string | undefined): Observation {
    this.#sync()
    const operation = OPERATION[name]
    const loads = name === "getOrSet"
    return this.#heard
      ? this.#observe(operation, loads, this.#spans?.operation(name, key))
      : this.#uncollected(operation)
  }

  operation<T>(
    name: OperationName,
    key: string | undefined,
    run: (caller: Caller) => MaybePromise<T>,
    describe: (value: T) => Outcome,
  ): MaybePromise<T> {
    return this.begin(name, key).run(run, describe)
  }

  async load<T>(
    key: string,
    background: boolean,
    run: (caller: Caller) => Promise<T>,
    describe: (value: T) => Outcome,
  ): Promise<T> {
    this.#sync()
    if (background) return this.#observe("refresh", true, this.#spans?.refresh(key)).run(run, describe)
    const started = this.#spans?.load(key)
    if (started === undefined) return run(this.#spans?.capture())
    // The operations that wait for the load record its time and its failure in their metrics.
    const ends = {
      done: (outcome: Outcome) => end(started, outcomeAttributes(outcome)),
      failed: (error: unknown) => endFailed(started, error),
    }
    return new Observation(started.context, started.context, ends).run(run, describe)
  }

  joined(caller: Caller, other: Caller): void {
    if (caller !== undefined && other !== undefined) safely(() => waitFor(caller, other))
  }

  sampled(ms: number): void {
    this.#metrics?.sample(ms)
    this.#sync()
  }

  /** Looks for another SDK: one may be registered or removed at any time. */
  #sync(): void {
    if (!this.#registration.hasChanged()) return
    this.#spans?.sync()
    this.#metrics?.sync()
    this.onHit = this.#spans?.hearsHits ? this.#spans.onHit : undefined
    this.#heard = this.#spans?.tracer !== undefined || this.#metrics?.instruments !== undefined
  }

  /** Records the time, the outcome and the span of an operation. */
  #observe(operation: string, loads: boolean, started: Spanned | undefined): Observation {
    const metrics = this.#metrics
    const startedAt = metrics?.instruments === undefined ? undefined : this.#runtime.monotonic()
    const elapsed = () => (startedAt === undefined ? undefined : this.#runtime.monotonic() - startedAt)
    return new Observation(started?.context ?? this.#spans?.capture(), started?.context, {
      done(outcome) {
        metrics?.recordOperation(elapsed(), operation, outcome)
        if (started !== undefined) end(started, outcomeAttributes(outcome))
      },
      failed(error) {
        const tier = loads && !isKvError(error) ? "loader" : "l2"
        metrics?.recordFailure(elapsed(), operation, tier, error)
        if (started !== undefined)
          endFailed(started, error, { [ATTRIBUTE.tier]: tier, [ATTRIBUTE.result]: "error" })
      },
    })
  }

  /** Counts only errors. They are counted even while no SDK collects metrics. */
  #uncollected(operation: string): Observation {
    const known = this.#unheard.get(operation)
    if (known !== undefined) return known
    const failed = (error: unknown) => void this.#metrics?.countError(operation, error)
    const observation = new Observation(undefined, undefined, { done() {}, failed })
    this.#unheard.set(operation, observation)
    return observation
  }
}

/** The version of this package, for the scope; `undefined` if a bundler has merged the files. */
function packageVersion(): string | undefined {
  return safely(() => {
    const found: unknown = createRequire(import.meta.url)("tiered-kv/package.json")
    return typeof found === "object" && found !== null && "version" in found
      ? String(found.version)
      : undefined
  })
}
