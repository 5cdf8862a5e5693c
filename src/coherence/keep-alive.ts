/** The longest time that a timer takes, ms. */
const LONGEST_MS = 2 ** 31 - 1

/**
 * Keeps the process alive while it is held, as a socket in use does. A call that waits for its next attempt, or for an
 * answer that does not come, has no such socket, and every timer of ours lets the process end: without this, a script that
 * awaits the call would end in the middle of it.
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
