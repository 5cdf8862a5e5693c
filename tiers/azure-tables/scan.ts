import type { KeyedEntry, ScanPage, ScanRequest } from "../backend.ts"
import { KvError } from "../errors.ts"
import { KIND } from "./errors.ts"
import type { TableRequests } from "./requests.ts"
import { KEYED_ENTRY, PARTITIONS, type Row, rangeFilter } from "./row.ts"

/** Target number of rows for one query; larger pages are read by queries in parallel. */
const ROWS_A_QUERY = 500
/** Maximum number of rounds of queries for one page, so that a table of expired rows does not delay it. */
const MAX_ROUNDS = 4

/** The position of a scan. Partitions are begun in order; each one that is begun but not finished has a continuation. */
interface Position {
  /** The partitions from here on have not been begun. */
  next: number
  open: { partition: number; continuation: string }[]
}

/**
 * Reads one page over the partitions. A request costs as much as 100 rows, so the scan queries few partitions for many rows: first as many
 * partitions as a full table needs; then, while the page is less than half full, as many more as the earlier answers suggest.
 */
export async function scanPage(
  requests: TableRequests,
  prefix: string,
  { limit, cursor, signal }: ScanRequest,
  entryOf: (row: Row) => KeyedEntry | undefined,
): Promise<ScanPage> {
  const position = cursor === undefined ? { next: 0, open: [] } : parseCursor(cursor, prefix)
  const entries: KeyedEntry[] = []
  // Of the partitions that this page begins; what is left of one begun before says nothing of the others.
  let [begun, foundInBegun] = [0, 0]
  for (let round = 0; round < MAX_ROUNDS && !isFinished(position) && entries.length * 2 < limit; round++) {
    const room = limit - entries.length
    const expected = begun === 0 ? ROWS_A_QUERY : foundInBegun / begun
    const queried = takeQueries(position, Math.min(room, Math.ceil(room / expected)))
    const answers = await Promise.all(
      queried.map(async ({ partition, continuation }) => {
        const page = await requests.page("scan", {
          filter: rangeFilter(PARTITIONS[partition] ?? "", prefix),
          select: KEYED_ENTRY,
          top: Math.floor(room / queried.length),
          continuation,
          signal,
        })
        return { partition, page, isFirst: continuation === undefined }
      }),
    )
    for (const { partition, page, isFirst } of answers) {
      const found = page.flatMap((row) => entryOf(row) ?? [])
      entries.push(...found)
      if (isFirst) [begun, foundInBegun] = [begun + 1, foundInBegun + found.length]
      const { continuationToken: continuation } = page
      if (continuation !== undefined) position.open.push({ partition, continuation })
    }
  }
  return isFinished(position) ? { entries } : { entries, next: makeCursor(position, prefix) }
}

function isFinished({ next, open }: Position): boolean {
  return open.length === 0 && next === PARTITIONS.length
}

/** Takes up to `most` partitions off the position: those begun before new ones, so that a cursor stays short. */
function takeQueries(position: Position, most: number): { partition: number; continuation?: string }[] {
  const queries: { partition: number; continuation?: string }[] = position.open.splice(0, most)
  while (queries.length < most && position.next < PARTITIONS.length)
    queries.push({ partition: position.next++ })
  return queries
}

/** JSON: the prefix, the next partition, and `[partition, continuation]` of each open one. */
function makeCursor({ next, open }: Position, prefix: string): string {
  return JSON.stringify([prefix, next, open.map(({ partition, continuation }) => [partition, continuation])])
}

function parseCursor(cursor: string, prefix: string): Position {
  const parsed = parseJson(cursor)
  if (Array.isArray(parsed) && parsed.length === 3) {
    const [ofPrefix, next, open]: unknown[] = parsed
    if (ofPrefix === prefix && isPartition(next, PARTITIONS.length) && Array.isArray(open)) {
      const position: Position = { next, open: open.flatMap((item: unknown) => parseOpen(item, next)) }
      if (position.open.length === open.length && !isFinished(position)) return position
    }
  }
  throw new KvError("INVALID_CURSOR", "the cursor is not of a scan of this prefix; start the scan anew", {
    operation: "scan",
    backend: KIND,
  })
}

function parseOpen(item: unknown, next: number): Position["open"] {
  if (!Array.isArray(item)) return []
  const [partition, continuation]: unknown[] = item
  const valid =
    isPartition(partition, next - 1) && typeof continuation === "string" && isContinuation(continuation)
  return valid ? [{ partition, continuation }] : []
}

function isPartition(value: unknown, most: number): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= most
}

/** The SDK's continuations are base64 of JSON. */
function isContinuation(text: string): boolean {
  const parsed = parseJson(Buffer.from(text, "base64").toString())
  return typeof parsed === "object" && parsed !== null && "nextPartitionKey" in parsed
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
