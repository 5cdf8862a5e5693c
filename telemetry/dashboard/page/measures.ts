import type { TIMES } from "../report.ts"
import type { Numbers } from "./counters.ts"

export interface Measure {
  label: string
  /** Counts bytes. */
  bytes?: true
  of(numbers: Numbers): number
}

export interface Result extends Measure {
  /** The class in the style sheet that sets its colour. */
  className: string
}

export interface Tier {
  label: string
  /** The class in the style sheet that sets its colour. */
  className: string
  latency: (typeof TIMES)[number]
}

/** Requests by result, from the bottom of the chart up. A request is a key: a batch of ten is ten requests. */
export const RESULTS: readonly Result[] = [
  { label: "L1 hit", className: "l1-hit", of: (n) => n["l1.hits"] },
  { label: "L1 known absent", className: "l1-absent", of: (n) => n["l1.negativeHits"] },
  { label: "Coalesced", className: "coalesced", of: (n) => n["l2.coalesced"] },
  { label: "L2 hit", className: "l2-hit", of: (n) => n["l2.hits"] },
  { label: "L2 absent", className: "l2-absent", of: (n) => n["l2.misses"] },
  { label: "Written", className: "written", of: (n) => n["l2.writes"] + n["l2.refused"] },
  { label: "Error", className: "error", of: (n) => n["l2.readErrors"] + n["l2.writeErrors"] },
]

export const TIERS: readonly Tier[] = [
  { label: "L1 hit", className: "l1-hit", latency: "l1.latency" },
  { label: "L2 read", className: "l2-hit", latency: "l2.readLatency" },
  { label: "L2 write", className: "written", latency: "l2.writeLatency" },
  { label: "Loader", className: "coalesced", latency: "loader.latency" },
]

export const L1_EVENTS: readonly Measure[] = [
  { label: "Filled", of: (n) => n["l1.fills"] },
  { label: "Evicted: too many entries", of: (n) => n["l1.evictions.entries"] },
  { label: "Evicted: too many bytes", of: (n) => n["l1.evictions.bytes"] },
  { label: "Evicted: too large a value", of: (n) => n["l1.evictions.oversize"] },
  { label: "Evicted: known absent", of: (n) => n["l1.evictions.negatives"] },
  { label: "Would have been there in twice the room", of: (n) => n["l1.doubledHits"] },
  { label: "Expired", of: (n) => n["l1.expirations"] },
  { label: "Invalidated", of: (n) => n["l1.invalidations"] },
  { label: "Fill refused: written meanwhile", of: (n) => n["l1.refusedFills"] },
]

export const L2_EVENTS: readonly Measure[] = [
  { label: "Reads coalesced", of: (n) => n["l2.coalesced"] },
  { label: "Reads past L1", of: (n) => n["l1.bypasses"] },
  { label: "Requests sent again", of: (n) => n["l2.retries"] },
  { label: "Requests throttled", of: (n) => n["l2.throttles"] },
  { label: "Read errors", of: (n) => n["l2.readErrors"] },
  { label: "Writes applied", of: (n) => n["l2.writes"] },
  { label: "Writes refused by their condition", of: (n) => n["l2.refused"] },
  { label: "Write errors", of: (n) => n["l2.writeErrors"] },
  { label: "Value bytes read", bytes: true, of: (n) => n["l2.bytesRead"] },
  { label: "Value bytes written", bytes: true, of: (n) => n["l2.bytesWritten"] },
  { label: "Loads", of: (n) => n["loader.loads"] },
  { label: "Loads that brought nothing", of: (n) => n["loader.misses"] },
  { label: "Loads coalesced", of: (n) => n["loader.coalesced"] },
  { label: "Refreshes ahead", of: (n) => n["loader.refreshes"] },
  { label: "Loader errors", of: (n) => n["loader.errors"] },
]

/** Reads that L1 answered, with a value or with a known absence. */
export const l1Answered = (n: Numbers) => n["l1.hits"] + n["l1.negativeHits"]

/** Reads that asked L1. */
export const l1Asked = (n: Numbers) => l1Answered(n) + n["l1.misses"]

/** Keys that the backend was asked for. */
const l2Reads = (n: Numbers) => n["l2.hits"] + n["l2.misses"] + n["l2.readErrors"]

/** Reads with a result. */
export const reads = (n: Numbers) => l1Answered(n) + n["l2.coalesced"] + l2Reads(n)

/** Reads, writes and loads that failed. */
export const errors = (n: Numbers) => n["l2.readErrors"] + n["l2.writeErrors"] + n["loader.errors"]

/** Keys read and written. */
export const requests = (n: Numbers) => RESULTS.reduce((total, result) => total + result.of(n), 0)

/** Keys that the backend was asked for or sent. */
export const l2Asked = (n: Numbers) => l2Reads(n) + n["l2.writes"] + n["l2.refused"] + n["l2.writeErrors"]
