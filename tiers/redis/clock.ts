import type { ServiceTime } from "../backend.ts"
import type { Runtime } from "../runtime.ts"

/** How far the clock of the server may be from the time that follows from its last answer, ms. */
const CLOCK_ERROR_MS = 2_000
/** A smaller step back of the server's clock is not noticed, ms. */
const SMALLEST_STEP_MS = 100
/** How much faster or slower than the clock of this process the server's may run. */
const DRIFT = 1e-3

/**
 * What this process knows of the clock of one server, from its answers. The knowledge is dropped when the server is another one, or
 * another life of it, and when its clock was set back.
 */
export class ServerClock {
  readonly #runtime: Runtime
  #identity: string | undefined
  #steps = 0
  /** The time in the last answer, and when it was asked for and received on the monotonic clock of this process; ms. */
  #last: { timeMs: number; askedAt: number; receivedAt: number } | undefined

  constructor(runtime: Runtime) {
    this.#runtime = runtime
  }

  /** Says which server the answers come from, see {@link identityIn}; `undefined`: not known, or none. */
  identify(identity: string | undefined): void {
    if (identity === this.#identity) return
    this.#identity = identity
    this.#last = undefined
  }

  /** Takes the time in an answer of the server to a command that was sent at `askedAt`, on the monotonic clock. */
  learn(timeMs: number, askedAt: number): void {
    if (this.#identity === undefined) return
    const last = this.#last
    if (last !== undefined) {
      const elapsed = Math.max(0, askedAt - last.receivedAt)
      if (timeMs < last.timeMs + elapsed * (1 - DRIFT) - SMALLEST_STEP_MS) this.#steps++
      else if (timeMs < last.timeMs) return
    }
    this.#last = { timeMs, askedAt, receivedAt: this.#runtime.monotonic() }
  }

  /** The time of the server now. */
  now(): ServiceTime | undefined {
    const clock = this.name
    const last = this.#last
    if (clock === undefined || last === undefined) return undefined
    const elapsed = this.#runtime.monotonic() - last.askedAt
    return {
      clock,
      earliest: last.timeMs - SMALLEST_STEP_MS,
      latest: last.timeMs + elapsed * (1 + DRIFT) + CLOCK_ERROR_MS,
    }
  }

  /** The name of the clock: the server, its life, and how often its clock was seen to be set back. */
  get name(): string | undefined {
    return this.#identity === undefined ? undefined : `${this.#identity}:${this.#steps}`
  }
}

/**
 * When the row with this version was written, from its sequence, which is not less than the time of the server that wrote it. Only an upper
 * bound: the sequence follows that of the row before, which may be higher than the clock or be of another server.
 *
 * @param clock that of the server which has been the primary since before the row was read
 */
export function writtenAt(version: string, clock: string | undefined): ServiceTime | undefined {
  if (clock === undefined) return undefined
  return { clock, earliest: 0, latest: Number.parseInt(version.slice(0, 16), 16) / 1_000 }
}
