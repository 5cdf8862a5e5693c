import type { Backend, MaybePromise, StoredEntry } from "../../tiers/backend.ts"
import { KvError } from "../../tiers/errors.ts"
import { L1Entry } from "../../tiers/l1/entry.ts"
import type { Runtime } from "../../tiers/runtime.ts"
import type { Caller } from "../listener.ts"
import type { Counters } from "../stats.ts"

/** On an embedded backend one read in 16 is timed: reading the clock twice costs as much as a small read. */
const SAMPLE_MASK = 15

/** Stands for the start time of a read that is not timed. */
export const UNTIMED = -1

/** Reads from the backend, counts and times the reads, and makes entries of the answers. */
export class BackendReads {
  readonly #backend: Backend
  readonly #runtime: Runtime
  readonly #counters: Counters
  /** Suspect entries that the backend has confirmed. */
  revalidations = 0
  #asked = 0

  constructor(backend: Backend, runtime: Runtime, counters: Counters) {
    this.#backend = backend
    this.#runtime = runtime
    this.#counters = counters
  }

  /** The start time of the next read, monotonic ms, or {@link UNTIMED}. */
  start(): number {
    const timed = !this.#backend.traits.inProcess || (this.#asked++ & SAMPLE_MASK) === 0
    return timed ? this.#runtime.monotonic() : UNTIMED
  }

  /**
   * Requests the row under `key`. Never throws. The bytes of a synchronous answer may be valid only until the next call of the
   * backend; {@link arrived} copies them.
   *
   * @param asOf as `RequestOptions.asOf`
   */
  ask(key: string, caller: Caller, asOf: number | undefined): MaybePromise<StoredEntry | undefined> {
    try {
      const backend = this.#backend
      if (backend.lend !== undefined) return backend.lend(key)
      if (caller === undefined && asOf === undefined) return backend.get(key)
      return backend.get(key, { callers: caller === undefined ? undefined : [caller], asOf })
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /**
   * Asks for the version under `key`, without the value, and returns `held` if that is still its version. Otherwise reads the row, as
   * {@link ask}.
   */
  async askAgain(key: string, held: L1Entry, caller: Caller): Promise<StoredEntry | L1Entry | undefined> {
    const heads = await this.#backend.probe([key], caller === undefined ? undefined : { callers: [caller] })
    const head = heads.get(key)
    if (head === undefined) return undefined
    if (!(head instanceof KvError) && head.version === held.version) return head.live ? held : undefined
    return this.ask(key, caller, undefined)
  }

  /** Asks the backend whether `key` has a live row. */
  async askWhether(key: string, caller: Caller): Promise<boolean> {
    const startedAt = this.start()
    try {
      const there = await this.#backend.exists(key, caller === undefined ? undefined : { callers: [caller] })
      if (there) this.#counters.l2Hits++
      else this.#counters.l2Misses++
      this.#time(startedAt)
      return there
    } catch (error) {
      this.failed(startedAt)
      throw error
    }
  }

  /** Counts an answer and makes an entry of it, or `undefined` if it has expired. Copies the bytes, unless the entry was held. */
  arrived(stored: StoredEntry | L1Entry | undefined, startedAt: number): L1Entry | undefined {
    if (stored instanceof L1Entry) {
      this.#counters.l2Hits++
      this.revalidations++
      this.#time(startedAt)
      return this.#isExpired(stored.expiresAt) ? undefined : stored
    }
    if (stored === undefined) this.#counters.l2Misses++
    else {
      this.#counters.l2Hits++
      this.#counters.bytesRead += stored.value.length
    }
    this.#time(startedAt)
    return this.toEntry(stored)
  }

  /** Counts a read that failed. An outage shows in the times of reads, too, because a backend that hangs fails by its limit. */
  failed(startedAt: number, callers = 1): void {
    this.#counters.readErrors += callers
    this.#time(startedAt)
  }

  #time(startedAt: number): void {
    if (startedAt !== UNTIMED) this.#counters.readLatency.record(this.#runtime.monotonic() - startedAt)
  }

  /** The entry of a row, or `undefined` if the row has expired. Copies the bytes. */
  toEntry(stored: StoredEntry | undefined): L1Entry | undefined {
    if (stored === undefined) return undefined
    const { value, version, expiresAt } = stored
    return this.#isExpired(expiresAt) ? undefined : new L1Entry(value, version, expiresAt)
  }

  #isExpired(expiresAt: number | undefined): boolean {
    return expiresAt !== undefined && expiresAt <= this.#runtime.now()
  }
}
