import type { Backend, ScanPage, ScanRequest } from "../../tiers/backend.ts"
import type { L1Entry } from "../../tiers/l1/entry.ts"
import type { L1 } from "../../tiers/l1/l1.ts"
import type { Runtime } from "../../tiers/runtime.ts"
import type { Caller } from "../listener.ts"
import type { Counters } from "../stats.ts"
import type { BackendReads } from "./backend-reads.ts"
import type { Flight, Flights } from "./flights.ts"
import type { InFlight } from "./in-flight.ts"
import type { Loads } from "./loads.ts"
import type { PageFills } from "./page-fills.ts"
import type { Place } from "./place.ts"

export interface DirectReadsOptions {
  l1: L1
  backend: Backend
  runtime: Runtime
  counters: Counters
  inFlight: InFlight
  reads: BackendReads
  flights: Flights
  pageFills: PageFills
  loads: Loads
  place: Place
  /** Joins a flight, for an answer that need not enter L1. */
  join: (flight: Flight, caller: Caller) => Promise<L1Entry | undefined>
  /** Fills L1, unless a fill barrier or a version floor forbids it. */
  fill: (key: string, entry: L1Entry | undefined, askedAt: number) => void
}

/**
 * The reads that the backend answers whatever L1 holds: strong reads, `exists`, and the pages of scans. What they return
 * may be newer than what L1 holds or what a read under way returns; L1 must not return anything older afterwards.
 */
export class DirectReads {
  readonly #options: DirectReadsOptions

  constructor(options: DirectReadsOptions) {
    this.#options = options
  }

  /** Reads `key` from the backend without joining a flight; drops the key from L1 if L1 holds another version. */
  async readStrong(key: string, caller: Caller): Promise<L1Entry | undefined> {
    const { backend, counters, reads, place, inFlight } = this.#options
    counters.l1Bypasses++
    const startedAt = reads.start()
    const begunAt = place.now
    inFlight.begin()
    try {
      const stored = await backend.get(key, caller === undefined ? undefined : { callers: [caller] })
      const entry = reads.arrived(stored, startedAt)
      if (entry !== undefined) place.reached(key, entry.version, begunAt)
      this.shown(key, entry)
      return entry
    } catch (error) {
      reads.failed(startedAt)
      throw error
    } finally {
      inFlight.end()
    }
  }

  /** Whether the backend has `key`, without reading its value. With `cached`, joins the read under way, if there is one. */
  async exists(key: string, cached: boolean, caller: Caller): Promise<boolean> {
    const { counters, reads, flights, inFlight, join, place } = this.#options
    const flight = cached ? flights.of(key) : undefined
    if (flight !== undefined) {
      return inFlight.during(async () => (await join(flight, caller)) !== undefined)
    }
    if (!cached) counters.l1Bypasses++
    inFlight.begin()
    try {
      const there = await reads.askWhether(key, caller)
      place.answered(key, there ? undefined : null)
      return there
    } finally {
      inFlight.end()
    }
  }

  /** Reads a page of a scan. With `fill` its entries enter L1, except those of keys written or read meanwhile. */
  async readPage(prefix: string, request: ScanRequest, fill: boolean): Promise<ScanPage> {
    const { backend, runtime, counters, reads, pageFills, inFlight } = this.#options
    const pageFill = pageFills.begin(fill)
    const startedAt = runtime.monotonic()
    inFlight.begin()
    try {
      const page = await backend.scan(prefix, request)
      for (const stored of page.entries) {
        counters.bytesRead += stored.value.length
        const mayFill = pageFills.mayFill(pageFill, stored.key)
        this.shown(stored.key, stored)
        if (mayFill) this.#options.fill(stored.key, reads.toEntry(stored), startedAt)
      }
      return page
    } finally {
      pageFills.end(pageFill)
      inFlight.end()
    }
  }

  /** A read that does not fill returned `entry` to its callers. L1 must not hold an older version, unless `entry` is below the floor. */
  shown(key: string, entry: { version: string } | undefined): void {
    const { place } = this.#options
    if (entry !== undefined && place.isBelow(key, entry.version)) return
    place.answered(key, entry?.version ?? null)
  }

  /**
   * Drops `key` from L1 if L1 holds another version than `version` (`null`: absent; `undefined`: there, in an unknown version), and keeps
   * reads under way from filling it.
   */
  supersede(key: string, version: string | null | undefined): void {
    const { l1, flights, pageFills, loads } = this.#options
    const held = l1.versionOf(key)
    const shown = version === undefined ? (held ?? UNKNOWN) : version
    if (held !== undefined && held !== shown) l1.drop(key)
    flights.shown(key, shown)
    pageFills.dirty(key)
    if (shown !== null) loads.shown(key, shown === UNKNOWN ? undefined : shown)
  }
}

/** The version of an entry that exists, but whose version is not known. No version of a backend is empty. */
const UNKNOWN = ""
