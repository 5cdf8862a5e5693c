import type { Attributes, Histogram, MeterProvider } from "@opentelemetry/api"
import type { StoreStats } from "../../src/counters.ts"
import type { Outcome } from "../../src/listener.ts"
import type { Capacity } from "../capacity.ts"
import { errorType } from "../error-type.ts"
import { ATTRIBUTE } from "../names.ts"
import { registeredMeterProvider } from "../providers.ts"
import { safely } from "../safely.ts"
import { type Account, ErrorCounts, type Source } from "./account.ts"
import { type Instruments, instrumentsOf } from "./instruments.ts"
import type { Reading } from "./series.ts"

/** L1 durations kept between two collections; a power of two. */
const MAX_SAMPLES = 1_024

/** The metrics of one store. */
export class StoreMetrics implements Source {
  /** The instruments that record durations; `undefined` if no SDK collects metrics. */
  instruments: Instruments | undefined
  readonly errors = new ErrorCounts()
  readonly #store: string
  readonly #given: MeterProvider | undefined
  readonly #version: string | undefined
  readonly #capacity: Capacity | undefined
  /** The latest durations of L1 hits, ms, in a ring. */
  readonly #samples = new Float64Array(MAX_SAMPLES)
  #sampled = 0
  #stats: (() => StoreStats) | undefined
  #provider: MeterProvider | undefined
  #account: Account | undefined

  constructor(
    store: string,
    provider: MeterProvider | undefined,
    version: string | undefined,
    capacity: Capacity | undefined,
  ) {
    this.#store = store
    this.#given = provider
    this.#version = version
    this.#capacity = capacity
  }

  /** Starts to report the counters that `stats` returns. */
  open(stats: () => StoreStats): void {
    this.#stats = stats
    this.sync()
  }

  /** Ends the reports; the account keeps the final counts. */
  close(): void {
    this.#move(undefined)
    this.#stats = undefined
  }

  /** Makes the instruments again after an SDK was registered or removed: those made before never record anything. */
  sync(): void {
    if (this.#stats === undefined) return
    const provider = this.#given ?? registeredMeterProvider()
    if (provider === this.#provider) return
    this.#provider = provider
    this.#move(instrumentsOf(provider, this.#version))
  }

  sample(ms: number): void {
    this.#samples[this.#sampled++ & (MAX_SAMPLES - 1)] = ms
  }

  read(): Reading {
    if (this.#stats === undefined) throw new Error("a store that is not open has nothing to read")
    return { stats: this.#stats(), capacity: this.#capacity }
  }

  takeSamples(): number[] {
    const taken = this.#samples.subarray(0, Math.min(this.#sampled, MAX_SAMPLES))
    this.#sampled = 0
    return Array.from(taken, seconds)
  }

  /** Records the duration of an operation, ms, by its outcome. */
  recordOperation(ms: number | undefined, operation: string, { tier, result }: Outcome): void {
    if (ms === undefined) return
    const attributes = this.#attributes(operation, tier)
    if (result !== undefined) attributes[ATTRIBUTE.result] = result
    recordDuration(this.instruments?.operationDuration, ms, attributes)
  }

  /** Counts the error of an operation that failed, and records its duration, ms. */
  recordFailure(ms: number | undefined, operation: string, tier: Outcome["tier"], error: unknown): void {
    const type = this.countError(operation, error)
    if (ms === undefined) return
    const attributes = { ...this.#attributes(operation, tier), [ATTRIBUTE.errorType]: type }
    recordDuration(this.instruments?.operationDuration, ms, attributes)
  }

  /** Counts an error, also while no SDK collects metrics; returns its type. */
  countError(operation: string, error: unknown): string {
    const type = errorType(error)
    this.errors.add({ operation, type })
    return type
  }

  #attributes(operation: string, tier: Outcome["tier"]): Attributes {
    return { [ATTRIBUTE.name]: this.#store, [ATTRIBUTE.operation]: operation, [ATTRIBUTE.tier]: tier }
  }

  #move(instruments: Instruments | undefined): void {
    safely(() => this.#account?.leave(this))
    this.instruments = instruments
    this.#account = instruments?.account(this.#store)
    this.#account?.enter(this)
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
