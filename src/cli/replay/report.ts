import type { LatencyStats, StoreStats } from "../../counters.ts"
import type { BadLine } from "./access-log.ts"
import type { SimulatedSize } from "./l1-simulation.ts"
import type { LogFormat } from "./log-format.ts"
import type { ReplayTally } from "./run.ts"

/** The result of a replay. Durations in ms, sizes in bytes, ratios from 0 to 1. */
export interface ReplayReport {
  log: {
    file: string
    format: LogFormat
    accesses: number
    reads: number
    writes: number
    deletes: number
    distinctKeys: number
    /** Keys that are illegal in a store, replaced by a hash. */
    hashedKeys: number
    /** Values over the limit of a store, truncated. */
    cutValues: number
    /** Time from the first access to the last; absent if the log has no times. */
    spanMs?: number
    badLines: { count: number; first: readonly BadLine[] }
    /** Whether the replay was stopped before the end of the log. */
    interrupted: boolean
  }
  run: {
    backend: StoreStats["backend"]
    concurrency: number
    /** Keys stored before the log read them. */
    seededKeys: number
    elapsedMs: number
    accessesPerSecond: number
    /** Failed accesses, by error code. */
    failures: Record<string, number>
  }
  l1: {
    maxEntries: number
    maxBytes: number
    /** Absent if the log has no times: then nothing expires. */
    ttlMs?: number
    reads: number
    hits: number
    /** Reads of keys that L1 knew to be absent. */
    negativeHits: number
    hitRatio: number
    entries: number
    bytes: number
    evictions: StoreStats["l1"]["evictions"]
    expirations: number
    invalidations: number
    /** Of one hit in 256. */
    latency: LatencyStats
  }
  l2: {
    reads: number
    hits: number
    /** Reads of absent keys. */
    misses: number
    hitRatio: number
    /** Of one read in 16 on an embedded backend, else of every read. */
    readLatency: LatencyStats
    writeLatency: LatencyStats
  }
  /** Reads that did not reach the backend. */
  saved: { reads: number; byL1: number; coalesced: number; ratio: number }
  simulation: {
    /** Whether the TTL of L1 and the TTLs of the log were modelled. */
    expiry: boolean
    /** By size, ascending; `maxEntries: null`: no eviction. */
    sizes: { maxEntries: number | null; hits: number; hitRatio: number; l2Reads: number; chosen: boolean }[]
  }
}

/** The input of a report. */
export interface ReplayResult {
  log: Pick<
    ReplayReport["log"],
    "file" | "format" | "distinctKeys" | "hashedKeys" | "badLines" | "interrupted"
  >
  tally: ReplayTally
  stats: StoreStats
  l1TtlMs: number | undefined
  concurrency: number
  simulated: { reads: number; sizes: readonly SimulatedSize[] }
}

export function reportOf(result: ReplayResult): ReplayReport {
  const { log, tally, stats, l1TtlMs, concurrency, simulated } = result
  const { l1, l2 } = stats
  const l2Reads = l2.hits + l2.misses + l2.readErrors
  const byL1 = l1.hits + l1.negativeHits
  return {
    log: {
      ...log,
      accesses: tally.accesses,
      reads: tally.reads,
      writes: tally.writes,
      deletes: tally.deletes,
      cutValues: tally.cutValues,
      ...(tally.spanMs === undefined ? {} : { spanMs: tally.spanMs }),
    },
    run: {
      backend: stats.backend,
      concurrency,
      seededKeys: tally.seeded,
      elapsedMs: tally.elapsedMs,
      accessesPerSecond: ratioOf(tally.accesses, tally.elapsedMs / 1_000),
      failures: Object.fromEntries(tally.failures),
    },
    l1: {
      maxEntries: l1.maxEntries,
      maxBytes: l1.maxBytes,
      ...(l1TtlMs === undefined ? {} : { ttlMs: l1TtlMs }),
      reads: tally.reads,
      hits: l1.hits,
      negativeHits: l1.negativeHits,
      hitRatio: ratioOf(byL1, tally.reads),
      entries: l1.entries,
      bytes: l1.bytes,
      evictions: l1.evictions,
      expirations: l1.expirations,
      invalidations: l1.invalidations,
      latency: l1.latency,
    },
    l2: {
      reads: l2Reads,
      hits: l2.hits,
      misses: l2.misses,
      hitRatio: ratioOf(l2.hits, l2Reads),
      readLatency: l2.readLatency,
      writeLatency: l2.writeLatency,
    },
    saved: {
      reads: byL1 + l2.coalesced,
      byL1,
      coalesced: l2.coalesced,
      ratio: ratioOf(byL1 + l2.coalesced, tally.reads),
    },
    simulation: {
      expiry: l1TtlMs !== undefined,
      sizes: simulated.sizes.map(({ maxEntries, hits }) => ({
        maxEntries: Number.isFinite(maxEntries) ? maxEntries : null,
        hits,
        hitRatio: ratioOf(hits, simulated.reads),
        l2Reads: simulated.reads - hits,
        chosen: maxEntries === l1.maxEntries,
      })),
    },
  }
}

/** `part` / `whole`; 0 if `whole` is 0. */
export function ratioOf(part: number, whole: number): number {
  return whole === 0 ? 0 : part / whole
}
