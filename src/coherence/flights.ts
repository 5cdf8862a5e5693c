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
  /** Since this read began, the key was written or invalidated, or another read returned it. The entry may be older than that. */
  dirty: boolean
  readonly caller: Caller
  promise: Promise<L1Entry | undefined>
}

/** The flights that later reads may join, at most one a key. */
export class Flights {
  readonly #runtime: Runtime
  readonly #maxAgeMs: number
  readonly #joinable = new Map<string, Flight>()

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

  /** Marks the flight of `key`, and lets later reads start their own. */
  dirty(key: string): void {
    const flight = this.#joinable.get(key)
    if (flight === undefined) return
    flight.dirty = true
    this.#joinable.delete(key)
  }

  /** Marks every flight, and lets later reads start their own. */
  dirtyAll(): void {
    for (const flight of this.#joinable.values()) flight.dirty = true
    this.#joinable.clear()
  }
}
