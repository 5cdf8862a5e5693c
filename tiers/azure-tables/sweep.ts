import type { Runtime, Timer } from "../runtime.ts"
import { inParallel } from "../util/parallel.ts"
import type { TableRequests } from "./requests.ts"
import { expiredFilter, expiryOf, PARTITIONS, type Row, writtenAt } from "./row.ts"
import type { ServiceTimes } from "./service-times.ts"
import { sweepLease } from "./sweep-lease.ts"

/**
 * Shortest time between the write or the expiry of a row and its removal, ms. In that time the row shows whether a write whose reply was lost
 * was applied. It also keeps a process whose clock is ahead from removing rows that are live for others.
 */
const GRACE_MS = 60_000
/** Maximum number of rows removed in one pass. */
const MOST_REMOVALS = 1_000
/** The part of the interval after which a pass that left rows behind is followed by the next. */
const MORE = 100
/** Maximum number of expired rows that wait for the next pass. The passes find the others themselves. */
const MOST_WAITING = 1_000
/** Longest time of one request, ms. The service searches for up to 5 s before it ends a page. */
export const SWEEP_TIMEOUT_MS = 10_000
/** Maximum number of concurrent deletes. */
const PARALLEL = 4
/**
 * Wait before each delete, ms. It leaves most of the 2,000 operations a second of a partition to the store. Its timer does not keep the
 * process alive, so that a script can end during a pass.
 */
const PAUSE_MS = 5

/** Removes expired rows in the background, each under its ETag, so that a value written meanwhile survives. */
export interface ExpirySweep {
  /** Adds an expired row that a read found. */
  offer(key: string, row: Row): void
  /** Ends the pass under way after the requests that it has sent. */
  stop(): Promise<void>
}

/**
 * Starts the passes, at random intervals between half of `intervalMs` and one and a half of it. All processes that use the table share them, by
 * {@link sweepLease}: a process makes its pass if none has made one for about `intervalMs`. A pass removes the expired rows that
 * reads of the process have found, and those of one partition. If it finds more rows than it may remove, the next pass of the same process
 * follows after a hundredth of the interval. 0: no sweep.
 */
export function startExpirySweep(
  requests: Pick<TableRequests, "page" | "insert" | "replace" | "remove">,
  times: Pick<ServiceTimes, "now">,
  runtime: Runtime,
  intervalMs: number,
): ExpirySweep {
  const lease = sweepLease(requests, times, runtime)
  const waiting = new Map<string, string>()
  const pauses = new Set<() => void>()
  /** Where this process ended its last pass, if it did not finish the partition. */
  let open: { partition: number; continuation: string } | undefined
  let endsAt = 0
  let timer: Timer | undefined
  let pass: Promise<void> | undefined
  let stopped = intervalMs === 0

  const schedule = (delayMs: number) => {
    timer = runtime.setTimer(() => {
      pass = passOnce()
        // A later pass finds the same rows again.
        .catch(() => false)
        .then((more) => {
          if (!stopped) schedule(jittered(more ? intervalMs / MORE : intervalMs))
        })
    }, delayMs)
  }
  const jittered = (ms: number) => ms * (0.5 + runtime.random())
  const mayGoOn = () => !stopped && runtime.monotonic() < endsAt

  /** Whether the partition has more rows to remove. */
  const passOnce = async (): Promise<boolean> => {
    const held = await lease.take()
    if (held === undefined) return false
    const { partition } = held
    endsAt = held.endsAt
    const next = (partition + 1) % PARTITIONS.length
    let more = false
    try {
      more = await sweepOnce(partition)
    } finally {
      // A partition whose pass fails does not hold up the others.
      if (!more) open = undefined
      await lease.rest(more ? partition : next, more ? intervalMs / MORE : intervalMs)
    }
    return more
  }

  const sweepOnce = async (partition: number): Promise<boolean> => {
    const known = [...waiting]
    waiting.clear()
    await removeAll(known)
    let removed = known.length
    let continuation = open?.partition === partition ? open.continuation : undefined
    while (mayGoOn() && removed < MOST_REMOVALS) {
      const found = await requests.page("sweep", {
        filter: expiredFilter(PARTITIONS[partition] ?? "", runtime.now() - GRACE_MS),
        select: ["RowKey", "ExpiresAt"],
        top: MOST_REMOVALS - removed,
        continuation,
      })
      const due = found.flatMap((row): [string, string][] =>
        row.rowKey !== undefined && isDue(row, runtime.now()) ? [[row.rowKey, row.etag]] : [],
      )
      await removeAll(due)
      removed += due.length
      continuation = found.continuationToken
      if (continuation === undefined) return false
      open = { partition, continuation }
    }
    return true
  }

  const removeAll = (rows: readonly [key: string, etag: string][]) =>
    inParallel(rows, PARALLEL, async ([key, etag]) => {
      if (mayGoOn()) await pause()
      if (mayGoOn()) await requests.remove("sweep", key, etag)
    })

  const pause = () =>
    new Promise<void>((resolve) => {
      const end = () => {
        pauses.delete(end)
        resolve()
      }
      pauses.add(end)
      runtime.setTimer(end, PAUSE_MS)
    })

  if (!stopped) schedule(jittered(intervalMs))
  return {
    offer(key, row) {
      if (!stopped && waiting.size < MOST_WAITING && isDue(row, runtime.now())) waiting.set(key, row.etag)
    },
    async stop() {
      stopped = true
      timer?.cancel()
      waiting.clear()
      for (const end of pauses) end()
      await pass
    },
  }
}

function isDue(row: Row, now: number): boolean {
  try {
    const expiresAt = expiryOf(row)
    return expiresAt !== undefined && expiresAt <= now - GRACE_MS && writtenAt(row.etag) <= now - GRACE_MS
  } catch {
    return false
  }
}
