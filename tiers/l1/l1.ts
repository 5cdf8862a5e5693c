import type { Runtime } from "../runtime.ts"
import { copyBytes } from "../util/byte-pool.ts"
import { CoarseClock } from "./coarse-clock.ts"
import { Entries } from "./entries.ts"
import type { KeptEntry, L1Entry } from "./entry.ts"
import { type LruSlots, NONE } from "./lru-slots.ts"
import { Negatives } from "./negatives.ts"
import { type L1Counters, type L1Settings, maxNegatives, NOTHING } from "./settings.ts"

/** Look-ups from one glance at the clock to the next. */
const LOOK_UPS_PER_GLANCE = 8
/** Glances between two hits that are timed: latency is sampled, because timing a hit costs more than the hit. */
const GLANCES_PER_SAMPLE = 32

/**
 * L1: the entries of one process, in memory, synchronous. The least recently used entries are evicted.
 *
 * Every entry has two times. Until the first it is fresh and L1 answers with it: for the time to live, and never past its
 * expiry in L2. Until the second it is kept for {@link L1.kept}. Time makes an entry stale; a write or an invalidation
 * removes it.
 */
export class L1 {
  readonly settings: L1Settings
  readonly #off: boolean
  readonly #keptMs: number
  readonly #entries: Entries
  readonly #slots: LruSlots
  readonly #negatives: Negatives
  readonly #clock: CoarseClock
  readonly #runtime: Runtime
  readonly #onSample: (() => void) | undefined
  /** What the backend was asked for until this moment, monotonic ms, is suspect. */
  #suspectUntil = Number.NEGATIVE_INFINITY
  #fills = 0
  /** The fills before the last suspicion: with no fill since, everything held is suspect. */
  #fillsAtSuspicion = 0
  #invalidations = 0
  /** Full rounds of {@link LOOK_UPS_PER_GLANCE} look-ups. */
  #rounds = 0
  #lookUpsLeft = LOOK_UPS_PER_GLANCE
  /** Look-ups that found no fresh entry. */
  #misses = 0

  /**
   * @param settings `undefined` makes an L1 that holds nothing
   * @param onSample is called just before one look-up in 256, if that finds an entry
   */
  constructor(settings: L1Settings | undefined, runtime: Runtime, onSample?: () => void) {
    this.#off = settings === undefined
    settings ??= NOTHING
    this.settings = settings
    this.#keptMs = settings.keptMs ?? 0
    this.#runtime = runtime
    this.#onSample = onSample
    this.#clock = new CoarseClock(runtime, () => this.clear())
    this.#entries = new Entries(
      settings.maxEntries,
      settings.maxBytes,
      // By the last reading of the clock, so that an entry may be kept for longer and never for less. Without an allowance
      // order of use alone decides, which the simulation of `tiered-kv replay` relies on.
      () => (this.#keptMs === 0 ? Number.NEGATIVE_INFINITY : this.#clock.lastReading - this.#keptMs),
    )
    this.#slots = this.#entries.slots
    this.#negatives = new Negatives(maxNegatives(settings), this.#clock)
  }

