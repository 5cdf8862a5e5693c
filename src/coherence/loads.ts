import type { Condition, MaybePromise, Write, WriteResult } from "../../tiers/backend.ts"
import { KvError } from "../../tiers/errors.ts"
import { L1Entry } from "../../tiers/l1/entry.ts"
import type { Runtime } from "../../tiers/runtime.ts"
import { abortable } from "../../tiers/util/abort.ts"
import type { Loader } from "../api.ts"
import type { Caller, Listener, Outcome } from "../listener.ts"
import type { Counters } from "../stats.ts"
import type { InFlight } from "./in-flight.ts"

const OPERATION = "getOrSet"

/** What to load, and how to store it. */
export interface LoadRequest {
  readonly key: string
  readonly loader: Loader<unknown>
  /** What to write for a loaded value. Throws a {@link KvError} for a value that cannot be stored as the caller wants it. */
  readonly encode: (value: unknown) => Omit<Write, "id" | "condition">
  /** Under which condition: the key is absent, or still has the version that is refreshed. */
  readonly condition: Condition
}

export interface LoadsOptions {
  runtime: Runtime
  counters: Counters
  listener: Listener
  inFlight: InFlight
  /** Reads the key when the loaded value was not stored. */
  read: (key: string, caller: Caller) => MaybePromise<L1Entry | undefined>
  /** Stores the value of a load, which this write does not overtake. */
  store: (key: string, write: Omit<Write, "id">, own: Load) => Promise<WriteResult>
}

/** A load under way. */
export interface Load {
  /** A write of the key began since the load did: its value is not stored. */
  dirty: boolean
  /** Callers that wait for it. */
  waiters: number
  /** A refresh: it goes on though nobody waits. */
  readonly background: boolean
  settled: boolean
  caller: Caller
  readonly controller: AbortController
  /** Absent while the loader is being called. */
  promise: Promise<L1Entry | undefined> | undefined
}

/**
 * The loads of `getOrSet`, one at a time for each key.
 *
 * A write or a delete of the key that begins during a load overtakes it: later callers load anew, and the value of the
 * overtaken load goes to its own callers alone, not to the backend. A load that nobody waits for any more is aborted, and
 * its value is not stored.
 */
export class Loads {
  readonly #options: LoadsOptions
  /** The loads that callers may join. */
  readonly #joinable = new Map<string, Load>()
  readonly #running = new Set<Load>()
  #closing = false

  constructor(options: LoadsOptions) {
    this.#options = options
  }

  /** Waits for the load of the key under way, or starts one. */
  async join(request: LoadRequest, caller: Caller, signal?: AbortSignal): Promise<L1Entry | undefined> {
    const { counters, listener } = this.#options
    const underWay = this.#joinable.get(request.key)
    if (underWay !== undefined) counters.loadsCoalesced++
    const load = underWay ?? this.#start(request, false)
    if (load.promise === undefined) {
      const message = "The loader asks for the key that it loads, and would wait for itself"
      throw new KvError("INVALID_OPTION", message, { operation: OPERATION, key: request.key })
    }
    if (underWay !== undefined) listener.joined(caller, underWay.caller)
    load.waiters++
    try {
      return await abortable(load.promise, signal)
    } finally {
      const abandoned = --load.waiters === 0 && !load.background && !load.settled
      if (abandoned) this.#abandon(request.key, load)
    }
  }

  /** Loads the key in the background, unless a load is under way. A failure is counted; the entry stays as it is. */
  refresh(request: LoadRequest): void {
    if (this.#joinable.has(request.key)) return
    this.#options.counters.refreshes++
    this.#start(request, true).promise?.catch(() => {})
  }

  /** A write of `key` begins or ends: it overtakes the load under way, unless that load, `own`, is what writes. */
  dirty(key: string, own?: Load): void {
    const load = this.#joinable.get(key)
    if (load === undefined || load === own) return
    load.dirty = true
    this.#joinable.delete(key)
  }

  dirtyAll(): void {
    for (const load of this.#joinable.values()) load.dirty = true
    this.#joinable.clear()
  }

  /** Tells the loads under way, and any that still begin, to stop. */
  close(): void {
    this.#closing = true
    for (const load of this.#running) stop(load)
  }

  #start(request: LoadRequest, background: boolean): Load {
    const load: Load = {
      dirty: false,
      waiters: 0,
      background,
      settled: false,
      caller: undefined,
      controller: new AbortController(),
      promise: undefined,
    }
    this.#joinable.set(request.key, load)
    load.promise = this.#run(request, load)
    return load
  }

  async #run(request: LoadRequest, load: Load): Promise<L1Entry | undefined> {
    const { inFlight, listener } = this.#options
    const { key } = request
    this.#running.add(load)
    if (this.#closing) stop(load)
    try {
      return await inFlight.during(() =>
        listener.load(key, load.background, (caller) => this.#loadAndStore(request, load, caller), ofLoad),
      )
    } finally {
      load.settled = true
      this.#running.delete(load)
      if (this.#joinable.get(key) === load) this.#joinable.delete(key)
    }
  }

  async #loadAndStore(request: LoadRequest, load: Load, caller: Caller): Promise<L1Entry | undefined> {
    const { key, condition } = request
    load.caller = caller
    const value = await this.#callLoader(request, load.controller.signal)
    const abandoned = load.waiters === 0 && !load.background
    if (value === undefined || abandoned) return undefined
    const write = request.encode(value)
    const loaded = new L1Entry(write.value, "", write.expiresAt)
    if (!load.dirty) {
      const { applied } = await this.#options.store(key, { ...write, condition }, load)
      if (applied) return loaded
    }
    return (await this.#options.read(key, caller)) ?? loaded
  }

  async #callLoader({ key, loader }: LoadRequest, signal: AbortSignal): Promise<unknown> {
    const { counters, runtime } = this.#options
    const startedAt = runtime.monotonic()
    counters.loads++
    try {
      const value = await loader({ key, signal })
      if (value === undefined) counters.loadMisses++
      else counters.loadHits++
      return value
    } catch (error) {
      counters.loadErrors++
      throw error
    } finally {
      counters.loadLatency.record(runtime.monotonic() - startedAt)
    }
  }

  #abandon(key: string, load: Load): void {
    // No later write finds it here to overtake it.
    load.dirty = true
    load.controller.abort(new DOMException("Nobody waits for this load any more", "AbortError"))
    if (this.#joinable.get(key) === load) this.#joinable.delete(key)
  }
}

export function ofLoad(entry: L1Entry | undefined): Outcome {
  return { tier: "loader", result: "miss", hit: false, size: entry?.bytes.length }
}

function stop(load: Load): void {
  load.controller.abort(new KvError("CLOSED", "The store is closing", { operation: OPERATION }))
}
