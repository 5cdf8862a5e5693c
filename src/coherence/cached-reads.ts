import type { MaybePromise, StoredEntry } from "../../tiers/backend.ts"
import type { L1Entry } from "../../tiers/l1/entry.ts"
import type { L1 } from "../../tiers/l1/l1.ts"
import type { Runtime } from "../../tiers/runtime.ts"
import type { Caller, Listener } from "../listener.ts"
import type { Counters } from "../stats.ts"
import { type BackendReads, UNTIMED } from "./backend-reads.ts"
import type { Flight, Flights } from "./flights.ts"
import type { InFlight } from "./in-flight.ts"
import type { Loads } from "./loads.ts"
import type { PageFills } from "./page-fills.ts"
import type { Place } from "./place.ts"
import type { Sightings } from "./sightings.ts"
import type { WriteFills } from "./write-fills.ts"

export interface CachedReadsOptions {
  l1: L1
  runtime: Runtime
  counters: Counters
  listener: Listener
  inFlight: InFlight
  reads: BackendReads
  flights: Flights
  pageFills: PageFills
  writeFills: WriteFills
  loads: Loads
  sightings: Sightings
  place: Place
  /** Whether L1 may stop answering, and go on later with what it holds. */
  hasBus: boolean
  /** Whether a stale entry is confirmed by its version. In one process, reading the row is as cheap. */
  confirms: boolean
}

/**
 * The reads that L1 could not answer. A read joins the one of its key that is under way, or starts one. What it returns enters L1 only if the read is not
 * dirty, no other has returned something else since it began, no fill barrier is up, and the version is not below the floor. The callers get it in any
 * case.
 */
export class CachedReads {
  readonly #l1: L1
  readonly #runtime: Runtime
  readonly #counters: Counters
  readonly #listener: Listener
  readonly #inFlight: InFlight
  readonly #reads: BackendReads
  readonly #flights: Flights
  readonly #pageFills: PageFills
  readonly #writeFills: WriteFills
  readonly #loads: Loads
  readonly #sightings: Sightings
  readonly #place: Place
  readonly #hasBus: boolean
  readonly #confirms: boolean

  constructor(options: CachedReadsOptions) {
    this.#l1 = options.l1
    this.#runtime = options.runtime
    this.#counters = options.counters
    this.#listener = options.listener
    this.#inFlight = options.inFlight
    this.#reads = options.reads
    this.#flights = options.flights
    this.#pageFills = options.pageFills
    this.#writeFills = options.writeFills
    this.#loads = options.loads
    this.#sightings = options.sightings
    this.#place = options.place
    this.#hasBus = options.hasBus
    this.#confirms = options.confirms
  }

  /**
   * Reads `key` from the backend: joins the read under way, or starts one. With `fill` the entry may enter L1. Never throws; a
   * failure is a rejection.
   */
  read(key: string, fill: boolean, caller: Caller): MaybePromise<L1Entry | undefined> {
    const flight = this.#flights.of(key)
    if (flight !== undefined) return this.join(flight, fill, caller)

    const startedAt = this.#reads.start()
    const suspect = this.#confirms ? this.#l1.kept(key) : undefined
    const asOf = suspect?.stale ? undefined : this.#sightings.asOf(key)
    const answer = suspect?.stale
      ? this.#reads.askAgain(key, suspect.entry, caller)
      : this.#reads.ask(key, caller, asOf)
    if (answer instanceof Promise) return this.#fly(key, answer, startedAt, asOf, fill, caller)

    // The backend answered synchronously, so no write can have begun since.
    const entry = this.#reads.arrived(answer, startedAt)
    this.#shown(key, entry)
    if (fill) this.fill(key, entry, asOf)
    return entry
  }

  /** Waits for a read under way; with `fill` its entry may enter L1. */
  join(flight: Flight, fill: boolean, caller: Caller): Promise<L1Entry | undefined> {
    flight.joined++
    this.#listener.joined(caller, flight.caller)
    flight.fill ||= fill
    return flight.promise
  }

  /** Registers the pending answer as a flight that other reads can join. */
  #fly(
    key: string,
    answer: Promise<StoredEntry | L1Entry | undefined>,
    startedAt: number,
    asOf: number | undefined,
    fill: boolean,
    caller: Caller,
  ): Promise<L1Entry | undefined> {
    this.#inFlight.begin()
    // The time to live in L1 starts when the value may have been replaced: with the request, or the moment as of which it may be answered.
    const askedAt = asOf ?? (startedAt === UNTIMED ? this.#runtime.monotonic() : startedAt)
    const flight: Flight = {
      askedAt,
      fill,
      joined: 0,
      dirty: false,
      shown: undefined,
      caller,
      promise: PENDING,
    }
    const land = () => {
      this.#inFlight.end()
      this.#flights.end(key, flight)
    }
    flight.promise = answer.then(
      (stored) => {
        land()
        this.#counters.coalesced += flight.joined
        const entry = this.#reads.arrived(stored, startedAt)
        if (flight.dirty || (flight.shown !== undefined && flight.shown !== (entry?.version ?? null))) {
          if (flight.fill) this.#counters.refusedFills++
          this.#overtaken(key, entry)
          return entry
        }
        this.#shown(key, entry)
        if (flight.fill) this.fill(key, entry, askedAt)
        return entry
      },
      (error: unknown) => {
        land()
        this.#reads.failed(startedAt, 1 + flight.joined)
        throw error
      },
    )
    this.#flights.begin(key, flight)
    return flight.promise
  }

  /** A read returned `entry` that must not fill. L1 must not hold an older version, unless `entry` is below the floor. */
  #overtaken(key: string, entry: L1Entry | undefined): void {
    if (entry !== undefined && this.#place.isBelow(key, entry.version)) return
    this.#place.answered(key, entry?.version ?? null)
  }

  /** A read that may fill returned `entry` to its callers: what else is under way may be older. */
  #shown(key: string, entry: L1Entry | undefined): void {
    const version = entry === undefined ? null : entry.version
    this.#sightings.saw(key)
    this.#flights.shown(key, version)
    this.#pageFills.dirty(key)
    this.#writeFills.dirty(key)
    if (version !== null) this.#loads.shown(key, version)
    // While the bus was silent L1 did not answer, and it would go on with what it holds.
    if (this.#hasBus && this.#l1.versionOf(key) !== version) this.#l1.drop(key)
    if (version === null || !this.#place.isBelow(key, version)) this.#place.tellOthers(key, version)
  }

  /** Fills L1, unless a fill barrier or a version floor forbids it. */
  fill(key: string, entry: L1Entry | undefined, askedAt?: number): void {
    if (this.#place.isFenced(key)) this.#counters.refusedFills++
    else if (entry === undefined) this.#l1.fillAbsent(key, askedAt)
    else if (this.#place.isBelow(key, entry.version)) this.#counters.refusedFills++
    else this.#l1.fill(key, entry, askedAt)
  }
}

const PENDING = new Promise<never>(() => {})
