import { KeepAlive } from "./keep-alive.ts"

/** What is under way in a store: `close` waits for it, and calls over a network keep the process alive meanwhile. */
export class InFlight {
  /** Everything: calls to the backend, and the steps that they are part of. */
  #count = 0
  /** Calls to the backend. */
  #calls = 0
  readonly #keepAlive: KeepAlive | undefined
  readonly #whenIdle: (() => void)[] = []

  /** @param overNetwork whether the calls go over a network, where they end in time */
  constructor(overNetwork: boolean) {
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

  /** Runs something of several steps. */
  async during<T>(run: () => Promise<T>): Promise<T> {
    this.#count++
    try {
      return await run()
    } finally {
      this.#leave()
    }
  }

  /** Resolves once nothing is under way. */
  async idle(): Promise<void> {
    if (this.#count > 0) await new Promise<void>((resolve) => this.#whenIdle.push(resolve))
  }

  close(): void {
    this.#keepAlive?.close()
  }

  #leave(): void {
    if (--this.#count > 0) return
    for (const resolve of this.#whenIdle.splice(0)) resolve()
  }
}
