const EMPTY = -1
const HOLE = -2
const MIN_SLOTS = 1024

/**
 * Exact LRU stack distances, in O(log n) an access (Mattson's algorithm, over a Fenwick tree of last-access times).
 *
 * The stack lists the keys by their last access. A key found at position `d` is a hit in every LRU cache of at least
 * `d` entries and a miss in every smaller one, so that one pass answers for all sizes. A key that was dropped leaves a
 * hole: every cache that held it has a free place from then on, and the next key from below fills it without an eviction.
 *
 * Keys are small whole numbers, given out by the caller. Memory grows with the keys in the stack, not with the accesses.
 */
export class LruStack {
  /** Slot of each key's last access; 0 for a key that is not in the stack. Slots are in order of time. */
  #slotOf = new Int32Array(MIN_SLOTS)
  /** What each slot holds: a key, `HOLE` or `EMPTY`. Slot 0 is not used. */
  #occupant = new Int32Array(MIN_SLOTS + 1).fill(EMPTY)
  /** Fenwick tree: how many slots are not empty. */
  #counts = new Int32Array(MIN_SLOTS + 1)
  #lastSlot = 0
  #depth = 0
  readonly #holes = new MaxHeap()

  /** Moves `key` to the top. Its position before, from 1 at the top, or 0 if it was not in the stack. */
  touch(key: number): number {
    this.#makeRoomFor(key)
    const slot = this.#slot(key)
    const position = slot === 0 ? 0 : this.#positionOf(slot)
    const topHole = this.#holes.max()
    if (topHole > slot) {
      // The keys above the hole move down into it. What lies between the hole and the key's old place stays, and the
      // free place is now where the key was: the caches too small to have held the key have used theirs.
      this.#holes.pop()
      this.#clear(topHole)
      if (slot !== 0) this.#dig(slot)
    } else if (slot !== 0) {
      this.#clear(slot)
    }
    this.#lastSlot++
    this.#occupant[this.#lastSlot] = key
    this.#slotOf[key] = this.#lastSlot
    this.#add(this.#lastSlot, 1)
    this.#depth++
    return position
  }

  /** Takes `key` out of the stack, and so out of every cache that holds it. */
  drop(key: number): void {
    const slot = this.#slot(key)
    if (slot === 0) return
    this.#dig(slot)
    this.#slotOf[key] = 0
  }

  #slot(key: number): number {
    return this.#slotOf[key] ?? 0
  }

  #dig(slot: number): void {
    this.#occupant[slot] = HOLE
    this.#holes.push(slot)
  }

  #clear(slot: number): void {
    this.#occupant[slot] = EMPTY
    this.#add(slot, -1)
    this.#depth--
  }

  #positionOf(slot: number): number {
    let older = 0
    for (let i = slot - 1; i > 0; i -= i & -i) older += this.#counts[i] ?? 0
    return this.#depth - older
  }

  #add(slot: number, change: number): void {
    const counts = this.#counts
    for (let i = slot; i < counts.length; i += i & -i) counts[i] = (counts[i] ?? 0) + change
  }

  #makeRoomFor(key: number): void {
    if (key >= this.#slotOf.length) {
      const grown = new Int32Array(Math.max(key + 1, this.#slotOf.length * 2))
      grown.set(this.#slotOf)
      this.#slotOf = grown
    }
    if (this.#lastSlot === this.#occupant.length - 1) this.#compact()
  }

  /** Numbers the slots in use from 1, and leaves as many free: amortised over the accesses, O(1) each. */
  #compact(): void {
    const slots = Math.max(MIN_SLOTS, this.#depth * 2)
    const occupant = new Int32Array(slots + 1).fill(EMPTY)
    const counts = new Int32Array(slots + 1)
    const holes: number[] = []
    let last = 0
    for (const held of this.#occupant) {
      if (held === EMPTY) continue
      last++
      occupant[last] = held
      counts[last] = 1
      if (held === HOLE) holes.push(last)
      else this.#slotOf[held] = last
    }
    for (let i = 1; i <= slots; i++) {
      const parent = i + (i & -i)
      if (parent <= slots) counts[parent] = (counts[parent] ?? 0) + (counts[i] ?? 0)
    }
    this.#occupant = occupant
    this.#counts = counts
    this.#lastSlot = last
    this.#holes.refill(holes)
  }
}

/** A binary heap of positive numbers, the greatest on top. */
class MaxHeap {
  #items: number[] = []

  /** The greatest, or 0 if there is none. */
  max(): number {
    return this.#items[0] ?? 0
  }

  /** Takes numbers in ascending order, all at once. */
  refill(ascending: number[]): void {
    this.#items = ascending.reverse()
  }

  push(item: number): void {
    const items = this.#items
    let at = items.length
    items.push(item)
    while (at > 0) {
      const parent = (at - 1) >> 1
      const above = items[parent] ?? 0
      if (above >= item) break
      items[at] = above
      at = parent
    }
    items[at] = item
  }

  pop(): void {
    const items = this.#items
    const item = items.pop()
    if (item === undefined || items.length === 0) return
    let at = 0
    for (;;) {
      let child = at * 2 + 1
      if (child >= items.length) break
      if ((items[child + 1] ?? 0) > (items[child] ?? 0)) child++
      const below = items[child] ?? 0
      if (below <= item) break
      items[at] = below
      at = child
    }
    items[at] = item
  }
}
