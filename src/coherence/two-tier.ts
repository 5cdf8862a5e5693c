import type { Backend, BackendTraits } from "../../tiers/backend.ts"
import type { L1Entry } from "../../tiers/l1/entry.ts"
import type { L1 } from "../../tiers/l1/l1.ts"
import { DEFAULTS } from "../../tiers/limits.ts"
import type { Runtime } from "../../tiers/runtime.ts"
import type { Caller, Listener } from "../listener.ts"
import type { Counters } from "../stats.ts"
import { BackendReads } from "./backend-reads.ts"
import type { BusStats } from "./bus/bus-stats.ts"
import { type BusSettings, Invalidations, stalenessBoundOf } from "./bus/invalidations.ts"
import { CachedReads } from "./cached-reads.ts"
import { DirectReads } from "./direct-reads.ts"
import { Flights } from "./flights.ts"
import { InFlight } from "./in-flight.ts"
import { type Load, type LoadRequest, Loads } from "./loads.ts"
import { PageFills } from "./page-fills.ts"
import { type Member, Place } from "./place.ts"
import { Sightings } from "./sightings.ts"
import { WriteThrough } from "./write-through.ts"

export interface TwoTierOptions {
  l1: L1
  backend: Backend
  /** What the rows are of: `traits.root`, or the backend before it was wrapped. */
  root: string | object
  runtime: Runtime
  counters: Counters
  listener: Listener
  /** How long L1 does not hold a key after a write that the service may still apply, ms. */
  quarantineMs: number
  /** Whether this store plays a process of its own: it shares nothing with the other stores over the same rows. */
  isolated: boolean
  /** What carries the invalidations between processes; `undefined`: nothing. */
  bus: BusSettings | undefined
}

/**
 * The coherence protocol: which entries may enter L1, and when they have to leave it.
 *
 * No other code runs between two `await`s of a call, so the protocol needs only a few checks when a read returns. To *dirty* a
 * key means: mark its flight, remove the flight from the map so that later readers start their own, and drop the key from L1.
 *
 * - A **read** joins the key's flight or starts one. The entry enters L1 only if the flight is not dirty, other reads have returned nothing
 *   else since it began, no fill barrier is up, and the version is not below the floor. The callers get the entry in any case: see
 *   {@link CachedReads}.
 * - A **write** dirties the key before and after the request, and holds a fill barrier: see {@link WriteThrough}.
 * - A **load** is not stored if a write of the key began during it: see {@link Loads}.
 * - A **direct read** (strong, `exists`, a page of a scan) drops from L1 what differs from its answer: see {@link DirectReads}.
 * - An **invalidation** dirties the key, or everything.
 * - With a bus, writes and invalidations reach the other processes: see {@link Invalidations}. An entry that may have been replaced
 *   unnoticed is *suspect*: the next read of it asks the backend for the version alone.
 *
 * The stores of this process over the same rows share barriers and floors, and dirty keys for each other: see {@link Place}.
 */
export class TwoTier {
  readonly traits: BackendTraits
  readonly writes: WriteThrough
  readonly cached: CachedReads
  readonly direct: DirectReads
  readonly #l1: L1
  readonly #counters: Counters
  readonly #reads: BackendReads
  readonly #flights: Flights
  readonly #pageFills = new PageFills()
  readonly #loads: Loads
  readonly #sightings: Sightings
  readonly #place: Place
  readonly #inFlight: InFlight
  /** What this store and other processes tell each other. */
  readonly bus: Invalidations | undefined

