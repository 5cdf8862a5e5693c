import type { ServiceTime } from "../backend.ts"
import { KvError } from "../errors.ts"
import type { AnswerClock, Span } from "../util/answer-clock.ts"
import { KIND } from "./errors.ts"

/** All servers of DynamoDB count as one clock, with an error of {@link CLOCK_ERROR_MS}. */
const CLOCK = "dynamodb"
/** Error that the spans allow for, ms: differences between the clocks of the servers, and the error of a stamp. */
const CLOCK_ERROR_MS = 2_000
/** Largest error of a stamp, ms. Where the time of the service is known less exactly, a row gets no stamp. */
const STAMP_ERROR_MS = 1_000
/** Longest time from the stamp of a row to its write, ms. A write that is acknowledged later has an unknown outcome. */
const LONGEST_WRITE_MS = 30_000

/** The stamp for a row that is written now: the time of the service, Unix ms; `undefined` if it is not known well enough. */
export function stampOf(clock: AnswerClock): number | undefined {
  const now = clock.now()
  if (now === undefined || now.latest - now.earliest > 2 * STAMP_ERROR_MS) return undefined
  return Math.round((now.earliest + now.latest) / 2)
}

/** The error of an acknowledged write whose row may have been written so long after its stamp that {@link writtenAt} would be wrong. */
export function lateness(
  clock: AnswerClock,
  stamp: number | undefined,
  operation: string,
  key: string,
): KvError | undefined {
  const now = clock.now()
  if (stamp === undefined || now === undefined || now.latest <= stamp + LONGEST_WRITE_MS) return undefined
  return new KvError(
    "OUTCOME_UNKNOWN",
    `the write was acknowledged more than ${LONGEST_WRITE_MS} ms after it was made, so others may have judged the row by a wrong time`,
    { operation, backend: KIND, key },
  )
}

/** When a row with this stamp was written. */
export function writtenAt(stamp: number): ServiceTime {
  return onClock({ earliest: stamp, latest: stamp + LONGEST_WRITE_MS })
}

/** The time of the service now; `undefined` before the first answer. */
export function serviceTime(clock: AnswerClock): ServiceTime | undefined {
  const now = clock.now()
  return now && onClock(now)
}

function onClock({ earliest, latest }: Span): ServiceTime {
  return { clock: CLOCK, earliest: earliest - CLOCK_ERROR_MS, latest: latest + CLOCK_ERROR_MS }
}
