/** The settings of an L1. The options of a store have the defaults of all but `keptMs`. */
export interface L1Settings {
  /** Entries held at most, up to `MAX_L1_ENTRIES`. */
  maxEntries: number
  /** Bytes held at most, by `sizeOf`. */
  maxBytes: number
  /** Longest time that an entry is fresh, ms. */
  ttlMs: number
  /** Longest time that a key is known to be absent, ms; 0 holds no absent keys. */
  negativeTtlMs: number
  /** Largest share by which a time to live is shortened at random. */
  jitter: number
  /** Whether an acknowledged write fills L1 with its value, if L1 held the key. @default false */
  fillOnWrite?: boolean
  /** How long an entry is kept after it was fresh, ms, but not past its expiry. @default 0 */
  keptMs?: number
}

/** Of an L1 that holds nothing. */
export const NOTHING: L1Settings = { maxEntries: 0, maxBytes: 0, ttlMs: 0, negativeTtlMs: 0, jitter: 0 }

/** Absent keys held at most: a budget of their own, so that misses evict no data. */
export function maxNegatives({ maxEntries }: L1Settings): number {
  return Math.max(100, Math.ceil(maxEntries / 10))
}

/** What L1 counted since it was made. */
export interface L1Counters {
  hits: number
  negativeHits: number
  /** Reads that twice the room would have answered besides. */
  doubledHits: number
  fills: number
  /** Entries removed for want of room: the least recently used, or a value too large to be held at all. */
  evictions: { entries: number; bytes: number; oversize: number; negatives: number }
  /** Entries found past the time until which they are kept. */
  expirations: number
  /** Entries dropped by a write, an invalidation or a step of the wall clock. */
  invalidations: number
}
