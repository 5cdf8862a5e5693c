import type { Runtime, Timer } from "../runtime.ts"
import { CorruptRow, isLiveRow } from "../util/binary-row.ts"
import type { Environment } from "./environment.ts"

/** Rows looked at in one go: about a millisecond. */
const SLICE_ROWS = 250
/** Between two slices of a sweep, ms. */
const PAUSE_MS = 20

/**
 * Removes expired rows in the background, a slice of the store at a time, about every `intervalMs`; several processes
 * may do so at once. Whether a row has expired is decided again in the transaction that removes it.
 */
export function sweepExpired(
  environment: Environment,
  runtime: Runtime,
  intervalMs: number,
): { stop(): void } {
  let timer: Timer
  let stopped = false

  async function sweepSlice(after?: string): Promise<void> {
    let next: string | undefined
    try {
      next = await removeExpired(environment, runtime, after)
      if (next === undefined) environment.checkReaders()
    } catch {
      // Nobody waits for a sweep, and the next one finds the same rows; whatever is wrong shows in the calls.
    }
    if (stopped) return
    // Jitter, so that processes which started together do not sweep together.
    const delayMs = next === undefined ? intervalMs * (0.5 + runtime.random()) : PAUSE_MS
    schedule(next, delayMs)
  }

  function schedule(after: string | undefined, delayMs: number): void {
    timer = runtime.setTimer(() => void sweepSlice(after), delayMs)
  }

  schedule(undefined, intervalMs * runtime.random())
  return {
    stop() {
      stopped = true
      timer.cancel()
    },
  }
}

/** Removes the expired among the rows after `after`; gives the last key looked at, if there may be more behind it. */
async function removeExpired(
  environment: Environment,
  runtime: Runtime,
  after: string | undefined,
): Promise<string | undefined> {
  const expired: string[] = []
  let last: string | undefined
  let looked = 0
  for (const { key, value } of environment.rows({ prefix: "", after, limit: SLICE_ROWS })) {
    looked++
    last = key
    if (hasExpired(value, runtime.now())) expired.push(key)
  }
  if (expired.length > 0) {
    await environment.write((transaction) => {
      for (const key of expired) {
        const row = transaction.read(key)
        if (row !== undefined && hasExpired(row, runtime.now())) transaction.remove(key)
      }
    })
  }
  return looked < SLICE_ROWS ? undefined : last
}

/** A row that cannot be read has not expired: it stays, for its reader to meet. */
function hasExpired(row: Buffer, now: number): boolean {
  try {
    return !isLiveRow(row, now)
  } catch (error) {
    if (error instanceof CorruptRow) return false
    throw error
  }
}
