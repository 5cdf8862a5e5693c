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
  readonly #words: readonly number[]

  constructor(words: readonly number[]) {
    this.#words = words
  }

  toString(): string {
    const words = this.#words
    for (let at = 0; at < words.length; at++) scratch.writeInt32BE(words[at] as number, at * BYTES_A_WORD)
    return scratch.toString("hex", 0, words.length * BYTES_A_WORD)
  }
}

/**
 * Versions by slot. Hex digits are packed, into a third of the memory of their text; a version of another form stays text.
 */
export class Versions {
  #capacity = 0
  #words = new Int32Array(0)
  /** How many words each has; 0 for text. */
  #lengths = new Uint8Array(0)
  #texts: (string | undefined)[] = []

  grow(capacity: number): void {
    this.#capacity = capacity
    const lengths = new Uint8Array(capacity)
    lengths.set(this.#lengths)
    this.#lengths = lengths
    if (this.#words.length > 0) {
      const words = new Int32Array(capacity * MAX_WORDS)
      words.set(this.#words)
      this.#words = words
    }
    if (this.#texts.length > 0) this.#texts.length = capacity
  }

  set(slot: number, version: string): void {
    const packed = this.#pack(slot, version)
    this.#lengths[slot] = packed
    if (packed === 0) {
      if (this.#texts.length === 0) this.#texts = new Array(this.#capacity)
      this.#texts[slot] = version
    } else if (this.#texts.length > 0) this.#texts[slot] = undefined
  }

  get(slot: number): string | PackedVersion {
    const words = this.#words
    const at = slot * MAX_WORDS
    const length = this.#lengths[slot] as number
    if (length === 0) return this.#texts[slot] as string
    const packed: number[] = []
    for (let word = 0; word < length; word++) packed.push(words[at + word] as number)
    return new PackedVersion(packed)
  }

  /** Packs `version`, and says into how many words; into none if it has another form. */
  #pack(slot: number, version: string): number {
    const length = version.length / DIGITS_A_WORD
    if (!Number.isInteger(length) || length > MAX_WORDS) return 0
    if (this.#words.length === 0) this.#words = new Int32Array(this.#capacity * MAX_WORDS)
    const words = this.#words
    let at = 0
    let found = 0
    for (let word = 0; word < length; word++) {
      let bits = 0
      for (const end = at + DIGITS_A_WORD; at < end; at++) {
        const digit = DIGITS[version.charCodeAt(at)] ?? NO_DIGIT
        found |= digit
        bits = (bits << 4) | digit
      }
      words[slot * MAX_WORDS + word] = bits
    }
    return found > 15 ? 0 : length
  }
}
