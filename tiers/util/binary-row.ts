import type { StoredEntry } from "../backend.ts"
import { copyBytes } from "./byte-pool.ts"

/**
 * The row format of LMDB and Redis: a header of 40 bytes, then the value. Numbers are unsigned, big-endian.
 *
 * | offset | bytes | holds |
 * | --- | --- | --- |
 * | 0 | 2 | magic: `FE 6B` (no UTF-8 text begins with `FE`) |
 * | 2 | 1 | format of the row: 1 |
 * | 3 | 1 | flags: bit 0, the row expires; the others are reserved and zero |
 * | 4 | 8 | sequence: the ordinal number of this write in its store, at most 2^53 - 1 |
 * | 12 | 16 | id: identity of the write |
 * | 28 | 8 | expiry: Unix ms, 1 or more; zero without flag 0 |
 * | 36 | 4 | length of the value |
 * | 40 | – | the value; nothing follows it |
 *
 * Bytes 4 to 27 in hexadecimal are the version of the entry: 48 digits whose order as text is the order of the writes.
 * Other bytes are a {@link CorruptRow}, never an absent key.
 */
export const ROW_HEADER_BYTES = 40

export interface Row {
  value: Uint8Array
  /** 32 hex digits. */
  id: string
  /** 1 or more, and higher than that of any write before it. */
  sequence: number
  /** Unix ms, 1 or more. */
  expiresAt?: number
}

/** The bytes are no row, or one of a format that this release does not read. Backends map it to `CORRUPT_ENTRY`. */
export class CorruptRow extends Error {
  override get name(): string {
    return "CorruptRow"
  }
}

const MAGIC_0 = 0xfe
const MAGIC_1 = 0x6b
const FORMAT = 1
const EXPIRES = 1

const SEQUENCE_AT = 4
const ID_AT = 12
const EXPIRY_AT = 28
const LENGTH_AT = 36

const WORD = 2 ** 32

export function encodeRow({ value, id, sequence, expiresAt }: Row): Buffer {
  const bytes = Buffer.allocUnsafe(ROW_HEADER_BYTES + value.length)
  bytes[0] = MAGIC_0
  bytes[1] = MAGIC_1
  bytes[2] = FORMAT
  bytes[3] = expiresAt === undefined ? 0 : EXPIRES
  writeNumber(bytes, SEQUENCE_AT, sequence)
  if (bytes.write(id, ID_AT, EXPIRY_AT - ID_AT, "hex") !== EXPIRY_AT - ID_AT) {
    throw new TypeError("the id of a write is 32 hex digits")
  }
  writeNumber(bytes, EXPIRY_AT, expiresAt ?? 0)
  bytes.writeUInt32BE(value.length, LENGTH_AT)
  bytes.set(value, ROW_HEADER_BYTES)
  return bytes
}

/** Sets the sequence of an encoded row, for a caller that learns the sequence after encoding. */
export function setRowSequence(bytes: Buffer, sequence: number): void {
  writeNumber(bytes, SEQUENCE_AT, sequence)
}

/** The live entry in a row, its value copied; `undefined` if it has expired by `now`. Throws {@link CorruptRow}. */
export function decodeRow(bytes: Buffer, now: number): StoredEntry | undefined {
  const entry = lendRow(bytes, now)
  // Through a string, because allocating an ArrayBuffer costs more than copying twice.
  if (entry !== undefined) entry.value = copyBytes(bytes.toString("latin1", ROW_HEADER_BYTES, bytes.length))
  return entry
}

/** Like {@link decodeRow}, but the value is a view of `bytes`. */
export function lendRow(bytes: Buffer, now: number): StoredEntry | undefined {
  const expiresAt = rowExpiry(bytes)
  if (expiresAt !== undefined && expiresAt <= now) return undefined
  // With an explicit end: the buffer that LMDB returns has more memory than its `length`.
  const value = bytes.subarray(ROW_HEADER_BYTES, bytes.length)
  const version = rowVersion(bytes)
  return expiresAt === undefined ? { value, version } : { value, version, expiresAt }
}

/** Whether the row is live at `now`. Throws {@link CorruptRow}. */
export function isLiveRow(bytes: Buffer, now: number): boolean {
  const expiresAt = rowExpiry(bytes)
  return expiresAt === undefined || expiresAt > now
}

/** The expiry in the header, Unix ms, after a check of the whole header. Throws {@link CorruptRow}. */
export function rowExpiry(bytes: Buffer): number | undefined {
  checkRow(bytes)
  return bytes[3] === 0 ? undefined : readNumber(bytes, EXPIRY_AT)
}

/** The version of a row whose header was checked. */
export function rowVersion(bytes: Buffer): string {
  return bytes.toString("hex", SEQUENCE_AT, EXPIRY_AT)
}

/** The head of a row whose first {@link ROW_HEADER_BYTES} bytes are given, live or expired. Throws {@link CorruptRow}. */
export function decodeHead(bytes: Buffer, now: number): { id: string; version: string; live: boolean } {
  checkHeader(bytes)
  const live = bytes[3] === 0 || readNumber(bytes, EXPIRY_AT) > now
  return { id: bytes.toString("hex", ID_AT, EXPIRY_AT), version: rowVersion(bytes), live }
}

/** The identity of the write that left the row, also of an expired row. Throws {@link CorruptRow}. */
export function rowId(bytes: Buffer): string {
  checkRow(bytes)
  return bytes.toString("hex", ID_AT, EXPIRY_AT)
}

/** The version of a row with this sequence and id, equal to {@link rowVersion} of it. */
export function makeVersion(sequence: number, id: string): string {
  return sequence.toString(16).padStart(2 * (ID_AT - SEQUENCE_AT), "0") + id.toLowerCase()
}

/** Orders the versions of a key by the time of their writes. */
export function compareVersions(a: string, b: string): number {
  return a === b ? 0 : a < b ? -1 : 1
}

function checkRow(bytes: Buffer): void {
  checkHeader(bytes)
  const valueBytes = bytes.readUInt32BE(LENGTH_AT)
  if (bytes.length !== ROW_HEADER_BYTES + valueBytes) {
    throw new CorruptRow(
      `the row holds ${bytes.length - ROW_HEADER_BYTES} of the ${valueBytes} bytes of its value`,
    )
  }
}

function checkHeader(bytes: Buffer): void {
  const { length } = bytes
  if (length < ROW_HEADER_BYTES) throw new CorruptRow(`the row has ${length} bytes, its header alone has 40`)
  if (bytes[0] !== MAGIC_0 || bytes[1] !== MAGIC_1) throw new CorruptRow("the row does not begin as one")
  if (bytes[2] !== FORMAT) {
    throw new CorruptRow(`the row is of format ${bytes[2]}, this release reads format ${FORMAT}`)
  }
  const flags = bytes[3] ?? 0
  if ((flags & ~EXPIRES) !== 0) throw new CorruptRow("the row has flags that this release does not know")
  if ((flags === EXPIRES) !== readNumber(bytes, EXPIRY_AT) > 0) {
    throw new CorruptRow("the flag for an expiry and the expiry contradict each other")
  }
}

function writeNumber(bytes: Buffer, at: number, value: number): void {
  bytes.writeUInt32BE(Math.floor(value / WORD), at)
  bytes.writeUInt32BE(value % WORD, at + 4)
}

function readNumber(bytes: Buffer, at: number): number {
  return bytes.readUInt32BE(at) * WORD + bytes.readUInt32BE(at + 4)
}
