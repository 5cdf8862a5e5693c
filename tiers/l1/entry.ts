import { isUtf8 } from "node:buffer"
import { copyBytes } from "../util/byte-pool.ts"

/**
 * A value as L1 holds it: immutable, so that it can be shared by every reader without a copy.
 *
 * The bytes are kept as a string of one character a byte. V8 stores such a string in one byte a character behind a
 * 12-byte header (a `Uint8Array` costs some 200 bytes and half a microsecond to make), nobody can change it, and where
 * the bytes are ASCII it already is the text. Text and JSON are decoded on first use and stay beside the bytes.
 */
export class L1Entry {
  /** One character a byte, U+0000 to U+00FF. */
  readonly bytes: string
  /** The backend's version of the row. */
  readonly version: string
  /** Unix ms; `undefined` if the entry does not expire. */
  readonly expiresAt: number | undefined
  /** The bytes decoded as UTF-8, after the first read as text. */
  text: string | undefined
  /** The text parsed as JSON and deep-frozen, after the first read as JSON. */
  json: unknown

  /** @param value the bytes, copied; or the string that another entry holds them as */
  constructor(
    value: Uint8Array | string,
    version: string,
    expiresAt: number | undefined,
    text?: string,
    json?: unknown,
  ) {
    this.bytes = typeof value === "string" ? value : asBuffer(value).toString("latin1")
    this.version = version
    this.expiresAt = expiresAt
    this.text = text
    this.json = json
  }

  /** A copy of the bytes that belongs to the caller. */
  copyBytes(): Uint8Array {
    return copyBytes(this.bytes)
  }

  /** Decodes the text; `undefined` if the bytes are not UTF-8. */
  decodeText(): string | undefined {
    if (this.text === undefined) {
      if (isAscii(this.bytes)) this.text = this.bytes
      else {
        const bytes = Buffer.from(this.bytes, "latin1")
        if (isUtf8(bytes)) this.text = bytes.toString("utf8")
      }
    }
    return this.text
  }

  /** Decodes the JSON; throws a `SyntaxError` if the text is not JSON. */
  decodeJson(text: string): unknown {
    if (this.json === undefined) this.json = deepFreeze(JSON.parse(text))
    return this.json
  }
}

/** What L1 holds of a key, fresh or not. */
export interface KeptEntry {
  readonly entry: L1Entry
  /** Since the backend was asked for it, ms. */
  readonly ageMs: number
  /** Whether it is no longer fresh, so that only {@link L1.kept} returns it. */
  readonly stale: boolean
}

/**
 * What an entry occupies, bytes, by estimate: {@link ENTRY_OVERHEAD_BYTES}, its key, its bytes, and what was decoded of
 * them.
 */
export function sizeOf(key: string, bytes: string, text?: string, json?: unknown): number {
  let size = ENTRY_OVERHEAD_BYTES + key.length + bytes.length
  if (text !== undefined && text !== bytes) size += TEXT_BYTES_PER_CHARACTER * text.length
  if (json !== undefined) size += sizeOfJson(bytes)
  return size
}

/**
 * What an entry costs beyond its key and its value, bytes: its slot, its version and its place in the index. Measured by
 * `npm run bench -- memory`.
 */
export const ENTRY_OVERHEAD_BYTES = 160

/** V8 stores text beyond Latin-1 in two bytes a character. */
const TEXT_BYTES_PER_CHARACTER = 2
/**
 * What parsed JSON takes on the heap for each byte of its text, by estimate. A V8 object takes 56 bytes more, however short its text. A
 * name in an object takes 8 if many objects have it, and 150 if no other has: decision 0016 has the figures.
 */
const JSON_BYTES = new Uint8Array(256).fill(3)
for (const opening of "{[") JSON_BYTES[opening.charCodeAt(0)] = 3 + 56
JSON_BYTES[":".charCodeAt(0)] = 3 + 40

/** Counts braces and colons inside texts as well, because to tell them apart costs more than the estimate gains. */
function sizeOfJson(text: string): number {
  let size = 0
  for (let at = 0; at < text.length; at++) size += JSON_BYTES[text.charCodeAt(at)] as number
  return size
}

const NON_ASCII = /[\x80-\xff]/

function isAscii(bytes: string): boolean {
  return !NON_ASCII.test(bytes)
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** Freezes all of a parsed JSON value. Not recursive: 24 KiB of brackets nest deeper than the call stack allows. */
function deepFreeze(root: unknown): unknown {
  const pending = [root]
  while (pending.length > 0) {
    const value = pending.pop()
    if (typeof value !== "object" || value === null) continue
    Object.freeze(value)
    pending.push(...Object.values(value))
  }
  return root
}
