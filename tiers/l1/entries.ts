import { L1Entry, sizeOf } from "./entry.ts"
import { Ghosts } from "./ghosts.ts"
import { LruSlots, NONE } from "./lru-slots.ts"
import { Versions } from "./versions.ts"

/** Slots that an eviction looks at for a dead entry before it takes the least recently used one. */
const PROBES = 2
/**
 * Slots that each column has room for at first. A column that is full grows to twice its size; the first sizes differ, so
 * that no two columns grow in the same fill.
 */
const FIRST_SLOTS = { bytes: 17, texts: 18, jsons: 19, freshUntil: 20, askedAt: 22, expiresAt: 26 }

/**
 * The entries of L1, bounded in number and in bytes. The least recently used are evicted; a dead entry goes first if one is
 * in the next slots that the eviction looks at.
 *
 * Entries lie in slots, a column for each of their fields: an object for each entry would take twice the memory, and the
 * garbage collector would have to visit it. A column takes memory once an entry needs it.
 */
export class Entries {
  readonly slots: LruSlots
  readonly ghosts: Ghosts
  /** The value, one character a byte. */
  bytes: string[] = []
  /** The bytes decoded as UTF-8, after the first read as text. */
  texts: (string | undefined)[] = []
  /** The text parsed as JSON and deep-frozen, after the first read as JSON. */
  jsons: unknown[] = []
  /** Until when the entry is fresh, monotonic ms. NaN in a free slot: neither before nor after any time. */
  freshUntil: Float64Array = new Float64Array(0)
  /** When the backend was asked for the entry, monotonic ms modulo 2^32. */
  #askedAt = new Uint32Array(0)
  /** Unix ms; 0, or beyond the end of the column, for an entry that does not expire. */
  #expiresAt: Float64Array = new Float64Array(0)
  #versions: Versions

  /** Entries removed for want of room, and those too large to be held at all. */
  readonly evictions = { entries: 0, bytes: 0, oversize: 0 }
  /** Entries removed because they were dead. */
  expirations = 0
  readonly #maxEntries: number
  readonly #maxBytes: number
  readonly #deadBefore: () => number
  #heldBytes = 0
  #probed = NONE

  /**
   * @param deadBefore monotonic ms. An entry that was fresh until then, or not as long, is dead: no call returns it any
   * more
   */
  constructor(maxEntries: number, maxBytes: number, deadBefore: () => number) {
    this.slots = new LruSlots(maxEntries)
    this.ghosts = new Ghosts(maxEntries)
    this.#versions = new Versions(maxEntries + 1)
    this.#maxEntries = maxEntries
    this.#maxBytes = maxBytes
    this.#deadBefore = deadBefore
  }

  /** Bytes held, by {@link sizeOf}. */
  get heldBytes(): number {
    return this.#heldBytes
  }

  /** Holds `entry` under `key`, in place of what was there, unless it is too large. */
  put(key: string, entry: L1Entry, askedAt: number, freshUntil: number): void {
    const size = sizeOf(key, entry.bytes)
    let slot = this.slots.find(key)
    if (size > this.#maxBytes) {
      this.evictions.oversize++
      if (slot !== NONE) this.remove(slot)
      return
    }
    if (slot === NONE) slot = this.#add(key)
    else {
      this.#empty(slot)
      this.slots.touch(slot)
    }
    this.bytes[slot] = entry.bytes
    this.freshUntil[slot] = freshUntil
    this.#askedAt[slot] = askedAt
    this.#setExpiry(slot, entry.expiresAt)
    this.#versions.set(slot, entry.version)
    this.#heldBytes += size
    this.#makeRoom()
  }

  /** Keeps a decoded text beside the bytes in `slot`. */
  keepText(slot: number, text: string): void {
    const charged = this.#size(slot)
    if (slot >= this.texts.length) this.texts.length = this.#slotsOf("texts", slot)
    this.texts[slot] = text
    this.#recharge(slot, charged)
  }

  /** Keeps a parsed JSON value beside the bytes in `slot`. */
  keepJson(slot: number, json: unknown): void {
    const charged = this.#size(slot)
    if (slot >= this.jsons.length) this.jsons.length = this.#slotsOf("jsons", slot)
    this.jsons[slot] = json
    this.#recharge(slot, charged)
  }

  /** Unix ms; `undefined` for an entry that does not expire. */
  expiresAt(slot: number): number | undefined {
    return this.#expiresAt[slot] || undefined
  }

