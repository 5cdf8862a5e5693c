import { DEFAULTS } from "../limits.ts"
import type { Runtime, Timer } from "../runtime.ts"
import { CorruptRow, isLiveRow } from "../util/binary-row.ts"
import type { Environment } from "./environment.ts"

/** Rows checked in one slice, which takes about a millisecond. */
const SLICE_ROWS = 250
/** Pause between two slices of a sweep, ms. */
const PAUSE_MS = 20

/**
 * Removes expired rows in the background, in slices, about every `intervalMs`. Several processes may sweep concurrently. The transaction
 * that removes a row checks again that it has expired.
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
      // No caller waits for a sweep, and the next one finds the same rows. Calls of the backend report lasting failures.
    }
    if (stopped) return
    // The random part keeps processes that started together from sweeping together.
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

/** Removes expired rows from a slice after `after`. Returns the last key of the slice if more rows may follow. */
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
    const patience = { runtime, timeoutMs: DEFAULTS.timeoutMs.write }
    await environment.write((transaction) => {
      for (const key of expired) {
        const row = transaction.read(key)
        if (row !== undefined && hasExpired(row, runtime.now())) transaction.remove(key)
      }
    }, patience)
  }
  return looked < SLICE_ROWS ? undefined : last
}

/** A row that cannot be decoded has not expired, so that reads report it. */
function hasExpired(row: Buffer, now: number): boolean {
  try {
    return !isLiveRow(row, now)
  } catch (error) {
    if (error instanceof CorruptRow) return false
    throw error
  }
}
