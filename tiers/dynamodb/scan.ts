import type { ScanPage, ScanRequest } from "../backend.ts"
import { KvError } from "../errors.ts"
import { BUCKETS, hashKey } from "../util/bucket.ts"
import { type BucketScan, type Positions, scanBuckets } from "../util/bucket-scan.ts"
import { KIND } from "./errors.ts"

/** Reads one page of a scan of the table. `query` reads rows in the order of their keys; a position is the key of the last row read. */
export function scanPage(
  query: Pick<BucketScan, "query" | "runtime" | "timeoutMs">,
  table: string,
  prefix: string,
  page: ScanRequest,
): Promise<ScanPage> {
  return scanBuckets(
    {
      ...query,
      encode: (positions) => writeCursor(positions, table, prefix),
      decode: (cursor) => readCursor(cursor, table, prefix),
      rowsPerQuery: 250,
      maxRounds: 6,
      maxRowsPastExpired: 1_000,
    },
    page,
  )
}

const FROM_START = 0
const THROUGH = null

/** A JSON array: a tag of the table and the prefix, then a field for each bucket, which is its position without the prefix. */
function writeCursor(positions: Positions, table: string, prefix: string): string {
  const fields = positions.map((position) => {
    if (position === undefined) return THROUGH
    return position === "" ? FROM_START : position.slice(prefix.length)
  })
  return JSON.stringify([scanTag(table, prefix), ...fields])
}

function readCursor(cursor: string, table: string, prefix: string): Positions {
  const [tag, ...fields] = parseArray(cursor)
  if (tag !== scanTag(table, prefix) || fields.length !== BUCKETS) throw invalidCursor()
  return fields.map((field) => {
    if (field === THROUGH) return undefined
    if (field === FROM_START) return ""
    if (typeof field === "string") return prefix + field
    throw invalidCursor()
  })
}

function parseArray(json: string): unknown[] {
  try {
    const parsed: unknown = JSON.parse(json)
    return Array.isArray(parsed) ? parsed : []
  } catch {
    return []
  }
}

function invalidCursor(): KvError {
  return new KvError(
    "INVALID_CURSOR",
    "the cursor is not of a scan of this table and prefix; begin without one, or pass `next` of the page before",
    { operation: "scan", backend: KIND },
  )
}

function scanTag(table: string, prefix: string): string {
  return hashKey(`${table}/${prefix}`).toString(36)
}
