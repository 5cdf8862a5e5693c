import { LruSlots, NONE } from "./lru-slots.ts"

/** The keys known to be absent, each until a time. The least recently used give way. */
export class Negatives {
  readonly #max: number
  readonly #slots: LruSlots
  /** Monotonic ms, by slot. */
  #until = new Float64Array(0)

  constructor(max: number) {
    this.#max = max
    this.#slots = new LruSlots(max)
  }

  get size(): number {
    return this.#slots.size
  }

  has(key: string): boolean {
    return this.#slots.find(key) !== NONE
  }

  /** Until when `key` is held as absent, monotonic ms; a use of it. `undefined` if it is not held. */
  until(key: string): number | undefined {
    if (this.size === 0) return undefined
    const slot = this.#slots.find(key)
    if (slot === NONE) return undefined
    this.#slots.touch(slot)
    return this.#until[slot]
  }

  /** Holds `key` as absent; says whether another key gave way. */
  hold(key: string, until: number): boolean {
    let slot = this.#slots.find(key)
    const evicts = slot === NONE && this.#slots.size === this.#max
    if (evicts) this.#slots.remove(this.#slots.oldest)
    if (slot === NONE) slot = this.#slots.add(key)
    else this.#slots.touch(slot)
    if (slot >= this.#until.length) {
      const larger = new Float64Array(this.#slots.capacity)
      larger.set(this.#until)
      this.#until = larger
    }
    this.#until[slot] = until
    return evicts
  }

  /** Says whether `key` was held. */
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
}
