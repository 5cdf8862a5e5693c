import { createHistogram } from "node:perf_hooks"
import type { Backend } from "../tiers/backend.ts"
import type { L1, L1Counters } from "../tiers/l1/l1.ts"

const LONGEST_NS = 600e9

/** Latencies, ms, to two significant digits. */
export interface LatencyStats {
  count: number
  minMs: number
  meanMs: number
  p50Ms: number
  p90Ms: number
  p99Ms: number
  maxMs: number
}

/** A snapshot of one store in one process, since it was opened. Plain data. */
export interface StoreStats {
  name: string
  backend: { kind: string; target: string }
  l1: L1Counters & {
    /** Reads that L1 could not answer. */
    misses: number
    /** Reads told to pass L1 by. */
    bypasses: number
    /** Hits, negative ones included, over all reads that asked L1; 0 before the first. */
    hitRatio: number
    entries: number
    negatives: number
    maxEntries: number
    bytes: number
    maxBytes: number
    /** Values read from the backend that were not kept, because a write came between. */
    refusedFills: number
    /** Time of one hit in 256. */
    latency: LatencyStats
  }
  l2: {
    /** Keys that the backend was asked for, by what came of them. */
    hits: number
    misses: number
    readErrors: number
    /** Reads that waited for one under way instead of asking again. */
    coalesced: number
    /** Keys written or deleted, by what came of them; `refused` by their condition. */
    writes: number
    refused: number
    writeErrors: number
    /** Bytes of the values read, and of those sent to be written. */
    bytesRead: number
    bytesWritten: number
    /** Time of reads, each one on a networked backend, one in 16 on an embedded one. */
    readLatency: LatencyStats
    writeLatency: LatencyStats
  }
  loader: {
    loads: number
    /** Loads that ended, by what they brought: a value, nothing, an error. */
    hits: number
    misses: number
    errors: number
    /** Callers that waited for a load under way. */
    coalesced: number
    refreshes: number
    latency: LatencyStats
  }
  /** Reads, writes and loads under way. */
  inFlight: number
  /** Keys that L1 keeps away from because an unanswered write may still land. */
  quarantined: number
}

/** A histogram of durations, to two significant digits and up to ten minutes. */
class Latency {
  readonly #histogram = createHistogram({ lowest: 1, highest: LONGEST_NS, figures: 2 })

  record(ms: number): void {
    this.#histogram.record(Math.min(LONGEST_NS, Math.max(1, Math.round(ms * 1e6))))
  }

  snapshot(): LatencyStats {
    const histogram = this.#histogram
    if (histogram.count === 0)
      return { count: 0, minMs: 0, meanMs: 0, p50Ms: 0, p90Ms: 0, p99Ms: 0, maxMs: 0 }
    return {
      count: histogram.count,
      minMs: histogram.min / 1e6,
      meanMs: histogram.mean / 1e6,
      p50Ms: histogram.percentile(50) / 1e6,
      p90Ms: histogram.percentile(90) / 1e6,
      p99Ms: histogram.percentile(99) / 1e6,
      maxMs: histogram.max / 1e6,
    }
  }
}

/** What the two tiers count as they work: plain fields, read when somebody asks. */
export class Counters {
  l1Misses = 0
  l1Bypasses = 0
  refusedFills = 0
  l2Hits = 0
  l2Misses = 0
  readErrors = 0
  coalesced = 0
  writes = 0
  refused = 0
  writeErrors = 0
  loads = 0
  loadErrors = 0
  loadsCoalesced = 0
  refreshes = 0
  loadHits = 0
  loadMisses = 0
  bytesRead = 0
  bytesWritten = 0
  readonly l1Latency = new Latency()
  readonly readLatency = new Latency()
  readonly writeLatency = new Latency()
  readonly loadLatency = new Latency()
}

export function snapshot(
  name: string,
  backend: Backend,
  l1: L1,
  counters: Counters,
  now: { inFlight: number; quarantined: number },
): StoreStats {
  const l1Counters = l1.counters()
  const answered = l1Counters.hits + l1Counters.negativeHits
  const asked = answered + counters.l1Misses
  return {
    name,
    backend: { kind: backend.traits.kind, target: backend.traits.target },
    l1: {
      ...l1Counters,
      misses: counters.l1Misses,
      bypasses: counters.l1Bypasses,
      hitRatio: asked === 0 ? 0 : answered / asked,
      entries: l1.entries,
      negatives: l1.negatives,
      maxEntries: l1.settings.maxEntries,
      bytes: l1.bytes,
      maxBytes: l1.settings.maxBytes,
      refusedFills: counters.refusedFills,
      latency: counters.l1Latency.snapshot(),
    },
    l2: {
      hits: counters.l2Hits,
      misses: counters.l2Misses,
      readErrors: counters.readErrors,
      coalesced: counters.coalesced,
      writes: counters.writes,
      refused: counters.refused,
      writeErrors: counters.writeErrors,
      bytesRead: counters.bytesRead,
      bytesWritten: counters.bytesWritten,
      readLatency: counters.readLatency.snapshot(),
      writeLatency: counters.writeLatency.snapshot(),
    },
    loader: {
      loads: counters.loads,
      hits: counters.loadHits,
      misses: counters.loadMisses,
      errors: counters.loadErrors,
      coalesced: counters.loadsCoalesced,
      refreshes: counters.refreshes,
      latency: counters.loadLatency.snapshot(),
    },
    inFlight: now.inFlight,
    quarantined: now.quarantined,
  }
}
