import type { Runtime, Timer } from "../runtime.ts"
import { systemRuntime } from "../runtime.ts"

/** How far from a deadline the last reading is still trusted, ms. */
const TRUST_MS = 250
/** How long a reading lasts while the event loop turns, ms: well under {@link TRUST_MS}. */
const READING_LASTS_MS = 50
/** How far the wall clock may move after a reading before a glance takes a new reading, ms. */
const GLANCE_MS = 200
/** Glances that may follow a reading, however little the wall clock moved. */
const GLANCES_PER_READING = 8
/** How far the wall clock may run ahead of the monotonic one between two readings before it counts as stepped, ms. */
const STEP_MS = 10

/**
 * A monotonic clock that a hit can afford. Reading a real clock costs more than the hit itself, so the last reading is
 * used while it cannot change the answer: a timer drops it after 50 ms, and within 250 ms of a deadline a new reading
 * decides. Where the event loop does not turn, no timer runs: its owner glances at the wall clock every few hits, which
 * costs half of a reading and sees both that time went by and that the clock was stepped.
 *
 * Each reading also compares the wall clock, on which expiries are counted, and reports when it was stepped forward.
 *
 * A runtime other than the system's is read every time, so that a test's clock moves at once.
 */
export class CoarseClock {
  readonly #runtime: Runtime
  readonly #exact: boolean
  readonly #onStepForward: () => void
  /** A deadline after this lies ahead for certain, without a new reading. A hit compares with it first. */
  trustedUntil = Number.POSITIVE_INFINITY
  /** The last reading, monotonic ms. */
  lastReading = Number.NEGATIVE_INFINITY
  /** Until when L1 may answer at all, monotonic ms. After it no reading is trusted, so that a look-up takes a new one. */
  #answersUntil = Number.POSITIVE_INFINITY
  /** The wall clock at the last reading, Unix ms. */
  wall = Number.NaN
  #wallAhead: number
  #glancesLeft = 0
  #timer: Timer | undefined

  /** @param onStepForward called from {@link CoarseClock.read} and {@link CoarseClock.glance} */
  constructor(runtime: Runtime, onStepForward: () => void) {
    this.#runtime = runtime
    this.#exact = runtime !== systemRuntime
    this.#onStepForward = onStepForward
    this.#wallAhead = runtime.now() - runtime.monotonic()
  }

  /** Takes a new reading, monotonic ms. */
  read(): number {
    const reading = this.#runtime.monotonic()
    this.lastReading = reading
    this.wall = this.#runtime.now()
    let wallAhead = this.wall - reading
    if (wallAhead > this.#wallAhead + STEP_MS) {
      // The process may have paused between the two readings. With the wall clock read first, a pause cannot look like a
      // step.
      wallAhead = this.#runtime.now() - this.#runtime.monotonic()
      if (wallAhead > this.#wallAhead + STEP_MS) this.#onStepForward()
    }
    this.#wallAhead = wallAhead
    if (!this.#exact) {
      const trustedUntil = reading + TRUST_MS
      this.trustedUntil = trustedUntil < this.#answersUntil ? trustedUntil : Number.POSITIVE_INFINITY
      this.#glancesLeft = GLANCES_PER_READING
      this.#timer ??= this.#runtime.setTimer(() => this.#drop(), READING_LASTS_MS)
    }
    return reading
  }

  /** Takes a new reading if the wall clock says that the last one is no longer to be trusted. */
  glance(): void {
    if (this.#exact) return
    const moved = this.#runtime.now() - this.wall
    if (moved >= 0 && moved < GLANCE_MS && --this.#glancesLeft > 0) return
    this.read()
  }

  /** Whether L1 may answer at `now`, monotonic ms. */
  mayAnswer(now: number): boolean {
    return now < this.#answersUntil
  }

  /** L1 answers until `until`, monotonic ms. */
  answerUntil(until: number): void {
    this.#answersUntil = until
    if (this.trustedUntil >= until) this.trustedUntil = Number.POSITIVE_INFINITY
  }

  stop(): void {
    this.#timer?.cancel()
    this.#drop()
  }

  #drop(): void {
    this.#timer = undefined
    this.trustedUntil = Number.POSITIVE_INFINITY
  }
}
