import type { KeyedEntry, ScanPage, ScanRequest } from "../backend.ts"
import { KvError } from "../errors.ts"
import { DEFAULTS } from "../limits.ts"
import type { Runtime } from "../runtime.ts"
import { abortable } from "./abort.ts"
import { BUCKETS } from "./bucket.ts"
import { countdown } from "./deadline.ts"

/** The position of a scan in each bucket: `""` at the start, `undefined` at the end, else as the last query gave it. */
export type Positions = readonly (string | undefined)[]

export interface BucketPage {
  /** The live ones among the rows read. */
  entries: KeyedEntry[]
  /** The position after the rows read; `undefined` at the end of the bucket. */
  next: string | undefined
}

/** How one service is scanned. */
export interface BucketScan {
  readonly runtime: Runtime
  /** Longest time of a page whose request gives none, ms. */
  readonly timeoutMs: number
  /** Reads at most `rows` rows of a bucket, from `position` on, within `limitMs`. */
  query(bucket: number, position: string, rows: number, limitMs: number): Promise<BucketPage>
  /** The positions as a cursor, bound to what is scanned. */
  encode(positions: Positions): string
  /** Throws `INVALID_CURSOR` for what {@link BucketScan.encode} did not give for the same scan. */
  decode(cursor: string): Positions
  /** Target number of rows for one query; larger pages are read by queries in parallel. */
  readonly rowsPerQuery: number
  /** Maximum number of rounds of queries for one page, so that a table of expired rows does not delay it. */
  readonly maxRounds: number
  /**
   * Maximum number of rows that one query reads while the page has no entry. The bucket may hold many expired rows, so each
   * further query reads four times as many. Entries beyond the share of a bucket are left to the next page, which starts
   * after the key of the last entry taken: only for a service whose positions are keys.
   * @default 0: a query never reads more than its share
   */
  readonly maxRowsPastExpired?: number
}

const START: Positions = new Array(BUCKETS).fill("")

/** Retries that a page may make besides one for each of its queries. */
const SPARE_RETRIES = 3

/**
 * Reads one page of a scan over the buckets. A request costs as much as 100 rows, so the scan queries few buckets for many
 * rows: first as many buckets as a full table needs; then, while the page is less than half full, as many more as the
 * earlier answers suggest. A page that is not the last is empty only after many expired rows.
 *
 * A query that fails with a retryable error is sent again after a wait with full jitter, so that a page does not need all its queries to
 * succeed at once. A page makes at most one retry for each of its queries and {@link SPARE_RETRIES} more: an outage does not triple the
 * load. Any other failure, and the end of the retries or of the time of the page, rejects the page.
 */
export async function scanBuckets(scan: BucketScan, request: ScanRequest): Promise<ScanPage> {
  const { rowsPerQuery, maxRounds, maxRowsPastExpired = 0 } = scan
  const { limit, cursor } = request
  const queries = new PageQueries(scan, request)
  const positions = [...(cursor === undefined ? START : scan.decode(cursor))]
  const entries: KeyedEntry[] = []
  // Of the buckets that this page begins; what is left of one begun before says nothing of the others.
  let [begun, foundInBegun] = [0, 0]
  for (let round = 0; round < maxRounds && entries.length * 2 < limit; round++) {
    const room = limit - entries.length
    const expected = begun === 0 ? rowsPerQuery : foundInBegun / begun
    const buckets = bucketsLeft(positions).slice(0, Math.min(room, Math.ceil(room / expected)))
    if (buckets.length === 0) break
    const share = Math.floor(room / buckets.length)
    const rows =
      entries.length > 0 ? share : Math.max(share, Math.min(share * 4 ** round, maxRowsPastExpired))
    for (const [bucket, page] of await queries.all(positions, buckets, rows)) {
      const taken = page.entries.slice(0, share)
      entries.push(...taken)
      if (positions[bucket] === "") [begun, foundInBegun] = [begun + 1, foundInBegun + taken.length]
      positions[bucket] = taken.length < page.entries.length ? taken.at(-1)?.key : page.next
    }
  }
  return bucketsLeft(positions).length === 0 ? { entries } : { entries, next: scan.encode(positions) }
}

function bucketsLeft(positions: Positions): number[] {
  return [...positions.keys()].filter((bucket) => positions[bucket] !== undefined)
}

/** The queries of one page. */
class PageQueries {
  readonly #scan: BucketScan
  readonly #signal: AbortSignal | undefined
  readonly #leftMs: () => number
  #retriesLeft = SPARE_RETRIES

  constructor(scan: BucketScan, { timeoutMs = scan.timeoutMs, signal }: ScanRequest) {
    this.#scan = scan
    this.#signal = signal
    this.#leftMs = countdown(scan.runtime, timeoutMs)
  }

  /** Queries the buckets in parallel. */
  async all(
    positions: Positions,
    buckets: readonly number[],
    rows: number,
  ): Promise<(readonly [bucket: number, page: BucketPage])[]> {
    this.#retriesLeft += buckets.length
    try {
      return await Promise.all(
        buckets.map(
          async (bucket) => [bucket, await this.#one(bucket, positions[bucket] ?? "", rows)] as const,
        ),
      )
    } catch (error) {
      // The page has failed, so its other queries are not sent again.
      this.#retriesLeft = 0
      throw error
    }
  }

  async #one(bucket: number, position: string, rows: number): Promise<BucketPage> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#scan.query(bucket, position, rows, this.#leftMs())
      } catch (error) {
        await this.#beforeRetry(error, attempt)
      }
    }
  }

  /** Waits, or throws `error` if the query is not to be sent again. */
  async #beforeRetry(error: unknown, attempt: number): Promise<void> {
    const { runtime } = this.#scan
    const { backoffBaseMs, backoffMaxMs } = DEFAULTS
    const isRetryable = error instanceof KvError && error.retryable
    const askedMs = (isRetryable && error.retryAfterMs) || 0
    const delayMs = askedMs + runtime.random() * Math.min(backoffMaxMs, backoffBaseMs * 2 ** (attempt - 1))
    if (!isRetryable || this.#retriesLeft <= 0 || delayMs >= this.#leftMs()) throw error
    this.#retriesLeft--
    const wait = new Promise<void>((resolve) => void runtime.setTimer(resolve, delayMs))
    await abortable(wait, this.#signal)
  }
}
