const DIGITS_A_BYTE = 2
/** Longest version that is packed, bytes. The backends' own versions are 32 or 48 hex digits, or other text. */
const MAX_BYTES = 24

const NO_DIGIT = 0xff
const DIGITS = new Uint8Array(128).fill(NO_DIGIT)
for (let digit = 0; digit < 16; digit++) DIGITS[digit.toString(16).charCodeAt(0)] = digit

/** Slots of the first block; each further block has as many as all before it. */
const FIRST_BLOCK = 16

/**
 * Versions by slot. Hex digits are packed, two a byte, which takes a third of the memory of their text; a version of another
 * form stays text. The bytes lie in blocks, so that growing copies none of them.
 */
export class Versions {
  readonly #slots: number
  readonly #blocks: Buffer[] = []
  /** How many bytes each version has; 0 for text. */
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

  get(slot: number): string {
    const length = this.#lengths[slot] as number
    if (length === 0) return this.#texts[slot] as string
    const block = blockOf(slot)
    const at = placeIn(block, slot)
    return (this.#blocks[block] as Buffer).toString("hex", at, at + length)
  }

  /** Packs `version`, and returns its length in bytes; 0 if it has another form. */
  #pack(slot: number, version: string): number {
    const length = version.length / DIGITS_A_BYTE
    if (!Number.isInteger(length) || length > MAX_BYTES) return 0
    const block = blockOf(slot)
    const bytes = this.#blocks[block] ?? this.#addBlock(block)
    const start = placeIn(block, slot)
    let found = 0
    for (let at = 0; at < length; at++) {
      const high = DIGITS[version.charCodeAt(DIGITS_A_BYTE * at)] ?? NO_DIGIT
      const low = DIGITS[version.charCodeAt(DIGITS_A_BYTE * at + 1)] ?? NO_DIGIT
      found |= high | low
      bytes[start + at] = (high << 4) | low
    }
    return found > 15 ? 0 : length
  }

  #addBlock(block: number): Buffer {
    const slots = Math.min(this.#slots, FIRST_BLOCK << block) - startOf(block)
    const bytes = Buffer.alloc(slots * MAX_BYTES)
    this.#blocks[block] = bytes
    return bytes
  }
}

function blockOf(slot: number): number {
  return 32 - Math.clz32(slot / FIRST_BLOCK)
}

/** The first slot of a block. */
function startOf(block: number): number {
  return block === 0 ? 0 : FIRST_BLOCK << (block - 1)
}

/** Where the bytes of `slot` begin in its block. */
function placeIn(block: number, slot: number): number {
  return (slot - startOf(block)) * MAX_BYTES
}
