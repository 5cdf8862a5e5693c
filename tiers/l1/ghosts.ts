import type { CoarseClock } from "./coarse-clock.ts"

/** Ghosts held at most. Of an L1 with more entries, a sample of the keys is followed: one in 2, in 4, in 8, … */
const MAX_GHOSTS = 1_024

/**
 * Estimates the reads that an L1 of twice the room would have answered, without holding a value: a ghost is an entry that
 * was evicted while it was fresh, as the hash of its key. The least recently used entries are evicted, so the last to be
 * evicted, as many as L1 holds, are those that twice the room would still hold.
 *
 * It works on evictions and on look-ups that found nothing, never on a hit. It holds at most 1,024 numbers with as many
 * deadlines.
 */
export class Ghosts {
  /** Look-ups of ghosts, as many as they stand for. */
  hits = 0
  /** One in so many keys is followed; a power of two. */
  readonly #oneIn: number
  /** By the hash of the key, until when the entry would have been fresh, monotonic ms; the first was evicted first. */
  readonly #ghosts = new Map<number, number>()

  constructor(maxEntries: number) {
    let oneIn = 1
    while (oneIn * MAX_GHOSTS < maxEntries) oneIn *= 2
    this.#oneIn = oneIn
  }

  get size(): number {
    return this.#ghosts.size
  }

  /** An entry was evicted, and L1 holds so many others. */
  evicted(key: string, freshUntil: number, held: number): void {
    const hash = hashOf(key)
    if (!this.#isFollowed(hash)) return
    this.#ghosts.delete(hash)
    this.#ghosts.set(hash, freshUntil)
    if (this.#ghosts.size <= Math.max(1, held / this.#oneIn)) return
    for (const oldest of this.#ghosts.keys()) {
      this.#ghosts.delete(oldest)
      return
    }
  }

  /** A look-up found no entry. */
  missed(key: string, clock: CoarseClock): void {
    if (this.#ghosts.size === 0) return
    const hash = hashOf(key)
    const freshUntil = this.#isFollowed(hash) ? this.#ghosts.get(hash) : undefined
    if (freshUntil === undefined) return
    this.#ghosts.delete(hash)
    if (freshUntil > clock.read()) this.hits += this.#oneIn
  }

  /** The key was written or invalidated: no L1 would hold its old value. */
  forget(key: string): void {
    if (this.#ghosts.size > 0) this.#ghosts.delete(hashOf(key))
  }

  clear(): void {
    this.#ghosts.clear()
  }

  #isFollowed(hash: number): boolean {
    return (hash & (this.#oneIn - 1)) === 0
  }
}

/** 32 bits, each of which depends on every character (FNV-1a, finished as MurmurHash3 is). */
function hashOf(key: string): number {
  let hash = 0x81_1c_9d_c5
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01_00_01_93)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85_eb_ca_6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2_b2_ae_35)
  return hash ^ (hash >>> 16)
}
