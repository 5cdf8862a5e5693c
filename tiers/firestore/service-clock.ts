import type { ServiceTime } from "../backend.ts"
import type { Runtime } from "../runtime.ts"
import type { Instant } from "./requests.ts"

/**
 * Error that the spans allow for, ms: a read need not return a time later than its start, and the clock of an emulator is that of a machine,
 * which is corrected in steps.
 */
const CLOCK_ERROR_MS = 2_000
/** Largest difference of the rates of two clocks. A clock that is being corrected runs 0.05 % too fast or too slow. */
const DRIFT = 0.001

/** When a request began. */
export interface Begun {
  readonly monotonic: number
  readonly wall: number
  /** The latest commit that this process knew of. */
  readonly committed: number
}

/**
 * The clock of a database as this process knows it from the times in answers.
 *
 * - Firestore has one order of commits: a commit that starts after another has ended has a later time. So the time of a commit that this
 *   process knows of is a lower bound of every time to come, without any error.
 * - A time in an answer lies between the start of the request and the arrival of the answer. Between answers the clocks of this process tell
 *   the elapsed time: at least the shorter of what its monotonic clock and its wall clock say, and at most the longer. So a step of the wall
 *   clock, or a machine that was suspended and whose monotonic clock stood still, makes spans wider and not wrong.
 * - Times that contradict these rules belong to a new clock, with a new name: the clock of the service was set.
 */
export class ServiceClock {
  readonly #name: string
  readonly #runtime: Runtime
  #life = 1
  #committed = Number.NEGATIVE_INFINITY
  // When an answer came, the time of the service was between these two, without CLOCK_ERROR_MS. Fields, not an object for each answer: that
  // took ten times as long.
  #earliest = Number.NaN
  #latest = Number.NaN
  #monotonic = 0
  #wall = 0

  /** @param name names the database */
  constructor(name: string, runtime: Runtime) {
    this.#name = name
    this.#runtime = runtime
  }

  /** Called when a request begins, before it is sent. */
  begin(): Begun {
    return {
      monotonic: this.#runtime.monotonic(),
      wall: this.#runtime.now(),
      committed: this.#committed,
    }
  }

  /** The answer to a read has come; the service read at `time`. */
  read(begun: Begun, time: Instant): void {
    this.#learn(begun, toMs(time))
  }

  /** The answer to a commit has come; the service committed at `time`. */
  committed(begun: Begun, time: Instant): void {
    const ms = toMs(time)
    this.#learn(begun, ms)
    this.#committed = Math.max(this.#committed, ms)
  }

  /** The time of the service now; `undefined` before the first answer. */
  now(): ServiceTime | undefined {
    if (Number.isNaN(this.#earliest)) return undefined
    const monotonic = this.#runtime.monotonic() - this.#monotonic
    const wall = this.#runtime.now() - this.#wall
    const earliest = this.#earliest + shortest(monotonic, wall) - CLOCK_ERROR_MS
    return {
      clock: this.#clock,
      earliest: Math.max(this.#committed, earliest),
      latest: this.#latest + longest(monotonic, wall) + CLOCK_ERROR_MS,
    }
  }

  /** The time of a commit. */
  at(time: Instant): ServiceTime {
    const ms = toMs(time)
    return { clock: this.#clock, earliest: ms, latest: ms }
  }

  get #clock(): string {
    return `${this.#name} ${this.#life}`
  }

  #learn(begun: Begun, ms: number): void {
    const monotonic = this.#runtime.monotonic()
    const wall = this.#runtime.now()
    const latestByAnswer = ms + longest(monotonic - begun.monotonic, wall - begun.wall)
    const sinceMonotonic = monotonic - this.#monotonic
    const sinceWall = wall - this.#wall
    const earliest = Math.max(ms, this.#earliest + shortest(sinceMonotonic, sinceWall))
    const latest = Math.min(latestByAnswer, this.#latest + longest(sinceMonotonic, sinceWall))
    if (ms < begun.committed || earliest > latest + CLOCK_ERROR_MS) {
      this.#life++
      this.#committed = Number.NEGATIVE_INFINITY
    }
    // Otherwise this is the first answer, or contradicts earlier ones: then it alone counts.
    const consistent = earliest <= latest
    this.#earliest = consistent ? earliest : ms
    this.#latest = consistent ? latest : latestByAnswer
    this.#monotonic = monotonic
    this.#wall = wall
  }
}

/** Lower bound of a time of which the own clocks show these lengths, ms. */
function shortest(monotonic: number, wall: number): number {
  return Math.max(0, Math.min(monotonic, wall)) * (1 - DRIFT)
}

/** Upper bound of a time of which the own clocks show these lengths, ms. */
function longest(monotonic: number, wall: number): number {
  return Math.max(monotonic, wall) * (1 + DRIFT)
}

function toMs({ seconds, nanos }: Instant): number {
  return seconds * 1_000 + nanos / 1_000_000
}
