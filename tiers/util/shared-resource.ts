import type { Runtime } from "../runtime.ts"
import { within } from "./deadline.ts"

/** How long an open waits for the close under way in its place, ms. A close that takes longer loses the place. */
export const CLOSE_PATIENCE_MS = 5_000

/** The hold of one user on a shared resource. */
export interface Lease<T> {
  readonly resource: T
  /** Gives the resource up. The last release closes it, and settles as the close does. Idempotent. */
  release(): Promise<void>
}

interface Place<T> {
  readonly opening: Promise<T>
  leases: number
}

/**
 * Resources that several users share, each in a place of its own, named by a key. A resource is opened once, however
 * many ask for it at once, and closed by the last release.
 *
 * - A failed open rejects everyone who asked for it and leaves nothing behind; whoever asks next opens anew. An open
 *   that may hang has to bound itself.
 * - An open waits for the close under way in its place. It makes no difference whether that close fails, and one that
 *   hangs is waited for no longer than {@link CLOSE_PATIENCE_MS}.
 */
export class SharedResource<T> {
  readonly #close: (resource: T) => unknown
  readonly #places = new Map<string, Place<T>>()
  /** The close under way in each place; none of them rejects. */
  readonly #closing = new Map<string, Promise<void>>()

  constructor(close: (resource: T) => unknown) {
    this.#close = close
  }

  /** Takes a lease of the resource in the place `key`, which `open` opens if nobody has. Rejects as `open` does. */
  async acquire(key: string, runtime: Runtime, open: () => T | Promise<T>): Promise<Lease<T>> {
    const place = this.#places.get(key) ?? this.#enter(key, runtime, open)
    place.leases++
    const resource = await place.opening
    let released: Promise<void> | undefined
    const release = () => {
      released ??= this.#release(key, place, resource)
      return released
    }
    return { resource, release }
  }

  #enter(key: string, runtime: Runtime, open: () => T | Promise<T>): Place<T> {
    const place = { opening: this.#vacated(key, runtime).then(open), leases: 0 }
    this.#places.set(key, place)
    // The first to hear of the failure, so that whoever tries again on hearing of it finds the place empty.
    place.opening.catch(() => this.#places.delete(key))
    return place
  }

  async #vacated(key: string, runtime: Runtime): Promise<void> {
    const closing = this.#closing.get(key)
    if (closing === undefined) return
    const tooLong = () => new Error("the close takes too long")
    await within(runtime, closing, CLOSE_PATIENCE_MS, tooLong).catch(() => this.#closing.delete(key))
  }

  async #release(key: string, place: Place<T>, resource: T): Promise<void> {
    if (--place.leases > 0) return
    this.#places.delete(key)
    const closed = (async () => void (await this.#close(resource)))()
    const closing = closed
      .catch(() => {})
      .finally(() => {
        if (this.#closing.get(key) === closing) this.#closing.delete(key)
      })
    this.#closing.set(key, closing)
    await closed
  }
}
