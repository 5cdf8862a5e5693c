import { LruStack } from "./lru-stack.ts"

export interface SimulatedSize {
  /** Maximum number of entries in L1; `Infinity`: no eviction. */
  maxEntries: number
  /** Reads that such an L1 answers with a value. */
  hits: number
}

/**
 * Computes the hits that L1 would have with several sizes, in one pass over the accesses.
 *
 * The model follows L1: it evicts the least recently used entry and is bounded by the number of entries. A read of a present key fills; a
 * write or a delete drops; a read of an absent key takes no place. An entry answers for the L1 TTL after its fill, but not past its
 * expiry in the backend, and keeps its place until it is read again or evicted. The model leaves out the bound in bytes, the jitter of the
 * TTL, negative entries, and concurrency: each access ends before the next begins.
 */
export class L1Simulation {
  readonly #sizes: readonly number[]
  readonly #ttlMs: number
  readonly #stack = new LruStack()
  readonly #hits: Float64Array
  #reads = 0
  /** Deadline of the entry, by key and size: sizes differ in when they filled it last. */
  #deadlines = new Float64Array(0)
  /** Expiry of the key in the backend; `-Infinity` while it is absent. */
  #expiries = new Float64Array(0)

  /** @param ttlMs the L1 TTL, ms; `Infinity` if the log has no times */
  constructor(sizes: readonly number[], ttlMs: number) {
    this.#sizes = sizes
    this.#ttlMs = ttlMs
    this.#hits = new Float64Array(sizes.length)
  }

  /** A read. `key` is a small whole number. A key not seen before counts as present, without expiry. */
  read(key: number, now: number): void {
    this.#makeRoomFor(key)
    this.#reads++
    const expiresAt = this.#expiries[key] ?? Infinity
    if (expiresAt <= now) {
      this.#stack.drop(key)
      return
    }
    const position = this.#stack.touch(key)
    const filledUntil = Math.min(now + this.#ttlMs, expiresAt)
    const base = key * this.#sizes.length
    for (let i = 0; i < this.#sizes.length; i++) {
      const held = position > 0 && position <= (this.#sizes[i] ?? 0)
      if (held && now < (this.#deadlines[base + i] ?? 0)) this.#hits[i] = (this.#hits[i] ?? 0) + 1
      else this.#deadlines[base + i] = filledUntil
    }
  }

  /** A write that the backend applied. `expiresAt` is `Infinity` without an expiry. */
  write(key: number, expiresAt: number): void {
    this.#makeRoomFor(key)
    this.#expiries[key] = expiresAt
    this.#stack.drop(key)
  }

  /** A create: applied only if the key is absent. It drops the L1 entry in any case. `seen`: whether an earlier access had `key`. */
  add(key: number, now: number, expiresAt: number, seen: boolean): void {
    this.#makeRoomFor(key)
    if (!seen || (this.#expiries[key] ?? Infinity) <= now) this.#expiries[key] = expiresAt
    this.#stack.drop(key)
  }

  delete(key: number): void {
    this.write(key, -Infinity)
  }

  /** Reads so far, those of absent keys included. */
  get reads(): number {
    return this.#reads
  }

  /** The hits by size, in the order of the sizes given to the constructor. */
  result(): SimulatedSize[] {
    return this.#sizes.map((maxEntries, i) => ({ maxEntries, hits: this.#hits[i] ?? 0 }))
  }

  #makeRoomFor(key: number): void {
    const capacity = this.#expiries.length
    if (key < capacity) return
    const grown = Math.max(1024, capacity * 2, key + 1)
    const expiries = new Float64Array(grown).fill(Infinity)
    expiries.set(this.#expiries)
    this.#expiries = expiries
    const deadlines = new Float64Array(grown * this.#sizes.length)
    deadlines.set(this.#deadlines)
    this.#deadlines = deadlines
  }
}

/** The sizes to simulate: the chosen one, its halves down to 1, six doublings, and one without eviction. */
export function sizesAround(chosen: number): number[] {
  const sizes = new Set([chosen])
  for (let size = chosen / 2; size >= 1; size /= 2) sizes.add(Math.round(size))
  for (let doublings = 1; doublings <= 6; doublings++) sizes.add(chosen * 2 ** doublings)
  return [...sizes].sort((a, b) => a - b).concat(Infinity)
}
