import type {
  Backend,
  BackendTraits,
  MaybePromise,
  ScanPage,
  ScanRequest,
  StoredEntry,
} from "../../tiers/backend.ts"
import type { L1Entry } from "../../tiers/l1/entry.ts"
import type { L1 } from "../../tiers/l1/l1.ts"
import { DEFAULTS } from "../../tiers/limits.ts"
import type { Runtime, Timer } from "../../tiers/runtime.ts"
import type { Caller, Listener } from "../listener.ts"
import type { Counters } from "../stats.ts"
import { BackendReads, UNTIMED } from "./backend-reads.ts"
import { FillBarriers } from "./fill-barriers.ts"
import { InFlight } from "./in-flight.ts"
import { type Load, type LoadRequest, Loads } from "./loads.ts"
import { PageFills } from "./page-fills.ts"
import { VersionFloors } from "./version-floors.ts"
import { WriteThrough } from "./write-through.ts"

export interface TwoTierOptions {
  l1: L1
  backend: Backend
  runtime: Runtime
  counters: Counters
  listener: Listener
  /** How long L1 keeps away from a key after a write that may still land, ms. */
  quarantineMs: number
}

/** A read of the backend under way. */
interface Flight {
  /** When the backend was asked, monotonic ms. */
  readonly askedAt: number
  /** Whether its entry may enter L1, unless it is dirty by then. */
  fill: boolean
  /** The key was written, or shown by another read, since this one began: its entry may be older. */
  dirty: boolean
  readonly caller: Caller
  promise: Promise<L1Entry | undefined>
}

/**
 * The protocol that keeps L1 from ever lying: what may enter it, and what must leave it when.
 *
 * In one thread nothing happens between two `await`s, so the protocol comes down to two checks when a read returns.
 * To *dirty* a key is to mark its flight, to take the flight off the list so that later readers start their own, and to
 * drop the key from L1.
 *
 * - A **read** joins the key's flight or starts one. Its entry enters L1 only if the flight is not dirty, the epoch is
 *   still that of its start, no fill barrier stands, and the version is not below the floor. The callers get it either way.
 * - A **write** dirties the key before and after, and keeps a fill barrier up: see {@link WriteThrough}.
 * - A **load** is overtaken by any write that begins before its own: see {@link Loads}.
 * - An **invalidation** of everything moves the epoch on.
 */
export class TwoTier {
  readonly traits: BackendTraits
  readonly writes: WriteThrough
  readonly #l1: L1
  readonly #backend: Backend
  readonly #runtime: Runtime
  readonly #counters: Counters
  readonly #listener: Listener
  readonly #reads: BackendReads
  readonly #flights = new Map<string, Flight>()
  readonly #pageFills = new PageFills()
  readonly #loads: Loads
  readonly #barriers: FillBarriers
  readonly #floors: VersionFloors
  readonly #inFlight: InFlight
  #epoch = 0