  /**
   * The slot of the fresh entry under `key`, or {@link NONE}. The caller reads the slot before it calls anything else,
   * because any call may give the slot to another key.
   */
  find(key: string): number {
    // Before the look-up, because a glance at the clock can clear everything.
    if (--this.#lookUpsLeft === 0) this.#startRound(key)
    const slot = this.#slots.find(key)
    if (slot === NONE) {
      this.#misses++
      return NONE
    }
    if ((this.#entries.freshUntil[slot] as number) > this.#clock.trustedUntil) {
      this.#slots.touch(slot)
      return slot
    }
    return this.#findByClock(key)
  }

  /** A copy of the bytes in a slot that belongs to the caller. */
  copyBytesAt(slot: number): Uint8Array {
    return copyBytes(this.#entries.bytes[slot] as string)
  }

  /** Bytes of the value in a slot. */
  lengthAt(slot: number): number {
    return (this.#entries.bytes[slot] as string).length
  }

  /** The text in a slot; `undefined` if it was never decoded. */
  textAt(slot: number): string | undefined {
    return this.#entries.texts[slot]
  }

  /** The JSON in a slot; `undefined` if it was never decoded. */
  jsonAt(slot: number): unknown {
    return this.#entries.jsons[slot]
  }

  /** The backend's version of the row in a slot. */
  versionAt(slot: number): string {
    return this.#entries.version(slot)
  }

  /** When the entry in a slot expires in L2, Unix ms; `undefined` if it does not. */
  expiresAt(slot: number): number | undefined {
    return this.#entries.expiresAt(slot)
  }

  entryAt(slot: number): L1Entry {
    return this.#entries.entry(slot)
  }

  /** The fresh entry under `key`. */
  get(key: string): L1Entry | undefined {
    const slot = this.find(key)
    return slot === NONE ? undefined : this.#entries.entry(slot)
  }

  /** What is held of `key`, fresh or not, for a caller who may answer with a stale entry or asks whether it is still true. */
  kept(key: string): KeptEntry | undefined {
    const now = this.#clock.read()
    const slot = this.#slots.find(key)
    if (slot === NONE) return undefined
    const stale = !this.#isFresh(slot, now)
    if (stale && !this.#isKept(slot, now)) {
      this.#entries.expire(slot)
      return undefined
    }
    this.#slots.touch(slot)
    return { entry: this.#entries.entry(slot), ageMs: this.#entries.age(slot, now), stale }
  }

  /** Whether `key` is known to be absent. Asked after {@link L1.find}, whose look-up counts for both. */
  isAbsent(key: string): boolean {
    this.#entries.ghosts.missed(key, this.#clock)
    return this.#negatives.has(key)
  }

  /**
   * Holds `entry`, fresh for the time to live less its jitter, counted from `askedAt`, and never past its expiry.
   *
   * @param askedAt monotonic ms at which the backend was asked for the entry. @default now, as if it answered at once
   */
  fill(key: string, entry: L1Entry, askedAt?: number): void {
    if (this.#off) return
    askedAt ??= this.#runtime.monotonic()
    let freshUntil = askedAt > this.#suspectUntil ? askedAt + this.#jittered(this.settings.ttlMs) : askedAt
    if (entry.expiresAt !== undefined) {
      const left = entry.expiresAt - this.#runtime.now()
      if (left <= 0) return
      freshUntil = Math.min(freshUntil, this.#runtime.monotonic() + left)
    }
    this.#negatives.remove(key)
    this.#fills++
    this.#entries.put(key, entry, askedAt, freshUntil)
    // An entry that was held before comes with what was decoded.
    if (entry.text !== undefined) this.keepText(key, entry)
    if (entry.json !== undefined) this.keepJson(key, entry)
  }

  /** Holds `key` as absent; `askedAt` as for {@link L1.fill}. */
  fillAbsent(key: string, askedAt?: number): void {
    const slot = this.#slots.find(key)
    if (slot !== NONE) this.#entries.remove(slot)
    if (this.settings.negativeTtlMs === 0) return
    askedAt ??= this.#runtime.monotonic()
    if (askedAt <= this.#suspectUntil) return
    this.#negatives.add(key, askedAt + this.#jittered(this.settings.negativeTtlMs))
  }

  /** Keeps the text of `entry`, decoded since it was filled, if L1 still holds its bytes under `key`. */
  keepText(key: string, entry: L1Entry): void {
    const slot = this.#slotOf(key, entry)
    if (slot !== NONE && entry.text !== undefined) this.#entries.keepText(slot, entry.text)
  }

  /** The same for its JSON. */
  keepJson(key: string, entry: L1Entry): void {
    const slot = this.#slotOf(key, entry)
    if (slot !== NONE) this.#entries.keepJson(slot, entry.json)
  }

  /** Drops what is held of `key`. */
  drop(key: string): void {
    this.#entries.ghosts.forget(key)
    const slot = this.#slots.find(key)
    if (slot !== NONE) {
      this.#entries.remove(slot)
      this.#invalidations++
    }
    if (this.#negatives.remove(key)) this.#invalidations++
  }

  /**
   * Makes everything *suspect* that the backend was asked for until now, in L1 or on its way, and for `forMs` more: it may
   * have been replaced unnoticed. A suspect entry is stale, and can be confirmed by its version. Absent keys are dropped.
   * Returns how many entries it made stale.
   */
  suspectAll(forMs = 0): number {
    const now = this.#runtime.monotonic()
    const made = this.#fills === this.#fillsAtSuspicion ? 0 : this.#entries.makeStale(now)
    this.#fillsAtSuspicion = this.#fills
    this.#suspectUntil = Math.max(this.#suspectUntil, now + forMs)
    this.#invalidations += this.#negatives.size
    this.#negatives.clear()
    return made
  }

  /** L1 answers until `until`, monotonic ms, and again once that is moved on. Without a call it always does. */
  answerUntil(until: number): void {
    this.#clock.answerUntil(until)
  }

  /** The version held under `key`, fresh or not; `null` if it is held as absent. Counts as no use. */
  versionOf(key: string): string | null | undefined {
    const slot = this.#slots.find(key)
    if (slot !== NONE) return this.#entries.version(slot)
    return this.#negatives.holds(key) ? null : undefined
  }

  clear(): void {
    this.#invalidations += this.#slots.size + this.#negatives.size
    this.#entries.clear()
    this.#negatives.clear()
  }

  /** What it held counts as no invalidation. */
  close(): void {
    this.#entries.clear()
    this.#negatives.clear()
    this.#clock.stop()
  }

  /** Look-ups so far. */
  get lookUps(): number {
    return this.#rounds * LOOK_UPS_PER_GLANCE + (LOOK_UPS_PER_GLANCE - this.#lookUpsLeft)
  }

  get entries(): number {
    return this.#slots.size
  }

  get negatives(): number {
    return this.#negatives.size
  }

  /** Bytes held, by `sizeOf`. */
  get bytes(): number {
    return this.#entries.heldBytes
  }

  counters(): L1Counters {
    const { evictions, expirations } = this.#entries
    return {
      hits: this.lookUps - this.#misses,
      negativeHits: this.#negatives.hits,
      doubledHits: this.#entries.ghosts.hits,
      fills: this.#fills,
      evictions: { ...evictions, negatives: this.#negatives.evictions },
      expirations: expirations + this.#negatives.expirations,
      invalidations: this.#invalidations,
    }
  }

  #startRound(key: string): void {
    this.#lookUpsLeft = LOOK_UPS_PER_GLANCE
    this.#rounds++
    this.#clock.glance()
    if (this.#rounds % GLANCES_PER_SAMPLE === 0 && this.#slots.find(key) !== NONE) this.#onSample?.()
  }

  /** As {@link L1.find}, where only a new reading of the clock can decide. */
  #findByClock(key: string): number {
    const now = this.#clock.read()
    // The reading may have cleared everything.
    const slot = this.#slots.find(key)
    if (slot !== NONE && this.#isFresh(slot, now)) {
      this.#slots.touch(slot)
      return slot
    }
    this.#misses++
    if (slot !== NONE && !this.#isKept(slot, now)) this.#entries.expire(slot)
    return NONE
  }

  #isFresh(slot: number, now: number): boolean {
    return (
      now < (this.#entries.freshUntil[slot] as number) && this.#clock.mayAnswer(now) && !this.#isExpired(slot)
    )
  }

  #isKept(slot: number, now: number): boolean {
    return now < (this.#entries.freshUntil[slot] as number) + this.#keptMs && !this.#isExpired(slot)
  }

  /** Whether the entry has expired in L2 by the last reading of the wall clock, which has no fractions of a millisecond. */
  #isExpired(slot: number): boolean {
    const expiresAt = this.#entries.expiresAt(slot)
    return expiresAt !== undefined && expiresAt <= this.#clock.wall
  }

  #jittered(ttlMs: number): number {
    return ttlMs * (1 - this.settings.jitter * this.#runtime.random())
  }

  /** The slot of `key` if it holds the bytes of `entry`. */
  #slotOf(key: string, entry: L1Entry): number {
    const slot = this.#slots.find(key)
    return slot !== NONE && this.#entries.bytes[slot] === entry.bytes ? slot : NONE
  }
}
