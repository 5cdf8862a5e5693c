import type { Runtime } from "../../runtime.ts"

/**
 * Bounds the requests that are open at once. Further ones wait in a queue, in the order of their arrival, and a full queue accepts none, so
 * that a backend that hangs does not fill the memory of the process.
 */
export class Limiter {
  readonly #maxConcurrency: number
  readonly #maxQueue: number
  readonly #waiting = new Set<() => void>()
  #open = 0

  constructor(maxConcurrency: number, maxQueue: number) {
    this.#maxConcurrency = maxConcurrency
    this.#maxQueue = maxQueue
  }

  /** Opens a request if that is possible at once. */
  tryEnter(): boolean {
    if (this.#open >= this.#maxConcurrency) return false
    this.#open++
    return true
  }

  get isFull(): boolean {
    return this.#waiting.size >= this.#maxQueue
  }

  /** Opens a request as soon as another ends, after {@link tryEnter} did not; resolves with `false` if none ends within `limitMs`. */
  enter(runtime: Runtime, limitMs: number): Promise<boolean> {
    return new Promise((resolve) => {
      const go = () => {
        timer.cancel()
        resolve(true)
      }
      const timer = runtime.setTimer(() => {
        this.#waiting.delete(go)
        resolve(false)
      }, limitMs)
      this.#waiting.add(go)
    })
  }

  /** A request has ended. Its place goes to the one that has waited longest. */
  leave(): void {
    const [next] = this.#waiting
    if (next === undefined) {
      this.#open--
      return
    }
    this.#waiting.delete(next)
    next()
  }
}
