import { KvError } from "../errors.ts"

/** What a backend holds while it is open. */
interface Closable {
  close(): void | Promise<void>
}

/**
 * The life of one backend: what it holds from when it opens until it closes.
 *
 * - Opening is idempotent, and those who open at once share one attempt. After a failed attempt, or a close, the backend
 *   can be opened again.
 * - From the moment that `close` is called the backend is closed, also if it was still opening: what comes of that is
 *   closed as soon as it is there. Closing is idempotent; `close` settles as the close of what was held does.
 */
export class OpenOnce<T extends Closable> {
  readonly #backend: string
  readonly #open: () => Promise<T>
  #opening: Promise<T> | undefined
  #held: T | undefined
  #closing: Promise<void> | undefined

  /**
   * @param backend the kind of the backend, for errors
   * @param open makes what the backend holds while it is open
   */
  constructor(backend: string, open: () => Promise<T>) {
    this.#backend = backend
    this.#open = open
  }

  /** Rejects as the attempt to open does. */
  async open(): Promise<void> {
    this.#opening ??= this.#open()
    const opening = this.#opening
    try {
      const held = await opening
      if (this.#opening === opening) this.#held = held
    } catch (error) {
      if (this.#opening === opening) this.#opening = undefined
      throw error
    }
  }

  /** What the backend holds, if it is open. */
  get held(): T | undefined {
    return this.#held
  }

  /** The same for a call, which is refused with `CLOSED` unless the backend is open. */
  use(operation: string, key?: string): T {
    if (this.#held !== undefined) return this.#held
    throw new KvError("CLOSED", "the backend is not open", { operation, backend: this.#backend, key })
  }

  async close(): Promise<void> {
    const opening = this.#opening
    if (opening !== undefined) {
      this.#opening = undefined
      this.#held = undefined
      this.#closing = opening.then(
        (held) => held.close(),
        () => {},
      )
    }
    await this.#closing
  }
}
