import type { Kv } from "../../src/api.ts"
import { KvError, type KvErrorCode } from "../../tiers/errors.ts"
import { type Expectation, type History, PromiseBroken, type Seen } from "./history.ts"
import type { Process, World } from "./process.ts"

/** How the calls of a process are asked: within their time, some of them aborted, over a link with faults. */
export class Asking {
  protected readonly world: World
  protected readonly process: Process
  protected readonly client: Kv
  protected readonly seen: Seen
  protected readonly history: History

  constructor(world: World, process: Process) {
    this.world = world
    this.process = process
    this.client = process.client
    this.seen = process.seen
    this.history = world.table.history
  }

  async maybeAborted<T>(
    abort: boolean,
    ask: (signal: { signal?: AbortSignal }) => Promise<T>,
  ): Promise<T | Error> {
    if (!abort) return ask({})
    const controller = new AbortController()
    const asking = ask({ signal: controller.signal }).catch((error: unknown) => {
      if (error === aborted) return aborted
      throw error
    })
    await this.world.pause("abort")
    controller.abort(aborted)
    return asking
  }

  /** The answer of a read. A read that a fault of the link makes fail is neither an answer nor a miss. */
  async answer<T>(asking: Promise<T>, inTime = true): Promise<T | typeof NONE> {
    try {
      return await (inTime ? this.inTime(asking) : asking)
    } catch (error) {
      if (this.isFault(error)) return NONE
      throw error
    }
  }

  async inTime<T>(asking: Promise<T>): Promise<T> {
    const { runtime, timeoutMs = Number.POSITIVE_INFINITY } = this.world
    const { frozenMs } = this.world
    const startedAt = runtime.monotonic()
    await asking.catch(() => {})
    // While the machine is frozen, no timer ends a call.
    const tookMs = runtime.monotonic() - startedAt - (this.world.frozenMs - frozenMs)
    if (tookMs > timeoutMs) throw new PromiseBroken(`a call took ${tookMs} ms of its ${timeoutMs} ms`)
    return asking
  }

  isFault(error: unknown): error is KvError {
    if (!(error instanceof KvError)) return false
    return FAULTS.includes(error.code) || (error.code === "CLOSED" && this.process.closing !== undefined)
  }

  expect(key: string, strong: boolean): Expectation {
    if (strong) return this.seen.expectStrong(key)
    const { link } = this.process
    return this.seen.expectCached(key, link.isFenced(key) ? link.readingSince(key) : undefined)
  }
}

export const STRONG = { consistency: "strong" } as const
export const NONE = Symbol("no answer")
export const aborted = new Error("the caller is gone")

/** The error codes that the faults of a link lead to. */
const FAULTS: readonly KvErrorCode[] = [
  "UNAVAILABLE",
  "OUTCOME_UNKNOWN",
  "PARTIAL_FAILURE",
  "THROTTLED",
  "TIMEOUT",
]
