import type { TableEntity, TableEntityResult } from "@azure/data-tables"
import type { StoredEntry, Write, WriteResult } from "../backend.ts"
import { LATEST_EXPIRY } from "../limits.ts"
import { CorruptRow } from "../util/binary-row.ts"
import { BUCKETS, bucketOf } from "../util/bucket.ts"

/**
 * The row format, which Alien's clients share:
 *
 * | property | holds |
 * | --- | --- |
 * | `PartitionKey` | `pN`, N the key's bucket from 0 to 15 |
 * | `RowKey` | the key |
 * | `Value` | the bytes in standard base64, Edm.String; read as Edm.Binary too. 24,576 bytes fill the 32,768 characters that a string property holds |
 * | `ExpiresAt` | RFC 3339; absent: the entry does not expire. Any offset and precision is read, milliseconds are written |
 * | `Version` | identity of the attempt that wrote the row, 32 hex digits; absent in rows of other clients |
 * | `CreatedAt` | RFC 3339, time of the write; for other programs |
 *
 * The version of an entry is the time in the row's ETag, a slash, and `Version`, if the row has one. The service gives a row a new ETag on
 * every change, also by a client that does not know `Version`, and orders ETags by its own clock.
 */
export type Row = TableEntityResult<Record<string, unknown>>

/** The properties needed to decide whether a row is live, and which write left it. */
export const HEAD: readonly string[] = ["ExpiresAt", "Version"]
/** The properties needed to read an entry from a page of rows. */
export const KEYED_ENTRY: readonly string[] = ["RowKey", "Value", ...HEAD]

export const PARTITIONS: readonly string[] = Array.from({ length: BUCKETS }, (_, bucket) => `p${bucket}`)

export function partitionOf(key: string): string {
  return PARTITIONS[bucketOf(key)] ?? ""
}

export function entityOf(key: string, { value, id, expiresAt }: Write, now: number): TableEntity {
  return {
    partitionKey: partitionOf(key),
    rowKey: key,
    Value: Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("base64"),
    ...(expiresAt === undefined ? {} : { ExpiresAt: timestamp(expiresAt) }),
    Version: id,
    CreatedAt: timestamp(now),
  }
}

/** The row that a conditional delete leaves: expired, with the id of the delete. The sweep removes it. */
export function tombstoneOf(key: string, id: string, now: number): TableEntity {
  return entityOf(key, { value: new Uint8Array(0), id, expiresAt: 0 }, now)
}

/** The entry in a row, or `undefined` if it has expired by `now`. Throws {@link CorruptRow}. */
export function liveEntry(row: Row, now: number): StoredEntry | undefined {
  const expiresAt = expiryOf(row)
  if (expiresAt !== undefined && expiresAt <= now) return undefined
  const entry = { value: bytesOf(row), version: versionOf(row) }
  return expiresAt === undefined ? entry : { ...entry, expiresAt }
}

/** Whether the row is live at `now`. Throws {@link CorruptRow}. */
export function isLive(row: Row, now: number): boolean {
  const expiresAt = expiryOf(row)
  return expiresAt === undefined || expiresAt > now
}

/** Identity of the write that left the row; `undefined` if another client wrote it. */
export function idOf(row: Row): string | undefined {
  return typeof row.Version === "string" && IDENTITY.test(row.Version) ? row.Version : undefined
}

const IDENTITY = /^[0-9a-f]{32}$/

export function versionOf(row: Row): string {
  return makeVersion(row.etag, idOf(row))
}

function makeVersion(etag: string, id = ""): string {
  return `${timeOfEtag(etag) ?? etag}/${id}`
}

/** The result of an applied write. Its version is known if the answer has the new ETag. */
export function resultOf({ etag }: { etag?: string }, id: string): WriteResult {
  return etag === undefined ? { applied: true } : { applied: true, version: makeVersion(etag, id) }
}

/** Orders versions by the time of their writes. One that cannot be ordered counts as the older of the two. */
export function compareVersions(a: string, b: string): number {
  if (a === b) return 0
  return TIME.test(a) && TIME.test(b) && timeIn(a) > timeIn(b) ? 1 : -1
}

const timeIn = (version: string) => version.slice(0, version.indexOf("/"))

const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d/
const ETAG_START = `W/"datetime'`
const ETAG_END = `Z'"`

/** `2024-05-01T00:00:00.1234567` of `W/"datetime'2024-05-01T00%3A00%3A00.1234567Z'"`. These texts order as the times do. */
function timeOfEtag(etag: string): string | undefined {
  if (!etag.startsWith(ETAG_START) || !etag.endsWith(ETAG_END)) return undefined
  return etag.slice(ETAG_START.length, -ETAG_END.length).replaceAll("%3A", ":")
}

/** The time in an ETag: when the row was written, on the clock of the service, Unix ms; NaN if there is none. */
export function writtenAt(etag: string): number {
  return Date.parse(`${timeOfEtag(etag)}Z`)
}

/** Unix ms. Throws {@link CorruptRow}. */
export function expiryOf({ ExpiresAt: at }: Row): number | undefined {
  if (at === undefined || at === null) return undefined
  const ms =
    at instanceof Date ? at.getTime() : typeof at === "string" && RFC_3339.test(at) ? Date.parse(at) : NaN
  if (Number.isNaN(ms)) throw new CorruptRow("the row's ExpiresAt is no RFC 3339 time")
  return ms
}

const RFC_3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/i

function timestamp(ms: number): string {
  // RFC 3339 cannot represent a later time.
  return new Date(Math.min(ms, LATEST_EXPIRY)).toISOString()
}

function bytesOf({ Value: value }: Row): Uint8Array {
  if (value instanceof Uint8Array) return new Uint8Array(value)
  if (typeof value !== "string") throw new CorruptRow("the row's Value is neither base64 text nor binary")
  if (value.length % 4 !== 0) throw new CorruptRow("the row's Value is not base64")
  const padding = value.endsWith("==") ? 2 : value.endsWith("=") ? 1 : 0
  const { buffer, byteOffset, length } = Buffer.from(value, "base64")
  // The decoder skips characters that are no base64, so a short result means that there were some.
  if (length !== (value.length / 4) * 3 - padding) throw new CorruptRow("the row's Value is not base64")
  return new Uint8Array(buffer, byteOffset, length)
}

/** The rows of a partition whose key starts with `prefix`: `~` comes after every character that a key may hold. */
export function rangeFilter(partition: string, prefix: string): string {
  const inPartition = `PartitionKey eq ${quoted(partition)}`
  if (prefix === "") return inPartition
  return `${inPartition} and RowKey ge ${quoted(prefix)} and RowKey lt ${quoted(`${prefix}~`)}`
}

/** The rows with these keys, which are in one partition. */
export function keysFilter(keys: readonly string[]): string {
  const ofKeys = keys.map((key) => `RowKey eq ${quoted(key)}`).join(" or ")
  return `PartitionKey eq ${quoted(partitionOf(keys[0] ?? ""))} and (${ofKeys})`
}

/**
 * The rows of a partition that expired before `before`, and a few more: the service compares the times as text, which is exact only for
 * times in the form of {@link timestamp}.
 */
export function expiredFilter(partition: string, before: number): string {
  return `PartitionKey eq ${quoted(partition)} and ExpiresAt gt '' and ExpiresAt lt ${quoted(timestamp(before))}`
}

/** A string literal of OData, in which quotes are doubled. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`
}
