import type { Condition, MaybePromise, Write, WriteResult } from "../../tiers/backend.ts"
import { KvError } from "../../tiers/errors.ts"
import { L1Entry } from "../../tiers/l1/entry.ts"
import type { Runtime } from "../../tiers/runtime.ts"
import { abortable } from "../../tiers/util/abort.ts"
import type { Loader } from "../api.ts"
import type { Caller, Listener, Outcome } from "../listener.ts"
import type { Counters } from "../stats.ts"
import type { InFlight } from "./in-flight.ts"
import { type ChainedLoad, callingLoad, runInChain, waitsFor } from "./load-chains.ts"
import { RefreshBackoff } from "./refresh-backoff.ts"

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
export interface Load extends ChainedLoad {
  /** A write of the key began since the load did, or a value was shown that the load does not know of: it is not stored. */
  dirty: boolean
  /** Callers that wait for it. */
  waiters: number
  /** A refresh: it goes on though nobody waits. */
  readonly background: boolean
  readonly condition: Condition
  caller: Caller
  readonly controller: AbortController
  /** Ends the wait for it with an error, whatever its loader does. */
  giveUp: (error: KvError) => void
  promise: Promise<L1Entry | undefined>
}

/**
 * The loads of `getOrSet`, one at a time for each key.
 *
 * - A write or a delete of the key that begins during a load overtakes it: later callers load anew, and the value of the
 *   overtaken load goes to its own callers alone, not to the backend. So does a value that a read shows meanwhile.
 * - A load that nobody waits for any more is aborted. Until its loader has ended, no other load of the key begins: a
 *   caller who comes meanwhile gets its value, if it brings one in spite of that, and loads anew if not.
 * - Loaders that would wait for each other are refused: see {@link runInChain}.
 */
export class Loads {
  readonly #options: LoadsOptions
  /** The loads that callers may join. */
  readonly #joinable = new Map<string, Load>()
  readonly #running = new Set<Load>()
  readonly #backoff: RefreshBackoff
  #closing = false

  constructor(options: LoadsOptions) {
    this.#options = options
    this.#backoff = new RefreshBackoff(options.runtime)
  }

  /** Waits for the load of the key under way, or starts one. */
  async join(request: LoadRequest, caller: Caller, signal?: AbortSignal): Promise<L1Entry | undefined> {
    const { counters, listener } = this.#options
    const calling = callingLoad(signal)
    for (;;) {
      const underWay = this.#joinable.get(request.key)
      const load = underWay ?? this.#start(request, false, calling)
      if (underWay !== undefined) {
        if (calling !== undefined && waitsFor(load, calling)) throw waitsForItself(request.key)
        counters.loadsCoalesced++
        listener.joined(caller, underWay.caller)
      }
      const { aborted } = load.signal
      const loaded = await this.#wait(load, calling, signal)
      if (loaded !== undefined || !aborted || this.#closing) return loaded
    }
  }

  async #wait(
    load: Load,
    calling: ChainedLoad | undefined,
    signal: AbortSignal | undefined,
  ): Promise<L1Entry | undefined> {
    const { aborted } = load.signal
    load.waiters++
    calling?.waitsFor.add(load)
    try {
      return await abortable(load.promise, signal)
    } catch (error) {
      signal?.throwIfAborted()
      // Its failure says that it was told to stop, before this caller came.
      if (aborted && !this.#closing) return undefined
      throw error
    } finally {
      calling?.waitsFor.delete(load)
      if (--load.waiters === 0 && !load.background && this.#running.has(load)) {
        load.controller.abort(new DOMException("Nobody waits for this load any more", "AbortError"))
      }
    }
  }

  /**
   * Loads the key in the background, unless a load is under way or a refresh of it failed lately. A failure is counted;
   * the entry stays as it is.
   */
  refresh(request: LoadRequest): void {
    const { key } = request
    if (this.#joinable.has(key) || !this.#backoff.isDue(key)) return
    this.#options.counters.refreshes++
    this.#start(request, true).promise.then(
      () => this.#backoff.succeeded(key),
      () => this.#backoff.failed(key),
    )
  }

  /** A write of `key` begins or ends: it overtakes the load under way, unless that load, `own`, is what writes. */
  dirty(key: string, own?: Load): void {
    const load = this.#joinable.get(key)
    if (load === undefined || load === own) return
    load.dirty = true
    this.#joinable.delete(key)
  }

  /**
   * A read showed `version` of `key`; `undefined` for a version that is not known. What a load began before that brings may
   * be older, unless it refreshes that very version.
   */
  shown(key: string, version: string | undefined): void {
    const load = this.#joinable.get(key)
    if (load === undefined) return
    const refreshed = "version" in load.condition ? load.condition.version : undefined
    if (refreshed === undefined || (version !== undefined && version !== refreshed)) this.dirty(key)
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

  /** Rejects whoever still waits for a load. */
  giveUp(): void {
    for (const load of this.#running) load.giveUp(closed())
  }

  #start(request: LoadRequest, background: boolean, calling?: ChainedLoad): Load {
    const controller = new AbortController()
    let resolve = (_loaded: L1Entry | undefined) => {}
    let reject = (_error: unknown) => {}
    const promise = new Promise<L1Entry | undefined>((fulfil, refuse) => {
      resolve = fulfil
      reject = refuse
    })
    const load: Load = {
      dirty: false,
      waiters: 0,
      background,
      condition: request.condition,
      caller: undefined,
      controller,
      signal: controller.signal,
      waitsFor: new Set(),
      promise,
      giveUp: reject,
    }
    calling?.waitsFor.add(load)
    this.#joinable.set(request.key, load)
    this.#run(request, load).then(resolve, reject)
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
      this.#running.delete(load)
      if (this.#joinable.get(key) === load) this.#joinable.delete(key)
    }
  }

  async #loadAndStore(request: LoadRequest, load: Load, caller: Caller): Promise<L1Entry | undefined> {
    load.caller = caller
    const value = await runInChain(load, () => this.#callLoader(request, load.signal))
    const abandoned = load.waiters === 0 && !load.background
    if (value === undefined || abandoned) return undefined
    const write = request.encode(value)
    return (await this.#store(request, write, load, caller)) ?? new L1Entry(write.value, "", write.expiresAt)
  }

  /** Stores a loaded value. What it gives is newer than the value: there was a reason not to store it. */
  async #store(
    { key, condition }: LoadRequest,
    write: Omit<Write, "id" | "condition">,
    load: Load,
    caller: Caller,
  ): Promise<L1Entry | undefined> {
    const { read, store } = this.#options
    if (!load.dirty && (await store(key, { ...write, condition }, load)).applied) return undefined
    const there = await read(key, caller)
    const expired = there === undefined && "version" in condition
    // The entry that was to be refreshed has expired meanwhile, and nobody has written the key since.
    if (expired && !load.dirty) await store(key, { ...write, condition: { absent: true } }, load)
    return there
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
}

export function ofLoad(entry: L1Entry | undefined): Outcome {
  return { tier: "loader", result: "miss", hit: false, size: entry?.bytes.length }
}

function stop(load: Load): void {
  load.controller.abort(closed())
}

function closed(): KvError {
  return new KvError("CLOSED", "The store is closing", { operation: OPERATION })
}

function waitsForItself(key: string): KvError {
  const message =
    "A loader would wait for itself: it asks for its own key, or for one whose loader waits for it; " +
    "load what it needs without the store, or under another key"
  return new KvError("INVALID_OPTION", message, { operation: OPERATION, key })
}
