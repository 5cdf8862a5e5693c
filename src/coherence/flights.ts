import type { L1Entry } from "../../tiers/l1/entry.ts"
import type { Runtime } from "../../tiers/runtime.ts"
import type { Caller } from "../listener.ts"

/** A read of the backend under way. */
export interface Flight {
  /** When the request to the backend was made, monotonic ms. */
  readonly askedAt: number
  /** Whether the entry enters L1, unless the flight is dirty. */
  fill: boolean
  /** Reads that wait for it, beside the one that began it. */
  joined: number
  /** Since this read began, the key was written or invalidated, or other reads returned different versions. The entry may be older. */
  dirty: boolean
  /** The version that another read returned since this one began; `null`: absent. Only the same one enters L1. */
  shown: string | null | undefined
  readonly caller: Caller
  promise: Promise<L1Entry | undefined>
}

/** The flights whose entry may enter L1, at most two a key: one that later reads may join, and one before it. */
export class Flights {
  readonly #runtime: Runtime
  readonly #maxAgeMs: number
  readonly #joinable = new Map<string, Flight>()
  /** The flights that another read has overtaken, see {@link Flight.shown}. */
  readonly #overtaken = new Map<string, Flight>()

  /** @param maxAgeMs the time to live of L1; 0 without L1 */
  constructor(runtime: Runtime, maxAgeMs: number) {
    this.#runtime = runtime
    this.#maxAgeMs = maxAgeMs
  }

  begin(key: string, flight: Flight): void {
    this.#joinable.set(key, flight)
    // Without L1 a read must not return a value read before it began, so a flight can be joined only until this microtask.
    if (this.#maxAgeMs === 0) queueMicrotask(() => this.end(key, flight))
  }

  end(key: string, flight: Flight): void {
    if (this.#joinable.get(key) === flight) this.#joinable.delete(key)
    if (this.#overtaken.get(key) === flight) this.#overtaken.delete(key)
  }

  /**
   * The flight of `key`, if it was asked no longer ago than the time to live of L1. An older one is dirtied, because its answer may
   * be staler than L1 allows.
   */
  of(key: string): Flight | undefined {
    const flight = this.#joinable.get(key)
    if (flight === undefined) return undefined
    if (this.#maxAgeMs === 0 || this.#runtime.monotonic() - flight.askedAt <= this.#maxAgeMs) return flight
    this.dirty(key)
    return undefined
  }

  /**
   * Is called when a read has returned `version` of `key` (`null`: absent). A flight under way may return something older, so later reads
   * start their own. What it returns enters L1 if it is the same version; otherwise L1 would hold no key whose reads always overlap.
   */
  shown(key: string, version: string | null): void {
    const overtaken = this.#overtaken.get(key)
    if (overtaken !== undefined && overtaken.shown !== version) overtaken.dirty = true
    const flight = this.#joinable.get(key)
    if (flight === undefined) return
    this.#joinable.delete(key)
    flight.shown = version
    if (overtaken === undefined || overtaken.dirty) this.#overtaken.set(key, flight)
    else flight.dirty = true
  }

  /** Marks the flights of `key`, and lets later reads start their own. */
  dirty(key: string): void {
    for (const flights of [this.#joinable, this.#overtaken]) {
      const flight = flights.get(key)
      if (flight === undefined) continue
      flight.dirty = true
      flights.delete(key)
    }
  }

  /** Marks every flight, and lets later reads start their own. */
  dirtyAll(): void {
    for (const flights of [this.#joinable, this.#overtaken]) {
      for (const flight of flights.values()) flight.dirty = true
      flights.clear()
    }
  }
}
