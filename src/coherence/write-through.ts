import type { Backend, Removal, Write, WriteResult } from "../../tiers/backend.ts"
import { KvError } from "../../tiers/errors.ts"
import type { Runtime } from "../../tiers/runtime.ts"
import { writeInChunks } from "../../tiers/util/chunks.ts"
import { writeId } from "../../tiers/util/write-id.ts"
import type { Counters } from "../stats.ts"
import type { InFlight } from "./in-flight.ts"
import type { Load } from "./loads.ts"
import type { Place } from "./place.ts"

export interface WriteThroughOptions {
  backend: Backend
  runtime: Runtime
  counters: Counters
  inFlight: InFlight
  place: Place
  /** The version of the entry that L1 holds under the key. */
  held: (key: string) => string | null | undefined
  /** Tells other processes that the key may have changed: the version written, if it is known, and the quarantine, ms. */
  announce: ((key: string, version: string | undefined, quarantineMs: number) => void) | undefined
}

/** A write without its identity, which it gets when it is sent. */
export type NewWrite = Omit<Write, keyof Attempt>
type Attempt = Pick<Write, "id" | "seen">
export type WriteResults = Map<string, WriteResult | KvError>

/**
 * The writes of the protocol: dirty the key, write to the backend, dirty the key again whatever the outcome. A fill barrier is up
 * during the write, and for the quarantine after it if the service may still apply an attempt. All stores over the rows get both.
 */
export class WriteThrough {
  readonly #backend: Backend
  readonly #runtime: Runtime
  readonly #counters: Counters
  readonly #inFlight: InFlight
  readonly #place: Place
  readonly #held: WriteThroughOptions["held"]
  readonly #announce: WriteThroughOptions["announce"]

  constructor(options: WriteThroughOptions) {
    const { backend, runtime, counters, inFlight, place, held, announce } = options
    this.#backend = backend
    this.#runtime = runtime
    this.#counters = counters
    this.#inFlight = inFlight
    this.#place = place
    this.#held = held
    this.#announce = announce
  }

  /** Writes `key`. `own` is the load that the write is part of; the write does not dirty it. */
  put(key: string, write: NewWrite, own?: Load): Promise<WriteResult> {
    this.#counters.bytesWritten += write.value.length
    const id = writeId(this.#runtime, write.condition !== undefined)
    return this.#one(key, (seen) => this.#backend.put(key, { ...write, id, seen }), own)
  }

  delete(key: string, removal: Omit<Removal, keyof Attempt> = {}): Promise<WriteResult> {
    const id = writeId(this.#runtime, removal.condition !== undefined)
    return this.#one(key, (seen) => this.#backend.delete(key, { ...removal, id, seen }))
  }

  /** Writes many keys. The result has every key, with its result or its error. */
  putMany(writes: ReadonlyMap<string, NewWrite>): Promise<WriteResults> {
    for (const { value } of writes.values()) this.#counters.bytesWritten += value.length
    return this.#many(writes, (batch) => this.#backend.putMany(batch))
  }

  deleteMany(keys: ReadonlySet<string>): Promise<WriteResults> {
    const removals = new Map(Array.from(keys, (key) => [key, {}]))
    return this.#many(removals, (batch) => this.#backend.deleteMany(batch))
  }

  async #one(
    key: string,
    send: (seen: string | undefined) => Promise<WriteResult>,
    own?: Load,
  ): Promise<WriteResult> {
    const startedAt = this.#runtime.monotonic()
    const seen = this.#seen(key)
    this.#begin(key, own)
    try {
      const result = await send(seen)
      this.#settle(key, result)
      return result
    } catch (error) {
      this.#failed(key, error)
      throw error
    } finally {
      this.#end(key, startedAt, own)
    }
  }

  async #many<T extends object>(
    items: ReadonlyMap<string, T>,
    send: (batch: ReadonlyMap<string, T & Attempt>) => Promise<WriteResults>,
  ): Promise<WriteResults> {
    const writes = new Map(
      Array.from(items, ([key, item]) => {
        const id = writeId(this.#runtime, false)
        return [key, { ...item, id, seen: this.#seen(key) }]
      }),
    )
    const startedAt = this.#runtime.monotonic()
    for (const key of writes.keys()) this.#begin(key)
    try {
      const results = await writeInChunks(writes, this.#backend.traits.maxWriteBatch, send)
      for (const key of writes.keys()) this.#settle(key, results.get(key))
      return results
    } catch (error) {
      for (const key of writes.keys()) this.#failed(key, error)
      throw error
    } finally {
      for (const key of writes.keys()) this.#end(key, startedAt)
    }
  }

  /** A version of the key that this process knows: a row with it is older than a write that begins now. */
  #seen(key: string): string | undefined {
    return this.#held(key) ?? this.#place.floorOf(key)
  }

  #begin(key: string, own?: Load): void {
    this.#inFlight.begin()
    this.#place.raise(key)
    this.#place.dirty(key, own)
  }

  #end(key: string, startedAt: number, own?: Load): void {
    this.#counters.writeLatency.record(this.#runtime.monotonic() - startedAt)
    this.#place.dirty(key, own)
    this.#place.lower(key)
    this.#inFlight.end()
  }

  /** Counts the outcome of a write, and updates the barriers and the floors of the key. */
  #settle(key: string, outcome: WriteResult | KvError | undefined): void {
    if (outcome === undefined || outcome instanceof KvError) {
      this.#failed(key, outcome)
      return
    }
    const { applied, version, mayLandLate } = outcome
    if (mayLandLate) this.#quarantine(key, version)
    else if (applied) this.#announce?.(key, version, 0)
    if (!applied) {
      this.#counters.refused++
      return
    }
    this.#counters.writes++
    if (version === undefined) this.#place.forgetFloor(key)
    else this.#place.raiseFloor(key, version)
  }

  /** Keeps the key out of the L1 of every process for as long as the service may still apply an attempt. */
  #quarantine(key: string, version?: string): void {
    this.#place.quarantine(key)
    this.#announce?.(key, version, this.#place.quarantineMs)
  }

  /** Counts a write that failed. After an error that is no {@link KvError}, and after a missing answer, it may have been applied. */
  #failed(key: string, error: unknown): void {
    this.#counters.writeErrors++
    const known = error instanceof KvError && error.code !== "OUTCOME_UNKNOWN"
    if (!known) this.#quarantine(key)
  }
}
