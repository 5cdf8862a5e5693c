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
import type { Runtime } from "../../tiers/runtime.ts"
import type { Caller, Listener } from "../listener.ts"
import type { Counters } from "../stats.ts"
import { BackendReads, UNTIMED } from "./backend-reads.ts"
import { FillBarriers } from "./fill-barriers.ts"
import { type Flight, Flights } from "./flights.ts"
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
  /** How long L1 does not hold a key after a write that the service may still apply, ms. */
  quarantineMs: number
}

/**
 * The coherence protocol: which entries may enter L1, and when they have to leave it.
 *
 * No other code runs between two `await`s of a call, so the protocol needs only a few checks when a read returns. To *dirty* a
 * key means: mark its flight, remove the flight from the map so that later readers start their own, and drop the key from L1.
 *
 * - A **read** joins the key's flight or starts one. The entry enters L1 only if the flight is not dirty, the epoch has not
 *   changed since its start, no fill barrier is up, and the version is not below the floor. The callers get the entry in any case.
 * - A **write** dirties the key before and after the request, and holds a fill barrier: see {@link WriteThrough}.
 * - A **load** is not stored if a write of the key began during it: see {@link Loads}.
 * - An **invalidation** of everything increments the epoch.
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
  readonly #flights: Flights
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
    this.#flights = new Flights(runtime, l1.settings.ttlMs)
    this.#barriers = new FillBarriers(runtime, quarantineMs)
    this.#floors = new VersionFloors(backend, runtime, Math.max(quarantineMs, DEFAULTS.quarantineMs))
    this.#inFlight = new InFlight(runtime, !backend.traits.inProcess)
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

  /** Looks `key` up in L1: the entry if L1 holds a fresh one, `null` if L1 holds it as absent, else `undefined`. */
  lookUp(key: string): L1Entry | null | undefined {
    return this.#l1.get(key) ?? this.lookUpAbsent(key)
  }

  /** Like {@link lookUp}, if L1 is known to hold no fresh entry. */
  lookUpAbsent(key: string): null | undefined {
    if (this.#l1.isAbsent(key)) return null
    this.#counters.l1Misses++
    return undefined
  }

  /**
   * Reads `key` from the backend: joins the read under way, or starts one. With `fill` the entry may enter L1. Never throws; a
   * failure is a rejection.
   */
  read(key: string, fill: boolean, caller: Caller): MaybePromise<L1Entry | undefined> {
    const flight = this.#flights.of(key)
    if (flight !== undefined) return this.#join(flight, fill, caller)

    const startedAt = this.#reads.start()
    const answer = this.#reads.ask(key, caller)
    if (answer instanceof Promise) return this.#fly(key, answer, startedAt, fill, caller)

    // The backend answered synchronously, so no write can have begun since.
    const entry = this.#reads.arrived(answer, startedAt)
    this.#pageFills.dirty(key)
    if (entry !== undefined) this.#loads.shown(key, entry.version)
    if (fill) this.#fill(key, entry)
    return entry
  }

  #join(flight: Flight, fill: boolean, caller: Caller): Promise<L1Entry | undefined> {
    this.#counters.coalesced++
    this.#listener.joined(caller, flight.caller)
    flight.fill ||= fill
    return flight.promise
  }

  /** Registers the pending answer as a flight that other reads can join. */
  #fly(
    key: string,
    answer: Promise<StoredEntry | undefined>,
    startedAt: number,
    fill: boolean,
    caller: Caller,
  ): Promise<L1Entry | undefined> {
    this.#inFlight.begin()
    // The time to live in L1 starts with the request: the value may have been replaced right after the backend read it.
    const askedAt = startedAt === UNTIMED ? this.#runtime.monotonic() : startedAt
    const flight: Flight = { askedAt, fill, dirty: false, caller, promise: PENDING }
    const epoch = this.#epoch
    const land = () => {
      this.#inFlight.end()
      this.#flights.end(key, flight)
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
    this.#flights.begin(key, flight)
    return flight.promise
  }

  #fill(key: string, entry: L1Entry | undefined, askedAt?: number): void {
    if (this.#barriers.has(key)) this.#counters.refusedFills++
    else if (entry === undefined) this.#l1.fillAbsent(key, askedAt)
    else if (this.#floors.isBelow(key, entry.version)) this.#counters.refusedFills++
    else this.#l1.fill(key, entry, askedAt)
  }

  /** Reads `key` from the backend without joining a flight; drops the key from L1 if L1 holds another version. */
  async readStrong(key: string, caller: Caller): Promise<L1Entry | undefined> {
    this.#counters.l1Bypasses++
    const startedAt = this.#reads.start()
    const begunAt = this.#floors.now
    this.#inFlight.begin()
    try {
      const stored = await this.#backend.get(key, caller === undefined ? undefined : { callers: [caller] })
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

  /** Whether the backend has `key`, without reading its value. With `cached`, joins the read under way, if there is one. */
  async exists(key: string, cached: boolean, caller: Caller): Promise<boolean> {
    const flight = cached ? this.#flights.of(key) : undefined
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

  /** Reads a page of a scan. With `fill` its entries enter L1, except those of keys written or read meanwhile. */
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

  /** A read that does not fill returned `entry` to its callers. L1 must not hold an older version, unless `entry` is below the floor. */
  #shown(key: string, entry: { version: string } | undefined): void {
    if (entry !== undefined && this.#floors.isBelow(key, entry.version)) return
    this.#supersede(key, entry?.version ?? null)
  }

  /** Drops `key` from L1 if L1 holds another version than `version` (`null`: absent), and keeps reads under way from filling it. */
  #supersede(key: string, version: string | null): void {
    const held = this.#l1.versionOf(key)
    if (held !== undefined && held !== version) this.#l1.drop(key)
    this.#flights.dirty(key)
    this.#pageFills.dirty(key)
    if (version !== null) this.#loads.shown(key, version === UNKNOWN ? undefined : version)
  }

  /** The value that the loader returns, one load of a key at a time. It is stored under `request.condition`, unless the load is dirty. */
  load(request: LoadRequest, caller: Caller, signal?: AbortSignal): Promise<L1Entry | undefined> {
    return this.#loads.join(request, caller, signal)
  }

  /** Loads the key again in the background, unless a load is under way. */
  refresh(request: LoadRequest): void {
    this.#loads.refresh(request)
  }

  /** Runs a call that has several steps; `close` waits for it. */
  during<T>(run: () => Promise<T>): Promise<T> {
    return this.#inFlight.during(run)
  }

  /** Drops `key` from L1, and keeps reads under way from filling it. */
  invalidate(key: string): void {
    this.#dirty(key)
  }

  /** Drops everything from L1, and keeps reads under way from filling it. */
  invalidateAll(): void {
    this.#epoch++
    this.#flights.clear()
    this.#loads.dirtyAll()
    this.#l1.clear()
  }

  #dirty(key: string, own?: Load): void {
    this.#flights.dirty(key)
    this.#pageFills.dirty(key)
    this.#loads.dirty(key, own)
    this.#l1.drop(key)
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
   * Aborts the loads, waits for the calls under way, for at most {@link CLOSE_TIMEOUT_MS}, then empties L1 and cancels the timers.
   * Callers that still wait for a loader get `CLOSED`.
   */
  async close(): Promise<void> {
    this.#loads.close()
    await this.#inFlight.idle(CLOSE_TIMEOUT_MS)
    this.#loads.giveUp()
    this.invalidateAll()
    this.#barriers.close()
    this.#inFlight.close()
    this.#l1.close()
  }
}

/** Longest time that `close` waits for calls under way, ms. With the defaults, calls to a backend over a network end within it. */
const CLOSE_TIMEOUT_MS = 5_000

/** The version of an entry that exists, but whose version is not known. No version of a backend is empty. */
const UNKNOWN = ""

const PENDING = new Promise<never>(() => {})
