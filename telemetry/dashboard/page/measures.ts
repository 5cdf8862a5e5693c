import type { StoreReport } from "../report.ts"
import type { Numbers } from "./counters.ts"

export interface Measure {
  label: string
  /** Counts bytes. */
  bytes?: true
  of(numbers: Numbers): number
}

export interface Result extends Measure {
  /** Names its colour in the style sheet. */
  className: string
}

export interface Tier {
  label: string
  className: string
  latency(store: StoreReport): StoreReport["l1"]["latency"]
  /** Mean time, ms; `undefined` if nothing was timed. */
  mean(numbers: Numbers): number | undefined
}

/** Requests by result, from the bottom of the chart up. A request is a key: a batch of ten is ten requests. */
export const RESULTS: readonly Result[] = [
  { label: "L1 hit", className: "l1-hit", of: (n) => n.l1Hits },
  { label: "L1 known absent", className: "l1-absent", of: (n) => n.l1Absent },
  { label: "Coalesced", className: "coalesced", of: (n) => n.coalesced },
  { label: "L2 hit", className: "l2-hit", of: (n) => n.l2Hits },
  { label: "L2 absent", className: "l2-absent", of: (n) => n.l2Absent },
  { label: "Written", className: "written", of: (n) => n.writes + n.refused },
  { label: "Error", className: "error", of: (n) => n.readErrors + n.writeErrors },
]

export const TIERS: readonly Tier[] = [
  {
    label: "L1 hit",
    className: "l1-hit",
    latency: ({ l1 }) => l1.latency,
    mean: (n) => (n.l1Timed > 0 ? n.l1Ms / n.l1Timed : undefined),
  },
  {
    label: "L2 read",
    className: "l2-hit",
    latency: ({ l2 }) => l2.readLatency,
    mean: (n) => (n.readsTimed > 0 ? n.readMs / n.readsTimed : undefined),
  },
  {
    label: "L2 write",
    className: "written",
    latency: ({ l2 }) => l2.writeLatency,
    mean: (n) => (n.writesTimed > 0 ? n.writeMs / n.writesTimed : undefined),
  },
  {
    label: "Loader",
    className: "coalesced",
    latency: ({ loader }) => loader.latency,
    mean: (n) => (n.loadsTimed > 0 ? n.loadMs / n.loadsTimed : undefined),
  },
]

export const L1_EVENTS: readonly Measure[] = [
  { label: "Filled", of: (n) => n.fills },
  { label: "Evicted: too many entries", of: (n) => n.evictedByCount },
  { label: "Evicted: too many bytes", of: (n) => n.evictedByBytes },
  { label: "Evicted: too large a value", of: (n) => n.oversize },
  { label: "Evicted: known absent", of: (n) => n.evictedAbsent },
  { label: "Expired", of: (n) => n.expirations },
  { label: "Invalidated", of: (n) => n.invalidations },
  { label: "Fill refused: written meanwhile", of: (n) => n.refusedFills },
]

export const L2_EVENTS: readonly Measure[] = [
  { label: "Reads coalesced", of: (n) => n.coalesced },
  { label: "Reads past L1", of: (n) => n.bypasses },
  { label: "Read errors", of: (n) => n.readErrors },
  { label: "Writes applied", of: (n) => n.writes },
  { label: "Writes refused by their condition", of: (n) => n.refused },
  { label: "Write errors", of: (n) => n.writeErrors },
  { label: "Value bytes read", bytes: true, of: (n) => n.bytesRead },
  { label: "Value bytes written", bytes: true, of: (n) => n.bytesWritten },
  { label: "Loads", of: (n) => n.loads },
  { label: "Loads that brought nothing", of: (n) => n.loadsEmpty },
  { label: "Loads coalesced", of: (n) => n.loadsCoalesced },
  { label: "Refreshes ahead", of: (n) => n.refreshes },
  { label: "Loader errors", of: (n) => n.loadErrors },
]

/** Reads that L1 answered, with a value or with a known absence. */
export const l1Answered = (n: Numbers) => n.l1Hits + n.l1Absent

/** Reads that asked L1. */
export const l1Asked = (n: Numbers) => l1Answered(n) + n.l1Misses

/** Keys that the backend was asked for. */
export const l2Reads = (n: Numbers) => n.l2Hits + n.l2Absent + n.readErrors

/** Reads with a result. */
export const reads = (n: Numbers) => l1Answered(n) + n.coalesced + l2Reads(n)

/** Reads, writes and loads that failed. */
export const errors = (n: Numbers) => n.readErrors + n.writeErrors + n.loadErrors

/** Keys read and written. */
export const requests = (n: Numbers) => RESULTS.reduce((total, result) => total + result.of(n), 0)
