/** The length of the window in which calls and retries are counted, seconds. */
const WINDOW_S = 10

/**
 * Bounds the retries of a store, so that an outage does not multiply the load on the backend: within 10 s at most `share` of the calls,
 * but at least one a second. A share of 0 allows none.
 */
export class RetryBudget {
  readonly #share: number
  readonly #calls = new Uint32Array(WINDOW_S)
  readonly #retries = new Uint32Array(WINDOW_S)
  #callsInWindow = 0
  #retriesInWindow = 0
  /** The second of the monotonic clock that is being counted. */
  #second = 0

  constructor(share: number) {
    this.#share = share
  }

  /** Counts a call. `now` is monotonic, ms. */
  count(now: number): void {
    const slot = this.#advance(now)
    this.#calls[slot] = (this.#calls[slot] ?? 0) + 1
    this.#callsInWindow++
  }

  /** Takes a retry from the budget; `false` if none is left. */
  spend(now: number): boolean {
    const slot = this.#advance(now)
    const allowed = this.#share === 0 ? 0 : Math.max(WINDOW_S, this.#share * this.#callsInWindow)
    if (this.#retriesInWindow >= allowed) return false
    this.#retries[slot] = (this.#retries[slot] ?? 0) + 1
    this.#retriesInWindow++
    return true
  }

  /** Drops the seconds that have left the window. Returns the slot of the current second. */
  #advance(now: number): number {
    const second = Math.floor(now / 1_000)
    if (second !== this.#second) {
      const passed = Math.min(WINDOW_S, second - this.#second)
      for (let step = 0; step < passed; step++) {
        const slot = (second - step) % WINDOW_S
        this.#callsInWindow -= this.#calls[slot] ?? 0
        this.#retriesInWindow -= this.#retries[slot] ?? 0
        this.#calls[slot] = 0
        this.#retries[slot] = 0
      }
      this.#second = second
    }
    return second % WINDOW_S
  }
}
