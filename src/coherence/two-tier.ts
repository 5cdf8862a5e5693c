import type {
  Backend,
  MaybePromise,
  ScanPage,
  ScanRequest,
  StoredEntry,
  WriteResult,
} from "../../tiers/backend.ts"
import { KvError } from "../../tiers/errors.ts"
import type { L1Entry } from "../../tiers/l1/entry.ts"
import type { L1 } from "../../tiers/l1/l1.ts"
import type { Runtime } from "../../tiers/runtime.ts"
import { type Listener, silent } from "../listener.ts"
import type { Counters } from "../stats.ts"
import { BackendReads, UNTIMED } from "./backend-reads.ts"
import { FillBarriers } from "./fill-barriers.ts"
import { InFlight } from "./in-flight.ts"
import { VersionFloors } from "./version-floors.ts"

/** A read of the backend under way. */
interface Flight {
  /** Whether what it brings may enter L1, unless it is dirty by then. */
  fill: boolean
  /** The key was written, or shown by another read, since the read started: what it brings may be older. */
  dirty: boolean
  /** What the listener knows it by. */
  readonly captured: unknown
  promise: Promise<L1Entry | undefined>
}

/** A load of `getOrSet` under way. */
export interface Load {
  /** A write of the key began since the load started: what it brings is not stored. */
  dirty: boolean
  /** Callers that wait for it. */
  waiters: number
  /** A refresh: goes on though nobody waits. */
  background: boolean
  settled: boolean
  /** What the listener knows it by. */
  captured: unknown
  readonly controller: AbortController
  /** Absent while the loader is being called. */
  promise: Promise<L1Entry | undefined> | undefined
}

/** A page of a scan under way whose entries are to enter L1. */
interface PageFill {
  readonly epoch: number
  /** Keys written, or read by somebody else, since the page was asked for: what it brings of them may be older. */
  readonly dirtied: Set<string>
}

/**
 * The protocol that keeps L1 from ever lying: what may enter it, and what must leave it when.
 *
 * Nothing happens between two `await`s of one thread, so it comes down to two checks when a read returns:
 *
 * - To *dirty* a key is to mark its flight, take it off the list so that later readers start their own, and drop the
 *   key from L1.
 * - A **read** joins the key's flight or starts one. What it brings is filled only if the flight is not dirty, its epoch
 *   is the current one, no fence holds, and its version is not below the floor. The callers get it either way.
 * - A **write** dirties the key, writes, and dirties it again whatever came of it. Meanwhile a *fence* keeps the key out
 *   of L1. If the outcome is unknown, or an attempt that was given up may still land, the fence stays for the quarantine.
 * - An **invalidation** of everything moves the epoch on.
 */
export class TwoTier {
  readonly l1: L1
  readonly backend: Backend
  readonly runtime: Runtime
  readonly counters: Counters
  readonly listener: Listener
  readonly loads = new Map<string, Load>()
  readonly #flights = new Map<string, Flight>()
  readonly #running = new Set<Load>()
  readonly #pageFills = new Set<PageFill>()
  readonly #barriers: FillBarriers
  readonly #floors: VersionFloors
  readonly #reads: BackendReads
  readonly #inFlight: InFlight
  #epoch = 0
  #closing = false

  constructor(
    l1: L1,
    backend: Backend,
    runtime: Runtime,
    quarantineMs: number,
    counters: Counters,
    listener: Listener = silent,
  ) {
    this.l1 = l1
    this.backend = backend
    this.runtime = runtime
    this.counters = counters
    this.listener = listener
    this.#barriers = new FillBarriers(runtime, quarantineMs)
    this.#floors = new VersionFloors(backend)
    this.#reads = new BackendReads(backend, runtime, counters)
    this.#inFlight = new InFlight(!backend.traits.inProcess)
  }

  /** What L1 says of `key`: its entry if it is fresh, `null` if it is known to be absent, `undefined` if only the backend knows. */
  lookUp(key: string): L1Entry | null | undefined {
    return this.l1.get(key) ?? this.lookUpAbsent(key)
  }

  /** As {@link lookUp}, right after L1 was asked for an entry in vain. */
  lookUpAbsent(key: string): null | undefined {
    if (this.l1.isAbsent(key)) return null
    this.counters.l1Misses++
    return undefined
  }

  /** Reads `key` from the backend; joins the read under way if there is one. `fill` lets the entry enter L1. */
  read(key: string, fill: boolean): MaybePromise<L1Entry | undefined> {
    const flight = this.#flights.get(key)
    if (flight !== undefined) {
      this.counters.coalesced++
      this.listener.joined(flight.captured)
      flight.fill ||= fill
      return flight.promise
    }
    const startedAt = this.#reads.start()
    const answer = this.#reads.ask(key)
    if (answer instanceof Promise) return this.#launch(key, answer, fill, startedAt)
    // Answered at once: nothing can have been written since.
    const entry = this.#reads.arrived(answer, startedAt)
    this.#dirtyPages(key)
    if (fill) this.#fill(key, entry)
    return entry
  }

