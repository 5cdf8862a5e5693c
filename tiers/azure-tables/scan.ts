import type { KeyedEntry, ScanPage, ScanRequest } from "../backend.ts"
import { KvError } from "../errors.ts"
import { type BucketScan, type Positions, scanBuckets } from "../util/bucket-scan.ts"
import { KIND } from "./errors.ts"
import type { TableRequests } from "./requests.ts"
import { KEYED_ENTRY, PARTITIONS, type Row, rangeFilter } from "./row.ts"

/** Reads one page of a scan of the table. A position is a continuation token of the service. */
export function scanPage(
  { requests, runtime, timeoutMs }: Pick<BucketScan, "runtime" | "timeoutMs"> & { requests: TableRequests },
  prefix: string,
  page: ScanRequest,
  entryOf: (row: Row) => KeyedEntry | undefined,
): Promise<ScanPage> {
  return scanBuckets(
    {
      runtime,
      timeoutMs,
      async query(bucket, position, rows, limitMs) {
        const found = await requests.page("scan", {
          filter: rangeFilter(PARTITIONS[bucket] ?? "", prefix),
          select: KEYED_ENTRY,
          top: rows,
          continuation: position === "" ? undefined : position,
          limitMs,
          signal: page.signal,
        })
        return { entries: found.flatMap((row) => entryOf(row) ?? []), next: found.continuationToken }
      },
      encode: (positions) => makeCursor(positions, prefix),
      decode: (cursor) => parseCursor(cursor, prefix),
      rowsPerQuery: 500,
      maxRounds: 4,
    },
    page,
  )
}

/**
 * JSON: the prefix, the first partition that is not begun, and `[partition, continuation]` of each partition that is begun and not finished.
 * Partitions are begun in order.
 */
function makeCursor(positions: Positions, prefix: string): string {
  const first = positions.indexOf("")
  const open = [...positions.entries()].filter(([, position]) => position !== undefined && position !== "")
  return JSON.stringify([prefix, first < 0 ? PARTITIONS.length : first, open])
}

function parseCursor(cursor: string, prefix: string): Positions {
  const parsed = parseJson(cursor)
  if (Array.isArray(parsed) && parsed.length === 3) {
    const [ofPrefix, next, open]: unknown[] = parsed
    if (ofPrefix === prefix && isPartition(next, PARTITIONS.length) && Array.isArray(open)) {
      const begun = new Map(open.flatMap((item: unknown) => parseOpen(item, next)))
      const positions = PARTITIONS.map((_, partition) => (partition < next ? begun.get(partition) : ""))
      const isOver = positions.every((position) => position === undefined)
      if (begun.size === open.length && !isOver) return positions
    }
  }
  throw new KvError("INVALID_CURSOR", "the cursor is not of a scan of this prefix; start the scan anew", {
    operation: "scan",
    backend: KIND,
  })
}

function parseOpen(item: unknown, next: number): [partition: number, continuation: string][] {
  if (!Array.isArray(item)) return []
  const [partition, continuation]: unknown[] = item
  const valid =
    isPartition(partition, next - 1) && typeof continuation === "string" && isContinuation(continuation)
  return valid ? [[partition, continuation]] : []
}

function isPartition(value: unknown, most: number): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= most
}

/** Whether a text has the form of the continuation tokens of the SDK: base64 of JSON. */
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
