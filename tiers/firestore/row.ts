import type { StoredEntry, Write, WriteResult } from "../backend.ts"
import { KEY_FORM, LATEST_EXPIRY } from "../limits.ts"
import type { FieldValue, FirestoreDocument, Instant } from "./requests.ts"

/**
 * The row format: a document of the collection, whose id is the key, with these fields.
 *
 * | field | holds |
 * | --- | --- |
 * | `value` | string: the bytes in standard base64. Reads accept a bytes field as well |
 * | `expires_at` | timestamp: the expiry, exact to the ms; a TTL policy on it removes expired rows. Absent: no expiry |
 * | `version` | string: identity of the write, 32 hex digits. Rows of other writers have none |
 * | `created_at` | timestamp: time of the write |
 *
 * The head of a row is the row without its value.
 */
export interface RowHead {
  /** Identity of the write that left the row; empty if another program wrote it. */
  writeId: string
  version: string
  expiresAt: number | undefined
  updateTime: Instant
}

/** The fields needed to decide whether a row is live. */
export const LIVENESS_FIELDS: readonly string[] = ["expires_at"]

/** A document is not a row of a store. The backend maps it to `CORRUPT_ENTRY`. */
export class CorruptRow extends Error {
  override get name(): string {
    return "CorruptRow"
  }
}

/** The fields needed to decide which write left a row, and whether it is live. */
export const IDENTITY_FIELDS: readonly string[] = ["version", "expires_at"]

const WRITE_ID = /^[0-9a-f]{32}$/

export function encodeRow({ value, id, expiresAt }: Write, now: number): Record<string, string | Instant> {
  return {
    value: Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("base64"),
    version: id,
    created_at: toInstant(now),
    ...(expiresAt === undefined ? {} : { expires_at: toInstant(expiresAt) }),
  }
}

/** The row that a conditional delete leaves: it expired in 1970 and has the identity of the delete. */
export function encodeTombstone(id: string, now: number): Record<string, string | Instant> {
  return { value: "", version: id, created_at: toInstant(now), expires_at: toInstant(0) }
}

/** Throws {@link CorruptRow}. */
export function decodeHead({ fields, updateTime }: FirestoreDocument): RowHead {
  const { version, expires_at: expiry } = fields
  const writeId = typeof version === "string" && WRITE_ID.test(version) ? version : ""
  const expiresAt = expiry === undefined ? undefined : toMs(expiry)
  return { writeId, version: makeVersion(updateTime, writeId, expiresAt), expiresAt, updateTime }
}

/** The entry in a document, `undefined` if it has expired by `now`. Throws {@link CorruptRow}. */
export function liveEntry(document: FirestoreDocument, now: number): StoredEntry | undefined {
  const { version, expiresAt } = decodeHead(document)
  if (!isLive(expiresAt, now)) return undefined
  const value = decodeValue(document.fields.value)
  return expiresAt === undefined ? { value, version } : { value, version, expiresAt }
}

export function isLive(expiresAt: number | undefined, now: number): boolean {
  return expiresAt === undefined || expiresAt > now
}

/** The result of a write that was applied at this time. */
export function applied(
  { id, expiresAt }: Pick<Write, "id" | "expiresAt">,
  time: Instant | undefined,
): WriteResult {
  if (time === undefined) return { applied: true }
  const stored = expiresAt === undefined ? undefined : Math.min(expiresAt, LATEST_EXPIRY)
  return { applied: true, version: makeVersion(time, id, stored) }
}

/**
 * A version: the update time of the document, the identity of the write and the expiry. The time alone distinguishes and orders the writes
 * of a key. With the time as a precondition and the expiry, a compare-and-set needs no read before it.
 */
function makeVersion({ seconds, nanos }: Instant, writeId: string, expiresAt: number | undefined): string {
  const time = `${String(seconds).padStart(10, "0")}.${String(nanos).padStart(9, "0")}`
  return `${time}-${writeId}-${expiresAt ?? ""}`
}

const VERSION = /^(\d{10,})\.(\d{9})-(?:[0-9a-f]{32})?-(\d{1,15})?$/

export interface VersionParts {
  updateTime: Instant
  expiresAt: number | undefined
}

/** The parts of a version; `undefined` if it is no version of this kind of backend. */
export function parseVersion(version: string): VersionParts | undefined {
  const [, seconds, nanos, expiresAt] = VERSION.exec(version) ?? []
  if (seconds === undefined || nanos === undefined) return undefined
  return {
    updateTime: { seconds: Number(seconds), nanos: Number(nanos) },
    expiresAt: expiresAt === undefined ? undefined : Number(expiresAt),
  }
}

/** Compares as texts: the time comes first, with the same number of digits until the year 2286. */
export function compareVersions(a: string, b: string): number {
  return a === b ? 0 : a < b ? -1 : 1
}

const RESERVED_ID = /^(?:\.\.?|__.*__)$/

/** Whether Firestore reserves this text, so that it cannot be a document id. */
export function isReserved(id: string): boolean {
  return RESERVED_ID.test(id)
}

/** The document id of a key. A reserved one gets the prefix `~`, which no key contains. */
export function toDocumentId(key: string): string {
  return isReserved(key) ? `~${key}` : key
}

/** The key of a document id; `undefined` if the document is not of a store. */
export function toKey(id: string): string | undefined {
  const key = id.startsWith("~") ? id.slice(1) : id
  return KEY_FORM.test(key) && toDocumentId(key) === id ? key : undefined
}

function toInstant(ms: number): Instant {
  // The latest time that Firestore's timestamps can represent.
  const within = Math.min(ms, LATEST_EXPIRY)
  const seconds = Math.floor(within / 1_000)
  return { seconds, nanos: (within - seconds * 1_000) * 1_000_000 }
}

/** In whole ms, rounded down, so that an entry is never served past its expiry. */
function toMs(expiry: FieldValue): number {
  if (expiry === null || typeof expiry === "string" || expiry instanceof Uint8Array) {
    throw new CorruptRow("its `expires_at` is not a timestamp")
  }
  return expiry.seconds * 1_000 + Math.floor(expiry.nanos / 1_000_000)
}

function decodeValue(value: FieldValue | undefined): Uint8Array {
  if (typeof value === "string") return decodeBase64(value)
  if (value instanceof Uint8Array) return new Uint8Array(value)
  throw new CorruptRow("its `value` is neither a string nor bytes")
}

function decodeBase64(text: string): Uint8Array {
  const padding = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0
  const digits = text.length - padding
  const bytes = new Uint8Array(Math.floor((digits * 3) / 4))
  // Node skips characters that are not base64, so that fewer bytes are written than the length of the text implies.
  const written = Buffer.from(bytes.buffer).write(text, "base64")
  if (written !== bytes.length || digits % 4 === 1) throw new CorruptRow("its `value` is not base64")
  return bytes
}
