import type { Backend, Removal, Write, WriteResult } from "../../tiers/backend.ts"
import { KvError } from "../../tiers/errors.ts"
import { L1Entry } from "../../tiers/l1/entry.ts"
import type { Runtime } from "../../tiers/runtime.ts"
import { writeInChunks } from "../../tiers/util/chunks.ts"
import { writeId } from "../../tiers/util/write-id.ts"
import type { Counters } from "../stats.ts"
import type { InFlight } from "./in-flight.ts"
import type { Load } from "./loads.ts"
import type { Place } from "./place.ts"
import { type WriteFill, WriteFills } from "./write-fills.ts"

export interface WriteThroughOptions {
  backend: Backend
  runtime: Runtime
  counters: Counters
  inFlight: InFlight
  place: Place
  /** The version of the entry that L1 holds under the key. */
  held: (key: string) => string | null | undefined
  /** Fills L1 with what was written, under every rule of the fills; `undefined`: writes only invalidate. */
  fill: ((key: string, entry: L1Entry, askedAt: number) => void) | undefined
  /** Tells other processes that the key may have changed: the version written, if it is known, and the quarantine, ms. */
  announce: ((key: string, version: string | undefined, quarantineMs: number) => void) | undefined
}

/** What is known of a write at its end. */
interface Ending {
  readonly startedAt: number
  /** The load that the write is part of. */
  readonly own?: Load | undefined
  readonly fill: WriteFill | undefined
  /** Absent for a delete. */
  readonly write?: Partial<NewWrite> | undefined
  readonly result: WriteResult | KvError | undefined
}

/** A write without its identity, which it gets when it is sent. */
export type NewWrite = Omit<Write, keyof Attempt>
type Attempt = Pick<Write, "id" | "seen">
export type WriteResults = Map<string, WriteResult | KvError>

/**
 * The writes of the protocol: dirty the key, write to the backend, dirty the key again whatever the outcome. A fill barrier is up
 * during the write, and for the quarantine after it if the service may still apply an attempt. All stores over the rows get both.
 *
 * By option a write fills L1 with its value, if L1 held the key when it began, nothing has dirtied the key or read it meanwhile, and the write
 * was acknowledged with its version.
 */
export class WriteThrough {
  readonly #backend: Backend
  readonly #runtime: Runtime
  readonly #counters: Counters
  readonly #inFlight: InFlight
  readonly #place: Place
  readonly #held: WriteThroughOptions["held"]
  readonly #announce: WriteThroughOptions["announce"]
  readonly #fill: WriteThroughOptions["fill"]
  readonly fills = new WriteFills()

  constructor(options: WriteThroughOptions) {
    const { backend, runtime, counters, inFlight, place, held, fill, announce } = options
    this.#backend = backend
    this.#runtime = runtime
    this.#counters = counters
    this.#inFlight = inFlight
    this.#place = place
    this.#held = held
    this.#announce = announce
    this.#fill = fill
  }

  /** Writes `key`. `own` is the load that the write is part of; the write does not dirty it. */
  put(key: string, write: NewWrite, own?: Load): Promise<WriteResult> {
    this.#counters.bytesWritten += write.value.length
    const id = writeId(this.#runtime, write.condition !== undefined)
    return this.#one(key, (seen) => this.#backend.put(key, { ...write, id, seen }), own, write)
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
    write?: NewWrite,
  ): Promise<WriteResult> {
    const startedAt = this.#runtime.monotonic()
    const seen = this.#seen(key)
    const fill = this.#begin(key, own)
    let result: WriteResult | undefined
    try {
      result = await send(seen)
      this.#settle(key, result)
      return result
    } catch (error) {
      this.#failed(key, error)
      throw error
    } finally {
      this.#end(key, { startedAt, own, fill, write, result })
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
    const fills = new Map(Array.from(writes.keys(), (key) => [key, this.#begin(key)]))
    let results: WriteResults | undefined
    try {
      results = await writeInChunks(writes, this.#backend.traits.maxWriteBatch, send)
      for (const key of writes.keys()) this.#settle(key, results.get(key))
      return results
    } catch (error) {
      for (const key of writes.keys()) this.#failed(key, error)
      throw error
    } finally {
      for (const [key, write] of writes) {
        const result = results?.get(key)
        this.#end(key, { startedAt, fill: fills.get(key), write, result })
      }
    }
  }

  /** A version of the key that this process knows: a row with it is older than a write that begins now. */
  #seen(key: string): string | undefined {
    return this.#held(key) ?? this.#place.floorOf(key)
  }

  /** Returns the fill that the write may end with, if L1 held the key. */
  #begin(key: string, own?: Load): WriteFill | undefined {
    const wasHeld = this.#fill !== undefined && this.#held(key) !== undefined
    this.#inFlight.begin()
    this.#place.raise(key)
    this.#place.dirty(key, own)
    return wasHeld ? this.fills.begin(key) : undefined
  }

  #end(key: string, { startedAt, own, fill, write, result }: Ending): void {
    this.#counters.writeLatency.record(this.#runtime.monotonic() - startedAt)
    const mayFill = fill !== undefined && this.fills.end(key, fill)
    this.#place.dirty(key, own)
    this.#place.lower(key)
    this.#inFlight.end()
    if (!mayFill || write?.value === undefined || !isResult(result)) return
    const { applied, version, mayLandLate } = result
    // The value was there at the earliest when the write began.
    if (applied && version !== undefined && !mayLandLate) {
      this.#fill?.(key, new L1Entry(write.value, version, write.expiresAt), startedAt)
    }
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

function isResult(outcome: WriteResult | KvError | undefined): outcome is WriteResult {
  return outcome !== undefined && !(outcome instanceof KvError)
}