  constructor({ l1, backend, runtime, counters, listener, quarantineMs }: TwoTierOptions) {
    this.traits = backend.traits
    this.#l1 = l1
    this.#backend = backend
    this.#runtime = runtime
    this.#counters = counters
    this.#listener = listener
    this.#reads = new BackendReads(backend, runtime, counters)
    this.#barriers = new FillBarriers(runtime, quarantineMs)
    this.#floors = new VersionFloors(backend, runtime, Math.max(quarantineMs, DEFAULTS.quarantineMs))
    this.#inFlight = new InFlight(!backend.traits.inProcess)
    const inFlight = this.#inFlight
    this.writes = new WriteThrough({
      backend,
      runtime,
      counters,
      inFlight,
      barriers: this.#barriers,
      floors: this.#floors,
      dirty: (key, own) => this.#dirty(key, own),
    })
    this.#loads = new Loads({
      runtime,
      counters,
      listener,
      inFlight,
      read: (key, caller) => this.read(key, true, caller),
      store: (key, write, own) => this.writes.put(key, write, own),
    })
  }

  /** What L1 says of `key`: its entry if it is fresh, `null` if it is known to be absent, `undefined` if only the backend knows. */
  lookUp(key: string): L1Entry | null | undefined {
    return this.#l1.get(key) ?? this.lookUpAbsent(key)
  }

  /** As {@link lookUp}, after L1 was asked for an entry in vain. */
  lookUpAbsent(key: string): null | undefined {
    if (this.#l1.isAbsent(key)) return null
    this.#counters.l1Misses++
    return undefined
  }

  /**
   * Reads `key` from the backend, which L1 could not answer: joins the read under way, or starts one. `fill` lets the entry
   * enter L1. Throws nothing: a failure is a rejection.
   */
  read(key: string, fill: boolean, caller: Caller): MaybePromise<L1Entry | undefined> {
    const flight = this.#joinable(key)
    if (flight !== undefined) return this.#join(flight, fill, caller)

    const startedAt = this.#reads.start()
    const answer = this.#reads.ask(key, caller)
    if (answer instanceof Promise) return this.#fly(key, answer, startedAt, fill, caller)

    // Answered at once: nothing can have been written since.
    const entry = this.#reads.arrived(answer, startedAt)
    this.#pageFills.dirty(key)
    if (entry !== undefined) this.#loads.shown(key, entry.version)
    if (fill) this.#fill(key, entry)
    return entry
  }

  /**
   * The read of `key` under way, unless its answer may be older than what L1 may hold: then it is dirty, and a read that
   * begins now asks again. Without L1 a read joins only those begun in the same turn.
   */
  #joinable(key: string): Flight | undefined {
    const flight = this.#flights.get(key)
    if (flight === undefined) return undefined
    const { ttlMs } = this.#l1.settings
    if (ttlMs === 0 || this.#runtime.monotonic() - flight.askedAt <= ttlMs) return flight
    this.#dirtyFlight(key)
    return undefined
  }

  #join(flight: Flight, fill: boolean, caller: Caller): Promise<L1Entry | undefined> {
    this.#counters.coalesced++
    this.#listener.joined(caller, flight.caller)
    flight.fill ||= fill
    return flight.promise
  }

  /** Waits for the answer to a read as a flight that others can join. */
  #fly(
    key: string,
    answer: Promise<StoredEntry | undefined>,
    startedAt: number,
    fill: boolean,
    caller: Caller,
  ): Promise<L1Entry | undefined> {
    this.#inFlight.begin()
    // The time to live in L1 runs from the question: the answer may have been true no longer than that.
    const askedAt = startedAt === UNTIMED ? this.#runtime.monotonic() : startedAt
    const flight: Flight = { askedAt, fill, dirty: false, caller, promise: PENDING }
    const epoch = this.#epoch
    const leave = () => {
      if (this.#flights.get(key) === flight) this.#flights.delete(key)
    }
    const land = () => {
      this.#inFlight.end()
      leave()
    }
    flight.promise = answer.then(
      (stored) => {
        land()
        const entry = this.#reads.arrived(stored, startedAt)
        if (flight.dirty || epoch !== this.#epoch) {
          if (flight.fill) this.#counters.refusedFills++
          this.#shown(key, entry)
          return entry
        }
        this.#pageFills.dirty(key)
        if (entry !== undefined) this.#loads.shown(key, entry.version)
        if (flight.fill) this.#fill(key, entry, askedAt)
        return entry
      },
      (error: unknown) => {
        land()
        this.#reads.failed()
        throw error
      },
    )
    this.#flights.set(key, flight)
    // Without L1 no read may be older than its own beginning, so a flight is joined in its own turn alone.
    if (this.#l1.settings.ttlMs === 0) queueMicrotask(leave)
    return flight.promise
  }

  #fill(key: string, entry: L1Entry | undefined, askedAt?: number): void {
    if (this.#barriers.has(key)) this.#counters.refusedFills++
    else if (entry === undefined) this.#l1.fillAbsent(key, askedAt)
    else if (this.#floors.isBelow(key, entry.version)) this.#counters.refusedFills++
    else this.#l1.fill(key, entry, askedAt)
  }

  /** Reads `key` from the backend, joining no read that began earlier; drops what L1 holds if it differs. */
  async readStrong(key: string, caller: Caller): Promise<L1Entry | undefined> {
    this.#counters.l1Bypasses++
    const startedAt = this.#reads.start()
    const begunAt = this.#floors.now
    this.#inFlight.begin()
    try {
      const stored = await this.#backend.get(key, caller === undefined ? undefined : [caller])
      const entry = this.#reads.arrived(stored, startedAt)
      if (entry !== undefined) this.#floors.reached(key, entry.version, begunAt)
      this.#shown(key, entry)
      return entry
    } catch (error) {
      this.#reads.failed()
      throw error
    } finally {
      this.#inFlight.end()
    }
  }

  /** Whether `key` is there, by the backend, which reads no value for it; if `cached`, by the read under way. */
  async exists(key: string, cached: boolean, caller: Caller): Promise<boolean> {
    const flight = cached ? this.#joinable(key) : undefined
    if (flight !== undefined) {
      return this.#inFlight.during(async () => (await this.#join(flight, false, caller)) !== undefined)
    }
    if (!cached) this.#counters.l1Bypasses++
    this.#inFlight.begin()
    try {
      const there = await this.#reads.askWhether(key)
      this.#supersede(key, there ? (this.#l1.versionOf(key) ?? UNKNOWN) : null)
      return there
    } finally {
      this.#inFlight.end()
    }
  }

  /** Reads a page of a scan. With `fill` its entries enter L1, but for the keys written or read meanwhile. */
  async readPage(prefix: string, request: ScanRequest, fill: boolean): Promise<ScanPage> {
    const epoch = this.#epoch
    const pageFill = this.#pageFills.begin(fill)
    const startedAt = this.#runtime.monotonic()
    this.#inFlight.begin()
    try {
      const page = await this.#backend.scan(prefix, request)
      for (const stored of page.entries) {
        this.#counters.bytesRead += stored.value.length
        const mayFill = fill && epoch === this.#epoch && !pageFill.has(stored.key)
        this.#shown(stored.key, stored)
        if (mayFill) this.#fill(stored.key, this.#reads.toEntry(stored), startedAt)
      }
      return page
    } finally {
      this.#pageFills.end(pageFill)
      this.#inFlight.end()
    }
  }

  /** A read that does not fill showed `entry` to its callers. Unless it is known to be old, L1 must not fall behind it. */
  #shown(key: string, entry: { version: string } | undefined): void {
    if (entry !== undefined && this.#floors.isBelow(key, entry.version)) return
    this.#supersede(key, entry?.version ?? null)
  }

  /** Drops what L1 holds unless it is `version`, `null` for absent, and keeps out what other reads under way may bring. */
  #supersede(key: string, version: string | null): void {
    const held = this.#l1.versionOf(key)
    if (held !== undefined && held !== version) this.#l1.drop(key)
    this.#dirtyFlight(key)
    this.#pageFills.dirty(key)
    if (version !== null) this.#loads.shown(key, version === UNKNOWN ? undefined : version)
  }

  /** What the loader gives for `key`, one load at a time; stored on `request.condition`, unless it was overtaken. */
  load(request: LoadRequest, caller: Caller, signal?: AbortSignal): Promise<L1Entry | undefined> {
    return this.#loads.join(request, caller, signal)
  }

  /** Loads `key` anew in the background, unless a load is under way. */
  refresh(request: LoadRequest): void {
    this.#loads.refresh(request)
  }

  /** Runs a call of several steps; `close` waits for it. */
  during<T>(run: () => Promise<T>): Promise<T> {
    return this.#inFlight.during(run)
  }

  /** Drops `key` from L1, and keeps out what was read before now. */
  invalidate(key: string): void {
    this.#dirty(key)
  }

  /** Drops everything from L1, and keeps out what was read before now. */
  invalidateAll(): void {
    this.#epoch++
    this.#flights.clear()
    this.#loads.dirtyAll()
    this.#l1.clear()
  }

  #dirty(key: string, own?: Load): void {
    this.#dirtyFlight(key)
    this.#pageFills.dirty(key)
    this.#loads.dirty(key, own)
    this.#l1.drop(key)
  }

  #dirtyFlight(key: string): void {
    const flight = this.#flights.get(key)
    if (flight === undefined) return
    flight.dirty = true
    this.#flights.delete(key)
  }

  async #idle(limitMs: number): Promise<void> {
    let timer: Timer | undefined
    const late = new Promise<void>((resolve) => {
      timer = this.#runtime.setTimer(resolve, limitMs)
    })
    await Promise.race([this.#inFlight.idle(), late])
    timer?.cancel()
  }

  /** Reads, writes, pages and loads under way. */
  get inFlight(): number {
    return this.#inFlight.count
  }

  /** Quarantines in force. */
  get quarantined(): number {
    return this.#barriers.quarantined
  }

  /**
   * Waits for what is in flight, its loads told to stop, then lets go of L1 and of the timers. A loader that does not stop
   * is waited for no longer than {@link CLOSE_TIMEOUT_MS}; its callers get `CLOSED`.
   */
  async close(): Promise<void> {
    this.#loads.close()
    await this.#idle(CLOSE_TIMEOUT_MS)
    this.#loads.giveUp()
    this.invalidateAll()
    this.#barriers.close()
    this.#inFlight.close()
    this.#l1.close()
  }
}

/** How long `close` waits for what is in flight, ms. Calls to the backend end sooner: they have a time-out of their own. */
const CLOSE_TIMEOUT_MS = 5_000

/** Stands for the version of an entry that is known to be there, and no more. No backend's version is empty. */
const UNKNOWN = ""

const PENDING = new Promise<never>(() => {})
