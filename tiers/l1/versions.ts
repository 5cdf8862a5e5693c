const DIGITS_A_WORD = 8
const BYTES_A_WORD = 4
/** Words of the longest version that is packed. The backends' own versions have 32 or 48 hex digits, or are other text. */
const MAX_WORDS = 6

const NO_DIGIT = 0xff
const DIGITS = new Uint8Array(128).fill(NO_DIGIT)
for (let digit = 0; digit < 16; digit++) DIGITS[digit.toString(16).charCodeAt(0)] = digit

const scratch = Buffer.alloc(MAX_WORDS * BYTES_A_WORD)

/** A version of hex digits, eight of them a word. To make text of it costs more than the rest of a hit. */
export class PackedVersion {
  readonly #words: readonly (number | undefined)[]
  readonly #length: number

  /** @param length how many of the words count */
  constructor(words: readonly (number | undefined)[], length: number) {
    this.#words = words
    this.#length = length
  }

  toString(): string {
    let at = 0
    for (let word = 0; word < this.#length; word++) {
      const bits = this.#words[word] as number
      scratch[at++] = bits >>> 24
      scratch[at++] = bits >>> 16
      scratch[at++] = bits >>> 8
      scratch[at++] = bits
    }
    return scratch.toString("hex", 0, at)
  }
}

/** Slots of the first block; each further block has as many as all before it. */
const FIRST_BLOCK = 16

/**
 * Versions by slot. Hex digits are packed, into a third of the memory of their text; a version of another form stays text.
 * The words lie in blocks, so that growing copies none of them.
 */
export class Versions {
  readonly #slots: number
  readonly #blocks: Int32Array[] = []
  /** How many words each version has; 0 for text. */
  #lengths = new Uint8Array(0)
  #texts: (string | undefined)[] = []

  /** @param slots all slots are below it */
  constructor(slots: number) {
    this.#slots = slots
  }

  set(slot: number, version: string): void {
    if (slot >= this.#lengths.length) {
      const lengths = new Uint8Array(Math.min(this.#slots, Math.max(FIRST_BLOCK, 2 * slot)))
      lengths.set(this.#lengths)
      this.#lengths = lengths
    }
    const length = this.#pack(slot, version)
    this.#lengths[slot] = length
    if (length === 0) {
      if (slot >= this.#texts.length) this.#texts.length = this.#lengths.length
      this.#texts[slot] = version
    } else if (slot < this.#texts.length) this.#texts[slot] = undefined
  }

  get(slot: number): string | PackedVersion {
    const length = this.#lengths[slot] as number
    if (length === 0) return this.#texts[slot] as string
    const block = blockOf(slot)
    const words = this.#blocks[block] as Int32Array
    const from = placeIn(block, slot)
    // All of the slot's words, because an array of a known length costs a third of one that grows.
    return new PackedVersion(
      [words[from], words[from + 1], words[from + 2], words[from + 3], words[from + 4], words[from + 5]],
      length,
    )
  }

  /** Packs `version`, and says into how many words; into none if it has another form. */
  #pack(slot: number, version: string): number {
    const length = version.length / DIGITS_A_WORD
    if (!Number.isInteger(length) || length > MAX_WORDS) return 0
    const block = blockOf(slot)
    const words = this.#blocks[block] ?? this.#addBlock(block)
    const from = placeIn(block, slot)
    let at = 0
    let found = 0
    for (let word = 0; word < length; word++) {
      let bits = 0
      for (const end = at + DIGITS_A_WORD; at < end; at++) {
        const digit = DIGITS[version.charCodeAt(at)] ?? NO_DIGIT
        found |= digit
        bits = (bits << 4) | digit
      }
      words[from + word] = bits
    }
    return found > 15 ? 0 : length
  }

  #addBlock(block: number): Int32Array {
    const slots = Math.min(this.#slots, FIRST_BLOCK << block) - startOf(block)
    const words = new Int32Array(slots * MAX_WORDS)
    this.#blocks[block] = words
    return words
  }
}

function blockOf(slot: number): number {
  return 32 - Math.clz32(slot / FIRST_BLOCK)
}

/** The first slot of a block. */
function startOf(block: number): number {
  return block === 0 ? 0 : FIRST_BLOCK << (block - 1)
}

/** Where the words of `slot` begin in its block. */
function placeIn(block: number, slot: number): number {
  return (slot - startOf(block)) * MAX_WORDS
}
