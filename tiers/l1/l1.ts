import { LRUCache } from "lru-cache"
import type { Runtime } from "../runtime.ts"
import { CoarseClock } from "./coarse-clock.ts"
import type { L1Entry } from "./entry.ts"

export interface L1Settings {
  /** Entries held at most. */
  maxEntries: number
  /** Bytes held at most, by {@link L1Entry.sizeUnder}. */
  maxBytes: number
  /** Longest time that an entry answers, ms. */
  ttlMs: number
  /** The same for absent keys, ms; 0 holds none. */
  negativeTtlMs: number
  /** Largest share by which a time to live is shortened at random. */
  jitter: number
}

/** Absent keys held at most: a budget of their own, so that misses cannot evict data. */
const MAX_NEGATIVES_SHARE = 0.1
const MIN_NEGATIVES = 100

/** Hits between two readings of the clock. */
const HITS_PER_READING = 64
/** Hits between two timed ones: latency is sampled, because timing a hit costs more than the hit. */
const HITS_PER_SAMPLE = 256

const NOTHING: L1Settings = { maxEntries: 0, maxBytes: 0, ttlMs: 0, negativeTtlMs: 0, jitter: 0 }

/** What L1 counted since it was made. */
export interface L1Counters {
  hits: number
  negativeHits: number
  fills: number
  /** Entries removed for want of room: the oldest, or a value too large to be held at all. */
  evictions: { entries: number; bytes: number; oversize: number; negatives: number }
  /** Entries found past their deadline. */
  expirations: number
  /** Entries dropped by a write, an invalidation or a step of the wall clock. */
  invalidations: number
}

/**
 * L1: the entries of one process, in memory, synchronous. Least recently used entries give way; every entry has a
 * deadline on the monotonic clock, never later than its expiry in L2.
 */
