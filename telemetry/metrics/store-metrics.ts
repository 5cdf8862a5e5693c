import type { Attributes, Histogram, MeterProvider } from "@opentelemetry/api"
import type { StoreStats } from "../../src/counters.ts"
import { errorType } from "../../src/failures.ts"
import type { HitOperation, LoaderEnd, Outcome } from "../../src/listener.ts"
import type { Capacity } from "../capacity.ts"
import { ATTRIBUTE, OPERATION } from "../names.ts"
import { registeredMeterProvider } from "../providers.ts"
import { safely } from "../safely.ts"
import type { Account, Sample, Source } from "./account.ts"
import { type Instruments, instrumentsOf } from "./instruments.ts"
import type { Reading } from "./series.ts"

/** L1 durations kept between two collections; a power of two. */
const MAX_SAMPLES = 1_024

/** The metrics of one store. */
export class StoreMetrics implements Source {
  /** The instruments that record durations; `undefined` if no SDK collects metrics. */
  instruments: Instruments | undefined
  readonly #store: string
  readonly #given: MeterProvider | undefined
  readonly #capacity: Capacity | undefined
  /** The latest durations of L1 hits, in a ring. */
  readonly #samples: Sample[] = []
  #sampled = 0
  #stats: (() => StoreStats) | undefined
  #provider: MeterProvider | undefined
  #account: Account | undefined
  /** The accounts that it has left, and may enter again. */
  readonly #left = new Set<Account>()

  constructor(store: string, provider: MeterProvider | undefined, capacity: Capacity | undefined) {
    this.#store = store
    this.#given = provider
    this.#capacity = capacity
  }

  /** Starts to report the counters that `stats` returns. */
  open(stats: () => StoreStats): void {
    this.#stats = stats
    this.sync()
  }

  /** Ends the reports; the accounts keep the final counts. */
  close(): void {
    this.#move(undefined)
    for (const account of this.#left) account.closed(this)
    this.#left.clear()
    this.#stats = undefined
  }

  /** Makes the instruments again after an SDK was registered or removed: those made before never record anything. */
  sync(): void {
    if (this.#stats === undefined) return
    const provider = this.#given ?? registeredMeterProvider()
    if (provider === this.#provider) return
    this.#provider = provider
    this.#move(provider && instrumentsOf(provider))
  }

  sample(ms: number, operation: HitOperation): void {
    const sample = { seconds: seconds(ms), operation: OPERATION[operation] }
    this.#samples[this.#sampled++ & (MAX_SAMPLES - 1)] = sample
  }

  read(): Reading {
    if (this.#stats === undefined) throw new Error("a store that is not open has nothing to read")
    return { stats: this.#stats(), capacity: this.#capacity }
  }

  takeSamples(): Sample[] {
    this.#sampled = 0
    return this.#samples.splice(0)
  }

  /** Records the duration of an operation, ms, by its outcome. */
  recordOperation(ms: number | undefined, operation: string, { tier, result }: Outcome): void {
    if (ms === undefined) return
    const attributes = this.#attributes(operation, tier)
    if (result !== undefined) attributes[ATTRIBUTE.result] = result
    recordDuration(this.instruments?.operationDuration, ms, attributes)
  }

  /** Records the duration of an operation that its caller aborted for this reason, ms. */
  recordAborted(ms: number | undefined, operation: string, reason: unknown): void {
    if (ms === undefined) return
    const attributes = this.#attributes(operation, "l2")
    attributes[ATTRIBUTE.result] = "aborted"
    attributes[ATTRIBUTE.errorType] = errorType(reason)
    recordDuration(this.instruments?.operationDuration, ms, attributes)
  }

  /** Records the duration of an operation that failed with an error of this type, ms. */
  recordFailure(ms: number | undefined, operation: string, tier: Outcome["tier"], type: string): void {
    if (ms === undefined) return
    const attributes = { ...this.#attributes(operation, tier), [ATTRIBUTE.errorType]: type }
    recordDuration(this.instruments?.operationDuration, ms, attributes)
  }

  /** Records the duration of a loader alone, ms. */
  recordLoader(ms: number, end: LoaderEnd): void {
    recordDuration(this.instruments?.loaderDuration, ms, {
      [ATTRIBUTE.name]: this.#store,
      ...("error" in end
        ? { [ATTRIBUTE.errorType]: errorType(end.error) }
        : { [ATTRIBUTE.result]: end.result }),
    })
  }

  #attributes(operation: string, tier: Outcome["tier"]): Attributes {
    return { [ATTRIBUTE.name]: this.#store, [ATTRIBUTE.operation]: operation, [ATTRIBUTE.tier]: tier }
  }

  #move(instruments: Instruments | undefined): void {
    const account = this.#account
    if (account !== undefined) {
      safely(() => account.leave(this))
      this.#left.add(account)
    }
    this.instruments = instruments
    this.#account = instruments?.account(this.#store)
    if (this.#account === undefined) return
    this.#left.delete(this.#account)
    this.#account.enter(this)
  }
}

/** Records a duration, ms. Never throws. */
export function recordDuration(histogram: Histogram | undefined, ms: number, attributes: Attributes): void {
  if (histogram !== undefined) safely(() => histogram.record(seconds(ms), attributes))
}

/** Not below 0, even if the clock of the store runs backwards: a histogram refuses negative durations. */
function seconds(ms: number): number {
  return Math.max(0, ms) / 1e3
}