  /** Reads `key` from the backend, never joining a read that began earlier; drops what L1 holds if it differs. */
  async readStrong(key: string): Promise<L1Entry | undefined> {
    this.counters.l1Bypasses++
    const startedAt = this.#reads.start()
    this.#inFlight.begin()
    try {
      const stored = await this.backend.get(key)
      const entry = this.#reads.arrived(stored, startedAt)
      this.#shown(key, entry)
      return entry
    } catch (error) {
      this.#reads.failed()
      throw error
    } finally {
      this.#inFlight.end()
    }
  }

  /** Whether `key` is there, by the backend, which reads no value for it; if `cached`, by a read under way. */
  async exists(key: string, cached: boolean): Promise<boolean> {
    if (!cached) this.counters.l1Bypasses++
    const flight = cached ? this.#flights.get(key) : undefined
    this.#inFlight.begin()
    try {
      if (flight !== undefined) {
        this.counters.coalesced++
        this.listener.joined(flight.captured)
        return (await flight.promise) !== undefined
      }
      const there = await this.#reads.askWhether(key)
      if (!cached) this.#supersede(key, there ? (this.l1.versionOf(key) ?? "") : null)
      return there
    } finally {
      this.#inFlight.end()
    }
  }

  /** Writes `key` by `perform`, which gets the identity of the write. */
  async write(key: string, perform: (id: string) => Promise<WriteResult>, own?: Load): Promise<WriteResult> {
    const startedAt = this.runtime.monotonic()
    this.#beginWrite(key, own)
    try {
      const result = await perform(this.runtime.id())
      this.#settleWrite(key, result)
      return result
    } catch (error) {
      this.#settleWrite(key, error)
      throw error
    } finally {
      this.#endWrite(key, startedAt, own)
    }
  }

  /** Writes many keys by `perform`; every key is in its answer, with its result or its error. */
  async writeMany<T>(
    writes: ReadonlyMap<string, T>,
    perform: (writes: ReadonlyMap<string, T>) => Promise<Map<string, WriteResult | KvError>>,
  ): Promise<Map<string, WriteResult | KvError>> {
    const startedAt = this.runtime.monotonic()
    for (const key of writes.keys()) this.#beginWrite(key)
    try {
      const results = await perform(writes)
      for (const key of writes.keys()) this.#settleWrite(key, results.get(key))
      return results
    } catch (error) {
      for (const key of writes.keys()) this.#settleWrite(key, error)
      throw error
    } finally {
      for (const key of writes.keys()) this.#endWrite(key, startedAt)
    }
  }

