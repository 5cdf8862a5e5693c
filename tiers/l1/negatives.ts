import type { CoarseClock } from "./coarse-clock.ts"
import { LruSlots, NONE } from "./lru-slots.ts"

/** The keys known to be absent, each until a deadline. The least recently used are evicted. */
export class Negatives {
  /** Answers that a key is absent. */
  hits = 0
  /** Keys found past their deadline. */
  expirations = 0
  /** Keys removed for want of room. */
  evictions = 0
  readonly #max: number
  readonly #clock: CoarseClock
  readonly #slots: LruSlots
  /** By slot, monotonic ms. */
  #deadlines = new Float64Array(0)

  constructor(max: number, clock: CoarseClock) {
    this.#max = max
    this.#clock = clock
    this.#slots = new LruSlots(max)
  }

  get size(): number {
    return this.#slots.size
  }

  /** Whether `key` is held, past its deadline or not. Counts as no use. */
  holds(key: string): boolean {
    return this.#slots.find(key) !== NONE
  }

  /** Whether `key` is known to be absent. */
  has(key: string): boolean {
    if (this.size === 0) return false
    const slot = this.#slots.find(key)
    if (slot === NONE) return false
    if ((this.#deadlines[slot] as number) > this.#clock.trustedUntil) this.#slots.touch(slot)
    else if (!this.#hasByClock(key)) return false
    this.hits++
    return true
  }

  /** Holds `key` as absent until `deadline`, monotonic ms. */
  add(key: string, deadline: number): void {
    this.remove(key)
    if (this.size === this.#max) {
      this.#slots.remove(this.#slots.oldest)
      this.evictions++
    }
    const slot = this.#slots.add(key)
    if (slot >= this.#deadlines.length) {
      const deadlines = new Float64Array(2 * slot)
      deadlines.set(this.#deadlines)
      this.#deadlines = deadlines
    }
    this.#deadlines[slot] = deadline
  }

  /** Returns whether `key` was held. */
  remove(key: string): boolean {
    if (this.size === 0) return false
    const slot = this.#slots.find(key)
    if (slot === NONE) return false
    this.#slots.remove(slot)
    return true
  }

  clear(): void {
    this.#slots.clear()
  }

  /** As {@link has}, where only a reading of the clock can decide. */
  #hasByClock(key: string): boolean {
    const now = this.#clock.read()
    // The reading may have cleared everything.
    const slot = this.#slots.find(key)
    if (slot === NONE || !this.#clock.mayAnswer(now)) return false
    if (now < (this.#deadlines[slot] as number)) {
      this.#slots.touch(slot)
      return true
    }
    this.#slots.remove(slot)
    this.expirations++
    return false
  }
}
