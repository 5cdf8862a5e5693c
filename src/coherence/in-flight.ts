import type { Runtime, Timer } from "../../tiers/runtime.ts"
import { KeepAlive } from "./keep-alive.ts"

/** Counts the calls under way. `close` waits for them, and calls over a network keep the process alive. */
export class InFlight {
  /** Calls to the backend, and calls of several steps. */
  #count = 0
  /** Calls to the backend. */
  #calls = 0
  readonly #runtime: Runtime
  readonly #keepAlive: KeepAlive | undefined
  readonly #whenIdle: (() => void)[] = []

  /** @param overNetwork whether the calls go over a network; only those have a deadline, so only those may keep the process alive */
  constructor(runtime: Runtime, overNetwork: boolean) {
    this.#runtime = runtime
    this.#keepAlive = overNetwork ? new KeepAlive() : undefined
  }

  get count(): number {
    return this.#count
  }

  /** A call to the backend begins. */
  begin(): void {
    this.#count++
    if (this.#calls++ === 0) this.#keepAlive?.hold()
  }

  /** A call to the backend ends. */
  end(): void {
    if (--this.#calls === 0) this.#keepAlive?.release()
    this.#leave()
  }

  /** Runs a call that has several steps. */
  async during<T>(run: () => Promise<T>): Promise<T> {
    this.#count++
    try {
      return await run()
    } finally {
      this.#leave()
    }
  }

  /** Resolves once nothing is under way, or after `limitMs`. */
  async idle(limitMs: number): Promise<void> {
    if (this.#count === 0) return
    let timer: Timer | undefined
    await new Promise<void>((resolve) => {
      this.#whenIdle.push(resolve)
      timer = this.#runtime.setTimer(resolve, limitMs)
    })
    timer?.cancel()
  }

  close(): void {
    this.#keepAlive?.close()
  }

  #leave(): void {
    if (--this.#count > 0) return
    for (const resolve of this.#whenIdle.splice(0)) resolve()
  }
}
