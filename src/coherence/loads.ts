import type { Condition, MaybePromise, Write, WriteResult } from "../../tiers/backend.ts"
import { KvError } from "../../tiers/errors.ts"
import { L1Entry } from "../../tiers/l1/entry.ts"
import type { Runtime } from "../../tiers/runtime.ts"
import { abortable } from "../../tiers/util/abort.ts"
import type { Loader } from "../api.ts"
import { blameLoader } from "../failures.ts"
import type { Caller, Listener, LoaderEnd, Outcome } from "../listener.ts"
import type { Counters } from "../stats.ts"
import type { InFlight } from "./in-flight.ts"
import { type ChainedLoad, callingLoad, runInChain, waitsFor } from "./load-chains.ts"
import { RefreshBackoff } from "./refresh-backoff.ts"

const OPERATION = "getOrSet"

/** What to load, and how to store it. */
export interface LoadRequest {
  readonly key: string
  readonly loader: Loader<unknown>
  /** The write that stores a loaded value. Throws a {@link KvError} if the value does not fit the form that the caller chose. */
  readonly encode: (value: unknown) => Omit<Write, "id" | "condition">
  /** The condition of the write: the key is absent, or still has the version that is refreshed. */
  readonly condition: Condition
}

export interface LoadsOptions {
  runtime: Runtime
  counters: Counters
  listener: Pick<Listener, "load" | "joined" | "loaded">
  inFlight: InFlight
  /** Reads the key if the loaded value was not stored. */
  read: (key: string, caller: Caller) => MaybePromise<L1Entry | undefined>
  /** Writes the value of the load `own`. The write does not dirty that load. */
  store: (key: string, write: Omit<Write, "id">, own: Load) => Promise<WriteResult>
}

/** A load under way. */
export interface Load extends ChainedLoad {
  /** During the load, a write of the key began, or a read returned a value of it. The loaded value is not stored. */
  dirty: boolean
  /** How many callers wait for it. */
  waiters: number
  /** Whether it is a refresh, which continues without callers. */
  readonly background: boolean
  readonly condition: Condition
  caller: Caller
  readonly controller: AbortController
  /** Rejects `promise`, whether or not the loader ends. */
  giveUp: (error: KvError) => void
  promise: Promise<L1Entry | undefined>
}

/**
 * The loads of `getOrSet`, one at a time for each key.
 *
 * - A write or a delete of the key that begins during a load dirties the load, and so does a read that returns a value of the key:
 *   the loaded value goes to the callers of the load, but not to the backend, and later callers start a new load.
 * - A load without callers is aborted. No other load of the key begins until its loader has ended. A caller that comes meanwhile
 *   gets its value, if the loader returns one nevertheless; otherwise the caller starts a new load.
 * - A call that would make loaders wait for each other is refused: see {@link runInChain}.
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
        if (waitsFor(load, calling)) throw waitsForItself(request.key)
        listener.joined(caller, underWay.caller)
      }
      const { aborted } = load.signal
      const loaded = await this.#wait(load, calling, signal)
      if (loaded === undefined && aborted && !this.#closing) continue
      if (underWay !== undefined) counters.loadsCoalesced++
      return loaded
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
      // The load was aborted before this caller joined it, and failed for that reason.
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
   * Loads the key in the background, unless a load is under way, or {@link RefreshBackoff} puts the refresh off after a failure. A
   * failure is counted and does not change the entry.
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

  /** Is called when a write of `key` begins or ends. Dirties the load under way, unless the write is part of that load, `own`. */
  dirty(key: string, own?: Load): void {
    const load = this.#joinable.get(key)
    if (load === undefined || load === own) return
    load.dirty = true
    this.#joinable.delete(key)
  }

  /**
   * Is called when a read has returned `version` of `key` to a caller; `undefined` if the version is not known. Dirties the load under
   * way, whose value may be older, unless the load refreshes this version.
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

  /** Aborts the loads under way, and those that begin later. */
  close(): void {
    this.#closing = true
    for (const load of this.#running) stop(load)
  }

  /** Rejects the callers that still wait for a load. */
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
    const write = encoded(request, value)
    return (await this.#store(request, write, load, caller)) ?? new L1Entry(write.value, "", write.expiresAt)
  }

  /** Stores a loaded value. Returns `undefined` if it was stored, else the entry that the backend has now. */
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
    // The entry to be refreshed has expired, and this process has not written the key since.
    if (expired && !load.dirty) await store(key, { ...write, condition: { absent: true } }, load)
    return there
  }

  async #callLoader({ key, loader }: LoadRequest, signal: AbortSignal): Promise<unknown> {
    const { counters, listener, runtime } = this.#options
    const startedAt = runtime.monotonic()
    const ended = (end: LoaderEnd) => {
      const ms = runtime.monotonic() - startedAt
      counters.loadLatency.record(ms)
      listener.loaded(ms, end)
    }
    counters.loads++
    try {
      const value = await loader({ key, signal })
      if (value === undefined) counters.loadMisses++
      else counters.loadHits++
      ended({ result: value === undefined ? "miss" : "hit" })
      return value
    } catch (error) {
      counters.loadErrors++
      ended({ error })
      blameLoader(error)
      throw error
    }
  }
}

/** The write of a loaded value. An error is the loader's, whose value does not fit. */
function encoded({ encode }: LoadRequest, value: unknown): ReturnType<LoadRequest["encode"]> {
  try {
    return encode(value)
  } catch (error) {
    blameLoader(error)
    throw error
  }
}

export function ofLoad(entry: L1Entry | undefined): Outcome {
  return {
    tier: "loader",
    result: entry === undefined ? "miss" : "hit",
    hit: false,
    size: entry?.bytes.length,
  }
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