  /** Reads a page of a scan; with `fill`, what it brings enters L1, but for the keys written or read meanwhile. */
  async readPage(prefix: string, request: ScanRequest, fill: boolean): Promise<ScanPage> {
    const pageFill: PageFill = { epoch: this.#epoch, dirtied: new Set() }
    if (fill) this.#pageFills.add(pageFill)
    const startedAt = this.runtime.monotonic()
    this.#inFlight.begin()
    try {
      const page = await this.backend.scan(prefix, request)
      for (const stored of page.entries) {
        this.counters.bytesRead += stored.value.length
        const clean = fill && pageFill.epoch === this.#epoch && !pageFill.dirtied.has(stored.key)
        this.#shown(stored.key, stored)
        if (clean) this.#fill(stored.key, this.#reads.toEntry(stored), startedAt)
      }
      return page
    } finally {
      this.#pageFills.delete(pageFill)
      this.#inFlight.end()
    }
  }

  /** Runs a load; `close` tells it to stop, and waits for it. */
  async runLoad<T>(key: string, load: Load, run: () => Promise<T>): Promise<T> {
    this.#running.add(load)
    if (this.#closing) stop(load)
    try {
      return await this.#inFlight.during(run)
    } finally {
      load.settled = true
      this.#running.delete(load)
      if (this.loads.get(key) === load) this.loads.delete(key)
    }
  }

  /** Runs a call of several steps; `close` waits for it. */
  runSteps<T>(run: () => Promise<T>): Promise<T> {
    return this.#inFlight.during(run)
  }

  /** Drops `key` from L1, and sees to it that nothing read before now enters it. `own` is a load that goes on. */
  dirty(key: string, own?: Load): void {
    this.#dirtyFlight(key)
    this.#dirtyPages(key)
    const load = this.loads.get(key)
    if (load !== undefined && load !== own) {
      load.dirty = true
      this.loads.delete(key)
    }
    this.l1.drop(key)
  }

  /** Drops everything from L1, and sees to it that nothing read before now enters it. */
  dirtyAll(): void {
    this.#epoch++
    this.#flights.clear()
    for (const load of this.loads.values()) load.dirty = true
    this.loads.clear()
    this.l1.clear()
  }

  /** Reads, writes, pages and loads under way. */
  get inFlight(): number {
    return this.#inFlight.count
  }

  /** Quarantines in force. */
  get quarantined(): number {
    return this.#barriers.quarantined
  }

  /** Waits for what is in flight, its loads told to stop, then lets go of L1 and of the timers. */
  async close(): Promise<void> {
    this.#closing = true
    for (const load of this.#running) stop(load)
    await this.#inFlight.idle()
    this.dirtyAll()
    this.#barriers.close()
    this.#inFlight.close()
    this.l1.close()
  }

  #launch(
    key: string,
    answer: Promise<StoredEntry | undefined>,
    fill: boolean,
    startedAt: number,
  ): Promise<L1Entry | undefined> {
    this.#inFlight.begin()
    const flight: Flight = { fill, dirty: false, captured: this.listener.capture(), promise: PENDING }
    const epoch = this.#epoch
    // L1's time to live runs from the question: the answer may have been true no longer than that.
    const askedAt = startedAt === UNTIMED ? this.runtime.monotonic() : startedAt
    const leave = () => {
      this.#inFlight.end()
      if (this.#flights.get(key) === flight) this.#flights.delete(key)
    }
    flight.promise = answer.then(
      (stored) => {
        leave()
        const entry = this.#reads.arrived(stored, startedAt)
        if (flight.dirty || epoch !== this.#epoch) {
          if (flight.fill) this.counters.refusedFills++
          this.#shown(key, entry)
          return entry
        }
        this.#dirtyPages(key)
        if (flight.fill) this.#fill(key, entry, askedAt)
        return entry
      },
      (error: unknown) => {
        leave()
        this.#reads.failed()
        throw error
      },
    )
    this.#flights.set(key, flight)
    return flight.promise
  }

  #fill(key: string, entry: L1Entry | undefined, askedAt?: number): void {
    if (this.#barriers.has(key)) this.counters.refusedFills++
    else if (entry === undefined) this.l1.fillAbsent(key, askedAt)
    else if (this.#floors.isBelow(key, entry.version)) this.counters.refusedFills++
    else this.l1.fill(key, entry, askedAt)
  }

  /** A read that does not fill showed `entry` to its callers. Unless it is known to be old, L1 must not fall behind it. */
  #shown(key: string, entry: { version: string } | undefined): void {
    if (entry !== undefined && this.#floors.isBelow(key, entry.version)) return
    this.#supersede(key, entry?.version ?? null)
  }

  /** Drops what L1 holds unless it is `version`, `null` for absent, and keeps out what other reads under way may bring. */
  #supersede(key: string, version: string | null): void {
    const held = this.l1.versionOf(key)
    if (held !== undefined && held !== version) this.l1.drop(key)
    this.#dirtyFlight(key)
    this.#dirtyPages(key)
  }

  #dirtyPages(key: string): void {
    for (const pageFill of this.#pageFills) pageFill.dirtied.add(key)
  }

  #dirtyFlight(key: string): void {
    const flight = this.#flights.get(key)
    if (flight === undefined) return
    flight.dirty = true
    this.#flights.delete(key)
  }

  #beginWrite(key: string, own?: Load): void {
    this.#inFlight.begin()
    this.#barriers.raise(key)
    this.dirty(key, own)
  }

  #endWrite(key: string, startedAt: number, own?: Load): void {
    this.counters.writeLatency.record(this.runtime.monotonic() - startedAt)
    this.dirty(key, own)
    this.#barriers.lower(key)
    this.#inFlight.end()
  }

  /** Counts what came of a write, and keeps what it says of the key. */
  #settleWrite(key: string, outcome: unknown): void {
    if (!isResult(outcome)) {
      this.counters.writeErrors++
      // What is not a KvError says nothing of the write, and neither does no answer at all.
      const known = outcome instanceof KvError && outcome.code !== "OUTCOME_UNKNOWN"
      if (!known) this.#quarantine(key)
      return
    }
    if (outcome.mayLandLate) this.#quarantine(key)
    if (!outcome.applied) {
      this.counters.refused++
      return
    }
    this.counters.writes++
    if (outcome.version === undefined) this.#floors.forget(key)
    else this.#floors.raise(key, outcome.version)
  }

  #quarantine(key: string): void {
    this.#barriers.quarantine(key, () => this.dirty(key))
  }
}

const PENDING = new Promise<never>(() => {})

function stop(load: Load): void {
  load.controller.abort(new KvError("CLOSED", "The store is closing", { operation: "getOrSet" }))
}

function isResult(outcome: unknown): outcome is WriteResult {
  return typeof outcome === "object" && outcome !== null && "applied" in outcome
}
