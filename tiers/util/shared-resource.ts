import type { Runtime } from "../runtime.ts"
import { within } from "./deadline.ts"

/** Longest time that an open waits for a close under way of the same key, ms. */
export const CLOSE_PATIENCE_MS = 5_000

/** The share of one user in a resource. */
export interface Lease<T> {
  readonly resource: T
  /** Gives up the share. The last release closes the resource, and settles as the close does. Idempotent. */
  release(): Promise<void>
}

interface Place<T> {
  readonly opening: Promise<T>
  leases: number
}

/**
 * Resources that several users share, by key. A resource is opened once, also for concurrent users, and closed by the last release.
 *
 * - A failed open rejects all users that wait for it; the next user opens again. An open that may hang has to have a deadline of its
 *   own.
 * - An open waits for a close under way of the same key, whether or not that close fails, for at most {@link CLOSE_PATIENCE_MS}.
 */
export class SharedResource<T> {
  readonly #close: (resource: T) => unknown
  readonly #places = new Map<string, Place<T>>()
  /** Key → the close under way. These promises never reject. */
  readonly #closing = new Map<string, Promise<void>>()

  constructor(close: (resource: T) => unknown) {
    this.#close = close
  }

  /** Takes a lease of the resource under `key`; the first user opens it with `open`. Rejects as `open` does. */
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
    // This handler is attached first, so that a user that tries again after the failure finds the entry removed.
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