  /** Time since the backend was asked for the entry, ms, modulo 2^32 (49 days). */
  age(slot: number, now: number): number {
    return (now - (this.#askedAt[slot] as number)) >>> 0
  }

  version(slot: number): string {
    return this.#versions.get(slot)
  }

  entry(slot: number): L1Entry {
    return new L1Entry(
      this.bytes[slot] as string,
      this.version(slot),
      this.expiresAt(slot),
      this.texts[slot],
      this.jsons[slot],
    )
  }

  /** Makes every entry stale from `since` on, monotonic ms. Returns how many were fresh. */
  makeStale(since: number): number {
    const { freshUntil } = this
    let made = 0
    for (let slot = 1; slot <= this.slots.highest; slot++) {
      if ((freshUntil[slot] as number) > since) {
        freshUntil[slot] = since
        made++
      }
    }
    this.ghosts.clear()
    return made
  }

  expire(slot: number): void {
    this.expirations++
    this.remove(slot)
  }

  remove(slot: number): void {
    this.#empty(slot)
    this.bytes[slot] = ""
    this.freshUntil[slot] = Number.NaN
    this.slots.remove(slot)
  }

  /** Removes every entry, and releases the memory. */
  clear(): void {
    this.slots.clear()
    this.ghosts.clear()
    this.bytes = []
    this.texts = []
    this.jsons = []
    this.freshUntil = new Float64Array(0)
    this.#askedAt = new Uint32Array(0)
    this.#expiresAt = new Float64Array(0)
    this.#versions = new Versions(this.#maxEntries + 1)
    this.#heldBytes = 0
    this.#probed = NONE
  }

  #add(key: string): number {
    if (this.slots.size === this.#maxEntries) this.#evict("entries")
    const slot = this.slots.add(key)
    this.#makeRoomFor(slot)
    return slot
  }

  #makeRoomFor(slot: number): void {
    if (slot >= this.bytes.length) this.bytes.length = this.#slotsOf("bytes", slot)
    if (slot >= this.freshUntil.length) {
      this.freshUntil = grown(this.freshUntil, this.#slotsOf("freshUntil", slot))
    }
    if (slot >= this.#askedAt.length) {
      const askedAt = new Uint32Array(this.#slotsOf("askedAt", slot))
      askedAt.set(this.#askedAt)
      this.#askedAt = askedAt
    }
  }

  #setExpiry(slot: number, expiresAt: number | undefined): void {
    if (slot >= this.#expiresAt.length) {
      if (expiresAt === undefined) return
      this.#expiresAt = grown(this.#expiresAt, this.#slotsOf("expiresAt", slot))
    }
    this.#expiresAt[slot] = expiresAt ?? 0
  }

  /** The new size of a column that has no room for `slot`, slots. */
  #slotsOf(column: keyof typeof FIRST_SLOTS, slot: number): number {
    return Math.min(this.#maxEntries + 1, Math.max(FIRST_SLOTS[column], 2 * slot))
  }

  /** Subtracts the size of `slot` from the bytes held, and releases what was decoded. */
  #empty(slot: number): void {
    this.#heldBytes -= this.#size(slot)
    if (slot < this.texts.length) this.texts[slot] = undefined
    if (slot < this.jsons.length) this.jsons[slot] = undefined
  }

  #size(slot: number): number {
    return sizeOf(this.slots.keyOf(slot), this.bytes[slot] as string, this.texts[slot], this.jsons[slot])
  }

  /** Charges `slot` for what was decoded in it, instead of `charged`, and makes it the most recently used. */
  #recharge(slot: number, charged: number): void {
    const size = this.#size(slot)
    this.#heldBytes += size - charged
    this.slots.touch(slot)
    if (size > this.#maxBytes) {
      this.evictions.oversize++
      this.remove(slot)
    }
    this.#makeRoom()
  }

  #makeRoom(): void {
    while (this.#heldBytes > this.#maxBytes) this.#evict("bytes")
  }

  #evict(shortOf: "entries" | "bytes"): void {
    const deadBefore = this.#deadBefore()
    for (let probe = 0; probe < PROBES; probe++) {
      this.#probed = this.#probed < this.slots.highest ? this.#probed + 1 : 1
      if ((this.freshUntil[this.#probed] as number) <= deadBefore) {
        this.expire(this.#probed)
        return
      }
    }
    this.evictions[shortOf]++
    const { oldest } = this.slots
    this.ghosts.evicted(this.slots.keyOf(oldest), this.freshUntil[oldest] as number, this.slots.size - 1)
    this.remove(oldest)
  }
}

function grown(column: Float64Array, slots: number): Float64Array {
  const larger = new Float64Array(slots)
  larger.set(column)
  return larger
}
