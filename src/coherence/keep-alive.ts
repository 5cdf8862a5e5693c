/** The longest delay of a Node timer, ms. */
const LONGEST_MS = 2 ** 31 - 1

/**
 * Keeps the process alive while it is held. A call that waits for its next attempt, or for an answer, may have no socket that does
 * so, and the timers of a `Runtime` are unreferenced. Without this, a script that awaits the call would end before the answer.
 */
export class KeepAlive {
  readonly #timer = setInterval(() => {}, LONGEST_MS).unref()

  hold(): void {
    this.#timer.ref()
  }

  release(): void {
    this.#timer.unref()
  }

  close(): void {
    clearInterval(this.#timer)
  }
}
