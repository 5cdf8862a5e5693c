import { createRequire } from "node:module"
import type { HitListener, Listener, OperationName, Outcome } from "../src/listener.ts"
import type { StoreStats } from "../src/stats.ts"
import type { Backend, MaybePromise } from "../tiers/backend.ts"
import type { Runtime } from "../tiers/runtime.ts"
import { BackendCalls } from "./calls.ts"
import { capacityOf } from "./capacity.ts"
import { isKvError } from "./error-type.ts"
import { StoreMetrics } from "./metrics/store-metrics.ts"
import { ATTRIBUTE, OPERATION } from "./names.ts"
import type { TelemetryOptions } from "./options.ts"
import { Registration } from "./providers.ts"
import { safely, watch } from "./safely.ts"
import { end, endFailed, outcomeAttributes, type Spanned, Spans, waitFor } from "./spans.ts"

/** The telemetry of one store: hears what the store does, and tells OpenTelemetry if somebody registered an SDK. */
export class Telemetry implements Listener {
  onHit: HitListener | undefined = undefined
  readonly calls: BackendCalls
  readonly #runtime: Runtime
  readonly #spans: Spans | undefined
  readonly #metrics: StoreMetrics | undefined
  readonly #registration = new Registration()
  /** Whether somebody traces or collects metrics. */
  #heard = false

  constructor(store: string, backend: Backend, runtime: Runtime, options: TelemetryOptions) {
    const { spans = {}, metrics = true, tracerProvider, meterProvider } = options
    const version = packageVersion()
    const capacity = metrics ? capacityOf(backend) : undefined
    this.#runtime = runtime
    this.#spans = spans === false ? undefined : new Spans(store, spans, tracerProvider, version)
    this.#metrics = metrics ? new StoreMetrics(store, meterProvider, version, capacity) : undefined
    this.calls = new BackendCalls(this.#spans, this.#metrics, runtime, capacity)
  }

  /** From now on the store works; `stats` says what it has counted. */
  opened(stats: () => StoreStats): void {
    this.#metrics?.open(stats)
    this.#sync()
  }

  closed(): void {
    this.#metrics?.close()
  }

  operation<T>(
    name: OperationName,
    key: string | undefined,
    run: () => MaybePromise<T>,
    describe: (value: T) => Outcome,
  ): MaybePromise<T> {
    this.#sync()
    if (!this.#heard) return this.#countErrors(name, run)
    const started = this.#spans?.operation(name, key)
    return this.#watch(OPERATION[name], name === "getOrSet", started, run, describe)
  }

  async load<T>(
    key: string,
    background: boolean,
    run: () => Promise<T>,
    describe: (value: T) => Outcome,
  ): Promise<T> {
    this.#sync()
    if (background) return this.#watch("refresh", true, this.#spans?.refresh(key), run, describe)
    const started = this.#spans?.load(key)
    if (started === undefined) return run()
    // Its time and its failure are in the metrics of the operations that wait for it.
    return watch(
      started.context,
      run,
      (value) => end(started, outcomeAttributes(describe(value))),
      (error) => endFailed(started, error),
    )
  }

  capture(): unknown {
    return this.#spans?.capture()
  }

  joined(captured: unknown): void {
    if (captured !== undefined) safely(() => waitFor(captured))
  }

  sampled(ms: number): void {
    this.#metrics?.sample(ms)
    this.#sync()
  }

  /** An SDK may be registered at any time, or taken away. */
  #sync(): void {
    if (!this.#registration.hasChanged()) return
    this.#spans?.sync()
    this.#metrics?.sync()
    this.onHit = this.#spans?.hearsHits ? this.#spans.onHit : undefined
    this.#heard = this.#spans?.tracer !== undefined || this.#metrics?.instruments !== undefined
  }

  /** Errors are counted though nobody collects them yet. */
  #countErrors<T>(name: OperationName, run: () => MaybePromise<T>): MaybePromise<T> {
    const metrics = this.#metrics
    if (metrics === undefined) return run()
    const count = (error: unknown) => void safely(() => metrics.countError(OPERATION[name], error))
    try {
      const answer = run()
      if (answer instanceof Promise) answer.then(undefined, count)
      return answer
    } catch (error) {
      count(error)
      throw error
    }
  }

  #watch<T>(
    operation: string,
    loads: boolean,
    started: Spanned | undefined,
    run: () => MaybePromise<T>,
    describe: (value: T) => Outcome,
  ): MaybePromise<T> {
    const metrics = this.#metrics
    const startedAt = metrics?.instruments === undefined ? undefined : this.#runtime.monotonic()
    const elapsed = () => (startedAt === undefined ? undefined : this.#runtime.monotonic() - startedAt)

    const done = (value: T) => {
      const outcome = describe(value)
      metrics?.recordOperation(elapsed(), operation, outcome)
      if (started !== undefined) end(started, outcomeAttributes(outcome))
    }
    const failed = (error: unknown) => {
      const tier = loads && !isKvError(error) ? "loader" : "l2"
      metrics?.recordFailure(elapsed(), operation, tier, error)
      if (started !== undefined)
        endFailed(started, error, { [ATTRIBUTE.tier]: tier, [ATTRIBUTE.result]: "error" })
    }
    return watch(started?.context, run, done, failed)
  }
}

/** The version of this package, for the scope; not to be had where a bundler has made one file of it. */
function packageVersion(): string | undefined {
  return safely(() => {
    const found: unknown = createRequire(import.meta.url)("tiered-kv/package.json")
    return typeof found === "object" && found !== null && "version" in found
      ? String(found.version)
      : undefined
  })
}