  constructor(options: TwoTierOptions) {
    const { l1, backend, root, runtime, counters, listener, quarantineMs, isolated, bus } = options
    this.traits = backend.traits
    this.#l1 = l1
    this.#counters = counters
    this.#reads = new BackendReads(backend, runtime, counters)
    const boundMs = bus?.staleness === "bounded" ? stalenessBoundOf(bus.bus) : Number.POSITIVE_INFINITY
    this.#flights = new Flights(runtime, Math.min(l1.settings.ttlMs, boundMs))
    this.#sightings = new Sightings(backend, runtime)
    const floorMs = Math.max(quarantineMs, DEFAULTS.quarantineMs)
    const place = new Place({
      backend,
      root,
      runtime,
      quarantineMs,
      floorMs,
      isolated,
      member: this.#member(),
    })
    this.#place = place
    this.bus =
      bus &&
      new Invalidations({
        ...bus,
        channel: channelOf(backend.traits),
        ...{ l1, place, runtime },
        suspect: () => {
          this.#sightings.sawAll()
          return l1.suspectAll()
        },
      })
    this.#inFlight = new InFlight(runtime, !backend.traits.inProcess)
    const inFlight = this.#inFlight
    this.writes = new WriteThrough({
      backend,
      runtime,
      counters,
      inFlight,
      place,
      held: (key) => l1.versionOf(key),
      fill: l1.settings.fillOnWrite
        ? (key, entry, askedAt) => this.cached.fill(key, entry, askedAt)
        : undefined,
      announce: this.bus?.announce.bind(this.bus),
    })
    this.#loads = new Loads({
      runtime,
      counters,
      listener,
      inFlight,
      read: (key, caller) => this.cached.read(key, true, caller),
      store: (key, write, own) => this.writes.put(key, write, own),
    })
    this.cached = new CachedReads({
      l1,
      runtime,
      counters,
      listener,
      inFlight,
      reads: this.#reads,
      flights: this.#flights,
      pageFills: this.#pageFills,
      writeFills: this.writes.fills,
      loads: this.#loads,
      sightings: this.#sightings,
      place,
      hasBus: bus !== undefined,
      confirms: bus !== undefined && !backend.traits.inProcess,
    })
    this.direct = new DirectReads({
      l1,
      backend,
      runtime,
      counters,
      inFlight,
      reads: this.#reads,
      flights: this.#flights,
      pageFills: this.#pageFills,
      loads: this.#loads,
      place,
      join: (flight, caller) => this.cached.join(flight, false, caller),
      fill: (key, entry, askedAt) => this.cached.fill(key, entry, askedAt),
    })
  }

  /** Looks for `key` among the absent keys of L1, which holds no fresh entry of it: `null` if it is known to be absent. */
  lookUpAbsent(key: string): null | undefined {
    if (this.#l1.isAbsent(key)) return null
    this.#counters.l1Misses++
    return undefined
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

  /** Drops `key` from L1, and keeps reads under way from filling it, in every store over the rows. */
  invalidate(key: string): void {
    this.#place.dirty(key)
    this.bus?.announce(key, undefined, 0)
  }

  /** Drops everything from L1, and keeps reads under way from filling it, in every store over the rows. */
  invalidateAll(): void {
    this.#place.dirtyAll()
    this.bus?.announceAll()
  }

  /** What this store does when it is told of what it, or another store over the rows, has done. */
  #member(): Member {
    return {
      dirty: (key, own) => this.#dirty(key, own),
      dirtyAll: (quarantineMs) => {
        this.#letGo()
        this.#l1.clear()
        if (quarantineMs > 0) this.#l1.suspectAll(quarantineMs)
      },
      written: (key, version) => {
        const held = version === undefined ? undefined : this.#l1.versionOf(key)
        if (!held || !version || !this.#place.isAtLeast(held, version)) this.#dirty(key)
      },
      answered: (key, version) => {
        this.#sightings.saw(key)
        this.writes.fills.dirty(key)
        this.direct.supersede(key, version)
      },
    }
  }

  /** Keeps everything under way from filling L1. */
  #letGo(): void {
    this.#sightings.sawAll()
    this.#flights.dirtyAll()
    this.#pageFills.dirtyAll()
    this.writes.fills.dirtyAll()
    this.#loads.dirtyAll()
  }

  #dirty(key: string, own?: Load): void {
    this.#sightings.saw(key)
    this.#flights.dirty(key)
    this.#pageFills.dirty(key)
    this.writes.fills.dirty(key)
    this.#loads.dirty(key, own)
    this.#l1.drop(key)
  }

  /** What the bus does; `undefined` without one. */
  busStats(): BusStats | undefined {
    return this.bus && { ...this.bus.stats(), revalidations: this.#reads.revalidations }
  }

  /** Reads, writes, pages and loads under way. */
  get inFlight(): number {
    return this.#inFlight.count
  }

  /** Quarantines in force. */
  get quarantined(): number {
    return this.#place.quarantined
  }

  /**
   * Aborts the loads, waits for the calls under way, for at most {@link CLOSE_TIMEOUT_MS}, then empties L1 and cancels the timers.
   * Callers that still wait for a loader get `CLOSED`.
   */
  async close(): Promise<void> {
    this.#loads.close()
    await this.#inFlight.idle(CLOSE_TIMEOUT_MS)
    this.#loads.giveUp()
    await this.bus?.close()
    this.#letGo()
    this.#place.leave()
    this.#inFlight.close()
    this.#l1.close()
  }
}

/** Longest time that `close` waits for calls under way, ms. With the defaults, calls to a backend over a network end within it. */
const CLOSE_TIMEOUT_MS = 5_000

/** Names the rows of a backend, the same in every process, however it reaches the server. */
function channelOf({ kind, target, rows = target, keyPrefix = "" }: BackendTraits): string {
  return `tiered-kv:${kind}:${rows}:${keyPrefix}`
}
