import { LruStack } from "./lru-stack.ts"

export interface SimulatedSize {
  /** Entries that L1 holds at most; `Infinity` for one that never evicts. */
  maxEntries: number
  /** Reads that such an L1 answers with a value. */
  hits: number
}

/**
 * The hits that L1 would have at several sizes, from one pass over the accesses.
 *
 * The model is L1's own: least recently used goes first, bounded by entries; a read of a present key fills, a write or a
 * delete drops, a read of an absent key takes no place; an entry lives for the L1 TTL from its fill, never past its
 * expiry in the backend, and keeps its place until it is asked for again or evicted. Left out are the bound in bytes, the
 * jitter of the TTL, negative entries, and concurrency: every access ends before the next begins.
 */
export class L1Simulation {
  readonly #sizes: readonly number[]
  readonly #ttlMs: number
  readonly #stack = new LruStack()
  readonly #hits: Float64Array
  #reads = 0
  /** Until when the entry answers, by key and size: an L1 that evicted it meanwhile has filled it later. */
  #deadlines = new Float64Array(0)
  /** When the key expires in the backend; `-Infinity` while it is absent there. */
  #expiries = new Float64Array(0)

  /** `ttlMs` is the L1 TTL; `Infinity` where time is not modelled. */
  constructor(sizes: readonly number[], ttlMs: number) {
    this.#sizes = sizes
    this.#ttlMs = ttlMs
    this.#hits = new Float64Array(sizes.length)
  }

  /** A read. `key` is a small whole number; a key never seen before is taken to be present and without expiry. */
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

  /** A write that the backend applied. `expiresAt` is `Infinity` for none. */
  write(key: number, expiresAt: number): void {
    this.#makeRoomFor(key)
    this.#expiries[key] = expiresAt
    this.#stack.drop(key)
  }

  /** A create: applied only if the key is absent. The L1 entry is dropped either way. `seen` says whether `key` has come before. */
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

  /** By size, in the order of the constructor's. */
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

/** Sizes to simulate: the chosen one, its halvings down to 1, six doublings, and one that never evicts. */
export function sizesAround(chosen: number): number[] {
  const sizes = new Set([chosen])
  for (let size = chosen / 2; size >= 1; size /= 2) sizes.add(Math.round(size))
  for (let doublings = 1; doublings <= 6; doublings++) sizes.add(chosen * 2 ** doublings)
  return [...sizes].sort((a, b) => a - b).concat(Infinity)
}
