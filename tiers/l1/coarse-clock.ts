import type { Runtime, Timer } from "../runtime.ts"
import { systemRuntime } from "../runtime.ts"

/** How far from a deadline the last reading is still trusted, ms. */
const TRUST_MS = 250
/** How long a reading lasts while the event loop turns, ms: well under {@link TRUST_MS}. */
const READING_LASTS_MS = 50
/** How far the wall clock may run ahead of the monotonic one between two readings before it counts as stepped, ms. */
const STEP_MS = 10

/**
 * A monotonic clock that a hit can afford. Reading a real clock costs more than the hit itself, so the last reading is
 * used while it cannot change the answer: a timer drops it after 50 ms, its owner renews it every few dozen hits (a
 * chain of hits that never lets a timer run would stop the clock otherwise), and within 250 ms of a deadline a new
 * reading decides.
 *
 * Each reading also compares the wall clock, on which expiries are counted, and reports when it was stepped forward.
 *
 * A runtime other than the system's is read every time, so that a test's clock moves at once.
 */
export class CoarseClock {
  readonly #runtime: Runtime
  readonly #exact: boolean
  readonly #onStepForward: () => void
  /** Deadlines beyond this lie ahead without a new reading: the first thing a hit compares with. */
  trustedUntil = Number.POSITIVE_INFINITY
  /** The wall clock at the last reading. */
  #wall = Number.NaN
  #wallAhead: number
  #timer: Timer | undefined

  constructor(runtime: Runtime, onStepForward: () => void) {
    this.#runtime = runtime
    this.#exact = runtime !== systemRuntime
    this.#onStepForward = onStepForward
    this.#wallAhead = runtime.now() - runtime.monotonic()
  }

  /**
   * Whether `deadline`, monotonic ms, lies ahead, and `expiresAt`, Unix ms, as well. A deadline is at most a step later
   * than the expiry, so while it is far it decides alone.
   */
  isBefore(deadline: number, expiresAt = Number.POSITIVE_INFINITY): boolean {
    return deadline > this.trustedUntil || (this.read() < deadline && this.#wall < expiresAt)
  }

  /** Takes a new reading, monotonic ms. */
  read(): number {
    const reading = this.#runtime.monotonic()
    this.#wall = this.#runtime.now()
    let wallAhead = this.#wall - reading
    if (wallAhead > this.#wallAhead + STEP_MS) {
      // Or the process was held up between the two. With the wall clock read first, that cannot look like a step.
      wallAhead = this.#runtime.now() - this.#runtime.monotonic()
      if (wallAhead > this.#wallAhead + STEP_MS) this.#onStepForward()
    }
    this.#wallAhead = wallAhead
    if (!this.#exact) {
      this.trustedUntil = reading + TRUST_MS
      this.#timer ??= this.#runtime.setTimer(() => this.#drop(), READING_LASTS_MS)
    }
    return reading
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
