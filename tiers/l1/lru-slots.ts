/** No slot. In the circular list it is the sentinel: the oldest slot comes after it, the newest before it. */
export const NONE = 0

/** Keys that one map may hold. A map that grows moves all of its keys at once, so a larger one would stall the process. */
const KEYS_A_MAP = 131_072
const MAX_MAPS = 64
/** Slots that the keys and the links have room for at first. A full one grows to twice its size, not both at once. */
const FIRST_KEYS = 16
const FIRST_LINKS = 24

/**
 * Keys in numbered slots, ordered by use: the index and the list of an LRU whose values lie in arrays of its owner.
 *
 * A slot belongs to its key until {@link LruSlots.remove} or {@link LruSlots.clear}, and is then used again. Memory grows
 * with what is held, up to `maxSize` keys.
 */
export class LruSlots {
  readonly #maxSize: number
  /** Key → slot. Each key has its map among them, by its hash. */
  #maps: (Map<string, number> | undefined)[]
  #keys: string[] = []
  /** At `2 * slot` the slot used next after it, at `2 * slot + 1` the one used last before it. */
  #links = new Int32Array(0)
  #size = 0
  #highest = NONE
  /** The first of the slots to use again; each links to the next of them. */
  #free = NONE

  constructor(maxSize: number) {
    this.#maxSize = maxSize
    this.#maps = new Array(mapsFor(maxSize))
  }

  get size(): number {
    return this.#size
  }

  /** The highest slot used so far. */
  get highest(): number {
    return this.#highest
  }

  /** The least recently used slot. */
  get oldest(): number {
    return this.#size === 0 ? NONE : (this.#links[0] as number)
  }

  keyOf(slot: number): string {
    return this.#keys[slot] as string
  }

  /** The slot of `key`. Counts as no use. */
  find(key: string): number {
    return this.#maps[this.#mapOf(key)]?.get(key) ?? NONE
  }

  /** Makes `slot` the most recently used. */
  touch(slot: number): void {
    const links = this.#links
    const after = links[2 * slot] as number
    if (after === NONE) return
    const before = links[2 * slot + 1] as number
    links[2 * before] = after
    links[2 * after + 1] = before
    this.#append(slot)
  }

  /** A slot for `key`, which has none, as the most recently used. There has to be room for it. */
  add(key: string): number {
    const slot = this.#take()
    const at = this.#mapOf(key)
    const map = this.#maps[at]
    if (map === undefined) this.#maps[at] = new Map([[key, slot]])
    else map.set(key, slot)
    this.#keys[slot] = key
    this.#append(slot)
    this.#size++
    return slot
  }

  remove(slot: number): void {
    const links = this.#links
    const after = links[2 * slot] as number
    const before = links[2 * slot + 1] as number
    links[2 * before] = after
    links[2 * after + 1] = before
    links[2 * slot] = this.#free
    this.#free = slot
    const key = this.keyOf(slot)
    this.#maps[this.#mapOf(key)]?.delete(key)
    this.#keys[slot] = ""
    this.#size--
  }

  /** Removes every key, and releases the memory. */
  clear(): void {
    this.#maps = new Array(this.#maps.length)
    this.#keys = []
    this.#links = new Int32Array(0)
    this.#size = 0
    this.#highest = NONE
    this.#free = NONE
  }

  #append(slot: number): void {
    const links = this.#links
    const newest = links[1] as number
    links[2 * newest] = slot
    links[2 * slot + 1] = newest
    links[2 * slot] = NONE
    links[1] = slot
  }

  #take(): number {
    const slot = this.#free
    if (slot === NONE) {
      this.#makeRoomFor(++this.#highest)
      return this.#highest
    }
    this.#free = this.#links[2 * slot] as number
    return slot
  }

  #makeRoomFor(slot: number): void {
    const slots = Math.min(this.#maxSize + 1, 2 * slot)
    if (slot >= this.#keys.length) this.#keys.length = Math.max(slots, FIRST_KEYS)
    if (2 * slot >= this.#links.length) {
      const links = new Int32Array(2 * Math.max(slots, FIRST_LINKS))
      links.set(this.#links)
      this.#links = links
    }
  }

  #mapOf(key: string): number {
    const maps = this.#maps.length
    // A key that is no string is not found, and the caller refuses it then.
    return maps === 1 || typeof key !== "string" ? 0 : hash(key) & (maps - 1)
  }
}

/** How many maps share the keys: a power of two. */
function mapsFor(maxSize: number): number {
  let maps = 1
  while (maps < MAX_MAPS && maps * KEYS_A_MAP < maxSize) maps *= 2
  return maps
}

function hash(key: string): number {
  let hash = 0
  for (let i = 0; i < key.length; i++) hash = (Math.imul(hash, 31) + key.charCodeAt(i)) | 0
  return hash ^ (hash >>> 15)
}
