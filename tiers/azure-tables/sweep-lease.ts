import type { Runtime } from "../runtime.ts"
import type { TableRequests } from "./requests.ts"
import { PARTITIONS, writtenAt } from "./row.ts"
import type { ServiceTimes } from "./service-times.ts"

/** Longest time of a pass, ms. A pass ends with its lease; that of a process that has died is free after it. */
const LEASE_MS = 60_000

/** Where the row of the lease is: in no partition of entries, so that no read and no scan finds it. */
const PLACE = { partitionKey: "sweep", rowKey: "lease" } as const
const QUERY = {
  filter: `PartitionKey eq '${PLACE.partitionKey}' and RowKey eq '${PLACE.rowKey}'`,
  select: ["Holder", "ForMs", "Partition"],
  top: 1,
} as const

/** The right to make one pass. */
export interface Held {
  /** Index of the partition to sweep. */
  readonly partition: number
  /** When the right ends, on the monotonic clock. */
  readonly endsAt: number
}

/**
 * Shares the sweep of a table between all processes that use it: a row says which process sweeps, or that none has to for a while. Each write
 * of the row has the ETag of the one before as its condition, so that one process gets the lease.
 */
export interface SweepLease {
  /** `undefined`: another process sweeps, or has swept a short while ago. */
  take(): Promise<Held | undefined>
  /** Gives the lease back after a pass. The others leave the table alone for `restMs`; the next pass is of `partition`. */
  rest(partition: number, restMs: number): Promise<void>
}

/**
 * The lease lasts from when its row was written, on the clock of the service, which is also the one that `times` knows: the clocks of the
 * processes do not matter.
 */
export function sweepLease(
  requests: Pick<TableRequests, "page" | "insert" | "replace">,
  times: Pick<ServiceTimes, "now">,
  runtime: Runtime,
): SweepLease {
  const holder = runtime.id()
  let etag: string | undefined

  const isOver = (written: string, forMs: unknown): boolean => {
    const now = times.now(PLACE.rowKey)
    const at = writtenAt(written)
    // A lease of which the end cannot be told holds nobody off.
    if (now === undefined || Number.isNaN(at) || typeof forMs !== "number") return true
    return now.earliest >= at + forMs
  }
  const entityOf = (partition: number, forMs: number) => ({
    ...PLACE,
    Holder: holder,
    ForMs: Math.ceil(forMs),
    Partition: partition,
  })

  return {
    async take() {
      const [row] = await requests.page("sweep", QUERY)
      if (row !== undefined && row.Holder !== holder && !isOver(row.etag, row.ForMs)) return undefined
      const partition = partitionIn(row?.Partition) ?? Math.floor(runtime.random() * PARTITIONS.length)
      const endsAt = runtime.monotonic() + LEASE_MS
      const entity = entityOf(partition, LEASE_MS)
      const written =
        row === undefined
          ? await requests.insert("sweep", entity)
          : await requests.replace("sweep", entity, row.etag)
      etag = written?.etag
      return written === undefined ? undefined : { partition, endsAt }
    },

    async rest(partition, restMs) {
      if (etag === undefined) return
      const last = etag
      etag = undefined
      await requests.replace("sweep", entityOf(partition, restMs), last)
    },
  }
}

function partitionIn(value: unknown): number | undefined {
  const known =
    typeof value === "number" && Number.isInteger(value) && value >= 0 && value < PARTITIONS.length
  return known ? value : undefined
}
