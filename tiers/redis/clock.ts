import { createHash } from "node:crypto"
import type { ServiceTime } from "../backend.ts"
import type { Runtime } from "../runtime.ts"

/** How far the clock of the server may be from the time that follows from its last answer, ms. Further is a step. */
const CLOCK_ERROR_MS = 2_000
/** A step back that is smaller is not noticed, ms. */
const SMALLEST_STEP_MS = 100
/** How much faster or slower than the clock of this process the server's may run. */
const DRIFT = 1e-3

/**
 * What this process knows of the clock of one server, from its answers. The knowledge is dropped when the server is another one, or
 * another life of it, and when its clock was set.
 */
export class ServerClock {
  readonly #runtime: Runtime
  #identity: string | undefined
  #tag = 0
  #steps = 0
  /** The time in the last answer, and when it was asked for and received on the monotonic clock of this process; ms. */
  #last: { timeMs: number; askedAt: number; receivedAt: number } | undefined

  constructor(runtime: Runtime) {
    this.#runtime = runtime
  }

  /** Says which server the answers come from, see `ServerFacts`; `undefined`: not known, or none. */
  identify(identity: string | undefined): void {
    if (identity === this.#identity) return
    this.#identity = identity
    this.#tag = tagOf(identity)
    this.#last = undefined
  }

  /** Marks the rows that this server writes with its time: 1 to 65,535; 0 if the server is not known. */
  get tag(): number {
    return this.#tag
  }

  /** Takes the time in an answer of the server to a command that was sent at `askedAt`, on the monotonic clock. */
  learn(timeMs: number, askedAt: number): void {
    if (this.#identity === undefined) return
    const last = this.#last
    if (last !== undefined) {
      const earliest = last.timeMs + Math.max(0, askedAt - last.receivedAt) * (1 - DRIFT) - SMALLEST_STEP_MS
      if (timeMs < earliest || timeMs > this.#latest(last)) this.#steps++
      else if (timeMs < last.timeMs) return
    }
    this.#last = { timeMs, askedAt, receivedAt: this.#runtime.monotonic() }
  }

  /** The time of the server now. */
  now(): ServiceTime | undefined {
    const clock = this.name
    const last = this.#last
    if (clock === undefined || last === undefined) return undefined
    return { clock, earliest: last.timeMs - SMALLEST_STEP_MS, latest: this.#latest(last) }
  }

  #latest({ timeMs, askedAt }: { timeMs: number; askedAt: number }): number {
    return timeMs + (this.#runtime.monotonic() - askedAt) * (1 + DRIFT) + CLOCK_ERROR_MS
  }

  /**
   * When the row with this version was written. The upper bound is the time in its sequence, which is not less than that of the server. It
   * is a lower bound as well if the row has the tag of this server; without a tag the time may be ahead of the clock, and with another
   * tag it is that of another server. (Two servers have the same tag once in 65,535 pairs.)
   *
   * Valid if this server has been the primary since before the row was read.
   */
  writtenAt(version: string): ServiceTime | undefined {
    const clock = this.name
    if (clock === undefined) return undefined
    const ticks = Number.parseInt(version.slice(0, 12), 16)
    const tag = Number.parseInt(version.slice(12, 16), 16)
    return { clock, earliest: tag === this.#tag ? msOf(ticks) : 0, latest: msOf(ticks + 1) }
  }

  /** The name of the clock: the server, its life, and how often its clock was seen to be set. */
  get name(): string | undefined {
    return this.#identity === undefined ? undefined : `${this.#identity}:${this.#steps}`
  }
}

/** The time of a sequence, Unix ms. */
export function msOf(ticks: number): number {
  return (ticks * 16) / 1_000
}

function tagOf(identity: string | undefined): number {
  if (identity === undefined) return 0
  return createHash("sha1").update(identity).digest().readUInt16BE(0) || 1
}
