import type { ServiceTime } from "../backend.ts"
import type { Runtime } from "../runtime.ts"
import { AnswerClock, type Moment } from "../util/answer-clock.ts"
import { partitionOf, writtenAt } from "./row.ts"

/** Largest difference between the clocks of two servers of the service, ms. */
const CLOCK_ERROR_MS = 2_000

/**
 * The times of a table: those of its rows, from their ETags, and the time of the service now, from the ETags of writes and from `Date`
 * headers.
 *
 * An ETag has the time of the server that holds the partition. The partition can move to another server at any time. So the time now allows
 * for {@link CLOCK_ERROR_MS}, and a partition whose ETags do not fit has no times: its server has a wrong clock, or one that was set back.
 */
export class ServiceTimes {
  readonly #table: string
  readonly #clock: AnswerClock
  /** Partition → the latest time of a write to it. */
  readonly #latest = new Map<string, number>()
  /** The partitions whose last ETag did not fit. */
  readonly #doubtful = new Set<string>()

  constructor(table: string, runtime: Runtime) {
    this.#table = table
    this.#clock = new AnswerClock(runtime)
  }

  /** To be called before a request is sent. */
  moment(): Moment {
    return this.#clock.moment()
  }

  /** An answer to the request that was sent at `sent` has this header `Date`. */
  answered(sent: Moment, date: unknown): void {
    this.#clock.learnDate(sent, date)
  }

  /** The write that was sent at `sent` has given the row this ETag. */
  written(key: string, sent: Moment, etag: string | undefined): void {
    const ms = etag === undefined ? Number.NaN : writtenAt(etag)
    if (Number.isNaN(ms)) return
    const partition = partitionOf(key)
    const span = { earliest: ms, latest: ms }
    this.#latest.set(partition, Math.max(ms, this.#latest.get(partition) ?? ms))
    if (this.#clock.contradicts(sent, span, CLOCK_ERROR_MS)) this.#doubtful.add(partition)
    else {
      this.#doubtful.delete(partition)
      this.#clock.learn(sent, span)
    }
  }

  /** The time now, for the partition of the key; `undefined` if it is not known. */
  now(key: string): ServiceTime | undefined {
    const partition = partitionOf(key)
    const now = this.#clock.now()
    if (now === undefined || this.#doubtful.has(partition)) return undefined
    const latest = now.latest + CLOCK_ERROR_MS
    // The clock has been set back, and has not reached its earlier times again.
    if ((this.#latest.get(partition) ?? 0) > latest) return undefined
    return { clock: `${this.#table} ${partition}`, earliest: now.earliest - CLOCK_ERROR_MS, latest }
  }

  /** When the row with this ETag was written, on the clock of {@link ServiceTimes.now}. */
  at(key: string, etag: string): ServiceTime | undefined {
    const ms = writtenAt(etag)
    const now = this.now(key)
    if (now === undefined || Number.isNaN(ms) || ms > now.latest) return undefined
    return { clock: now.clock, earliest: ms, latest: ms }
  }
}
