import type { Runtime } from "../runtime.ts"

/** A moment of this process, on both its clocks. */
export interface Moment {
  readonly monotonic: number
  readonly wall: number
}

/** A span of the service's time, Unix ms. */
export interface Span {
  readonly earliest: number
  readonly latest: number
}

/** Largest error of the rate of a clock of this process: a clock that is being corrected runs 0.05 % too fast or too slow. */
const DRIFT = 0.0005

/**
 * What this process knows of the time of a service from the times in its answers.
 *
 * An answer shows the time at some moment between the request and the answer. Between answers the clocks of this process tell the elapsed
 * time: at least the shorter of what they say, and at most the longer. So a step of the wall clock, or a suspended machine whose monotonic
 * clock stood still, makes the span wider until the next answer, and not wrong. An answer that contradicts what was known replaces it.
 */
export class AnswerClock {
  readonly #runtime: Runtime
  #known: (Moment & Span) | undefined

  constructor(runtime: Runtime) {
    this.#runtime = runtime
  }

  /** The moment now, for {@link AnswerClock.learn}: to be called before a request is sent. */
  moment(): Moment {
    return { monotonic: this.#runtime.monotonic(), wall: this.#runtime.now() }
  }

  /** An answer to the request that was sent at `sent` has come. It shows that the time of the service was in this span. */
  learn(sent: Moment, { earliest, latest }: Span): void {
    const now = this.moment()
    const answer = { ...now, earliest, latest: latest + elapsed(sent, now).longest }
    const before = this.now() ?? answer
    const both = {
      ...now,
      earliest: Math.max(before.earliest, answer.earliest),
      latest: Math.min(before.latest, answer.latest),
    }
    this.#known = both.earliest > both.latest ? answer : both
  }

  /** As {@link AnswerClock.learn}, from the header `Date` of the answer, which has whole seconds. Anything but a date is ignored. */
  learnDate(sent: Moment, date: unknown): void {
    const earliest = typeof date === "string" ? Date.parse(date) : Number.NaN
    if (!Number.isNaN(earliest)) this.learn(sent, { earliest, latest: earliest + 1_000 })
  }

  /** Whether an answer to the request that was sent at `sent`, with a time in this span, differs by more than `errorMs` from what is known. */
  contradicts(sent: Moment, { earliest, latest }: Span, errorMs: number): boolean {
    const known = this.now()
    if (known === undefined) return false
    const { longest } = elapsed(sent, this.moment())
    return earliest > known.latest + errorMs || latest + longest < known.earliest - errorMs
  }

  /** The time of the service now; `undefined` before the first answer. Differences between the clocks of its servers are not included. */
  now(): Span | undefined {
    if (this.#known === undefined) return undefined
    const { shortest, longest } = elapsed(this.#known, this.moment())
    return { earliest: this.#known.earliest + shortest, latest: this.#known.latest + longest }
  }
}

/** Bounds of the time between two moments, ms. */
function elapsed(from: Moment, to: Moment): { shortest: number; longest: number } {
  const monotonic = to.monotonic - from.monotonic
  const wall = to.wall - from.wall
  return {
    shortest: Math.max(0, Math.min(monotonic, wall)) * (1 - DRIFT),
    longest: Math.max(monotonic, wall) * (1 + DRIFT),
  }
}
