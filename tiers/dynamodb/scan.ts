import type { KeyedEntry, ScanPage, ScanRequest } from "../backend.ts"
import { KvError } from "../errors.ts"
import { BUCKETS, hashKey } from "../util/bucket.ts"
import { KIND } from "./errors.ts"

/** Reads up to `limit` rows of one bucket, in the order of their keys, from the key after `after` (`""`: the first). */
export type BucketQuery = (bucket: number, after: string, limit: number) => Promise<BucketPage>

export interface BucketPage {
  /** The live ones among the rows read. */
  entries: KeyedEntry[]
  /** The key of the last row read, live or not, if there may be more after it. */
  last: string | undefined
}

/** Target number of rows for one query; larger pages are read by queries in parallel. */
const ROWS_A_QUERY = 250
/** Maximum number of rounds of queries for one page, so that a table of expired rows does not delay it. */
const ROUNDS = 6
/** Rows one query reads at most. */
const MAX_ROWS = 1_000

/**
 * Reads one page of a scan over the buckets. A request costs as much as 100 rows, so the scan queries few buckets for many rows: first as
 * many buckets as a full table needs; then, while the page is less than half full, as many more as the earlier answers suggest. A
 * page that is not the last is empty only after thousands of expired rows.
 */
export async function scanBuckets(
  query: BucketQuery,
  table: string,
  prefix: string,
  { limit, cursor }: ScanRequest,
): Promise<ScanPage> {
  const positions = cursor === undefined ? START : readCursor(cursor, table, prefix)
  const reached = [...positions]
  const entries: KeyedEntry[] = []
  // Of the buckets that this page begins; what is left of one begun before says nothing of the others.
  let [begun, foundInBegun] = [0, 0]
  for (let round = 0; round < ROUNDS && entries.length * 2 < limit; round++) {
    const room = limit - entries.length
    const expected = begun === 0 ? ROWS_A_QUERY : foundInBegun / begun
    const open = bucketsLeft(reached).slice(0, Math.min(room, Math.ceil(room / expected)))
    if (open.length === 0) break
    const share = Math.floor(room / open.length)
    // A bucket without a live row so far may hold many expired rows, so each further query reads four times as many.
    const rows = entries.length > 0 ? share : Math.max(share, Math.min(share * 4 ** round, MAX_ROWS))
    await Promise.all(
      open.map(async (bucket) => {
        const after = reached[bucket] ?? ""
        const found = await query(bucket, after, rows)
        const kept = found.entries.slice(0, share)
        entries.push(...kept)
        if (after === "") [begun, foundInBegun] = [begun + 1, foundInBegun + kept.length]
        reached[bucket] = kept.length < found.entries.length ? kept.at(-1)?.key : found.last
      }),
    )
  }
  return bucketsLeft(reached).length === 0
    ? { entries }
    : { entries, next: writeCursor(reached, table, prefix) }
}

/** The last key read in each bucket: `""` at the start, `undefined` at the end. */
type Positions = readonly (string | undefined)[]

const START: Positions = new Array(BUCKETS).fill("")

function bucketsLeft(positions: Positions): number[] {
  return [...positions.keys()].filter((bucket) => positions[bucket] !== undefined)
}

const FROM_START = 0
const THROUGH = null

/** A JSON array of the scan's tag and a field for each bucket: where it stands, as what follows the prefix in a key. */
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
