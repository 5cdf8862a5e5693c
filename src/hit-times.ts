import type { Runtime } from "../tiers/runtime.ts"
import type { HitListener, HitOperation, Listener } from "./listener.ts"
import type { Counters } from "./stats.ts"

/**
 * Times one L1 hit in 256, from its look-up to the answer that the caller gets. For such a hit it takes the place of the functions that the
 * store calls at the end of a hit, so that the other hits pay nothing.
 */
export class HitTimes {
  readonly #runtime: Runtime
  readonly #counters: Counters
  readonly #listener: Listener
  /** Look-ups of L1 so far. */
  readonly #lookUps: () => number
  #startedAt = 0
  #startedWith = 0

  constructor(runtime: Runtime, counters: Counters, listener: Listener, lookUps: () => number) {
    this.#runtime = runtime
    this.#counters = counters
    this.#listener = listener
    this.#lookUps = lookUps
  }

  /** Is called before a look-up that finds an entry. The entry may be stale. */
  begin(): void {
    const listener = this.#listener
    listener.onHit = this.#onHit
    listener.onPeek = this.#onPeek
    this.#startedWith = this.#lookUps()
    this.#startedAt = this.#runtime.monotonic()
  }

  readonly #onHit: HitListener = (operation, key, size, keys) => {
    this.#end(operation)
    this.#listener.onUntimedHit?.(operation, key, size, keys)
  }

  readonly #onPeek = () => this.#end("peek")

  #end(operation: HitOperation): void {
    const ms = this.#runtime.monotonic() - this.#startedAt
    const listener = this.#listener
    listener.onHit = listener.onUntimedHit
    listener.onPeek = undefined
    // The look-up began within a batch, or found a stale entry and is not the one of this hit.
    if (operation === "getMany" || this.#lookUps() !== this.#startedWith) return
    this.#counters.l1Latency.record(ms)
    listener.sampled(ms, operation)
  }
}