export class L1 {
  readonly settings: L1Settings
  readonly #entries: LRUCache<string, L1Entry>
  /** Absent key → deadline. */
  readonly #negatives: LRUCache<string, number>
  readonly #clock: CoarseClock
  readonly #runtime: Runtime
  readonly #onSample: ((ms: number) => void) | undefined
  readonly #counters = {
    /** Full rounds of {@link HITS_PER_READING} hits. */
    rounds: 0,
    negativeHits: 0,
    fills: 0,
    evictions: { entries: 0, bytes: 0, oversize: 0, negatives: 0 },
    expirations: 0,
    invalidations: 0,
  }
  #hitsLeft = HITS_PER_READING
  /** Entries that were found, but past their deadline. */
  #foundExpired = 0
  /** What the eviction under way makes room for: the count first, if it is at its limit, then bytes. */
  #shortOf: "entries" | "bytes" = "bytes"

  readonly #off: boolean

  /**
   * @param settings `undefined` makes an L1 that holds nothing
   * @param onSample receives the duration of one hit in 256, ms
   */
  constructor(settings: L1Settings | undefined, runtime: Runtime, onSample?: (ms: number) => void) {
    this.#off = settings === undefined
    settings ??= NOTHING
    this.settings = settings
    this.#runtime = runtime
    this.#onSample = onSample
    this.#clock = new CoarseClock(runtime, () => this.clear())
    this.#entries = new LRUCache({
      max: Math.max(1, settings.maxEntries),
      maxSize: Math.max(1, settings.maxBytes),
      dispose: (_entry, _key, reason) => {
        if (reason === "evict") this.#counters.evictions[this.#shortOf]++
        this.#shortOf = "bytes"
      },
    })
    this.#negatives = new LRUCache({
      max: Math.max(MIN_NEGATIVES, Math.ceil(settings.maxEntries * MAX_NEGATIVES_SHARE)),
      dispose: (_deadline, _key, reason) => {
        if (reason === "evict") this.#counters.evictions.negatives++
      },
    })
  }

  /** The fresh entry under `key`. */
  get(key: string): L1Entry | undefined {
    const entry = this.#entries.get(key)
    if (entry === undefined) return undefined
    if (--this.#hitsLeft === 0) this.#startRound(key)
    if (entry.deadline > this.#clock.trustedUntil || this.#clock.isBefore(entry.deadline, entry.expiresAt)) {
      return entry
    }
    return this.#expire(key)
  }

  /** Whether `key` is known to be absent. */
  isAbsent(key: string): boolean {
    if (this.#negatives.size === 0) return false
    const deadline = this.#negatives.get(key)
    if (deadline === undefined) return false
    if (this.#clock.isBefore(deadline)) {
      this.#counters.negativeHits++
      return true
    }
    this.#negatives.delete(key)
    this.#counters.expirations++
    return false
  }

  /**
   * Holds `entry` until its deadline: the time to live less its jitter, counted from `askedAt`, and never past its expiry.
   *
   * @param askedAt monotonic ms at which the backend was asked for the entry. @default now, as if it answered at once
   */
  fill(key: string, entry: L1Entry, askedAt?: number): void {
    const left =
      entry.expiresAt === undefined ? Number.POSITIVE_INFINITY : entry.expiresAt - this.#runtime.now()
    if (left <= 0 || this.#off) return
    this.#negatives.delete(key)
    const now = this.#clock.read()
    entry.deadline = Math.min((askedAt ?? now) + this.#jittered(this.settings.ttlMs), now + left)
    this.#hold(key, entry)
    this.#counters.fills++
  }

  /** Holds `key` as absent; `askedAt` as for {@link L1.fill}. */
  fillAbsent(key: string, askedAt = this.#clock.read()): void {
    this.#entries.delete(key)
    if (this.settings.negativeTtlMs === 0) return
    this.#negatives.set(key, askedAt + this.#jittered(this.settings.negativeTtlMs))
  }

  /** Charges `entry` for a form decoded since it was filled. */
  recharge(key: string, entry: L1Entry): void {
    // lru-cache keeps the old size where the same value is set again.
    if (this.#entries.peek(key) === entry && this.#entries.delete(key)) this.#hold(key, entry)
  }

  /** Drops what is held of `key`. */
  drop(key: string): void {
    if (this.#entries.delete(key)) this.#counters.invalidations++
    if (this.#negatives.delete(key)) this.#counters.invalidations++
  }

  /** The version held under `key`, fresh or not; `null` if it is held as absent. Counts as no use. */
  versionOf(key: string): string | null | undefined {
    return this.#entries.peek(key)?.version ?? (this.#negatives.has(key) ? null : undefined)
  }

  clear(): void {
    this.#counters.invalidations += this.#entries.size + this.#negatives.size
    this.#entries.clear()
    this.#negatives.clear()
  }

  close(): void {
    this.clear()
    this.#clock.stop()
  }

  get entries(): number {
    return this.#entries.size
  }

  get negatives(): number {
    return this.#negatives.size
  }

  /** Bytes held, by {@link L1Entry.sizeUnder}. */
  get bytes(): number {
    return this.#entries.calculatedSize
  }

  counters(): L1Counters {
    const { rounds, evictions, ...rest } = this.#counters
    const found = rounds * HITS_PER_READING + (HITS_PER_READING - this.#hitsLeft)
    return { hits: found - this.#foundExpired, evictions: { ...evictions }, ...rest }
  }

  #hold(key: string, entry: L1Entry): void {
    const size = entry.sizeUnder(key)
    if (size > this.settings.maxBytes) this.#counters.evictions.oversize++
    const full = this.#entries.size === this.settings.maxEntries && !this.#entries.has(key)
    this.#shortOf = full ? "entries" : "bytes"
    this.#entries.set(key, entry, { size })
  }

  #expire(key: string): undefined {
    this.#entries.delete(key)
    this.#counters.expirations++
    this.#foundExpired++
    return undefined
  }

  #jittered(ttlMs: number): number {
    return ttlMs * (1 - this.settings.jitter * this.#runtime.random())
  }

  #startRound(key: string): void {
    this.#hitsLeft = HITS_PER_READING
    this.#counters.rounds++
    this.#clock.read()
    if (this.#onSample !== undefined && (this.#counters.rounds * HITS_PER_READING) % HITS_PER_SAMPLE === 0) {
      const start = this.#runtime.monotonic()
      this.#entries.get(key)
      this.#onSample(this.#runtime.monotonic() - start)
    }
  }
}
