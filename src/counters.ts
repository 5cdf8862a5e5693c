/**
 * What `stats()` says, and the table that the rest derives from: the counters that the tiers increment, the snapshot, the
 * dashboard's report and history, the metrics, and the tables of docs/telemetry.md. A new counter is a line of
 * {@link StoreStats}, which documents it, and a line of {@link STATS}; the compiler refuses one without the other.
 *
 * The keys of {@link STATS} are paths in `stats()` and in a store of the report: `"l2.readErrors"`. {@link PATHS} lists all,
 * {@link pathsOf} those of one kind, {@link numberAt} reads the number under a path, and {@link record} makes an object
 * with a value for each. This module imports only types, so that a page in a browser can import it.
 */

import type { ErrorStats } from "./failures.ts"

/** A snapshot of one store in one process, since it was opened. Plain data. */
export interface StoreStats {
  /** Name of the store. */
  name: string
  backend: {
    /** `dynamodb`, `firestore`, `azure-tables`, `redis`, `lmdb`, `memory`, or what a backend of one's own calls itself. */
    kind: string
    /** Where the entries lie: a table, a server, a directory. */
    target: string
  }
  l1: {
    /** Reads that L1 answered with a value. */
    hits: number
    /** Reads of keys that L1 knew to be absent. */
    negativeHits: number
    /** Reads that L1 could not answer, those of `peek` included. */
    misses: number
    /** Misses that an L1 of twice the room would have answered: an estimate from 1,024 evicted keys. */
    doubledHits: number
    /** Reads that bypassed L1, as the caller asked. */
    bypasses: number
    /** Hits, negative ones included, over all reads that asked L1; 0 before the first. */
    hitRatio: number
    /** Entries filled into L1. */
    fills: number
    /** Values read from the backend that were not filled into L1, because a write or an invalidation came between. */
    refusedFills: number
    evictions: {
      /** Entries evicted because L1 held `maxEntries`. */
      entries: number
      /** Entries evicted because L1 held `maxBytes`. */
      bytes: number
      /** Entries that are larger than `maxBytes` on their own, and were not held. */
      oversize: number
      /** Absent keys evicted because L1 held as many as it may. */
      negatives: number
    }
    /** Entries and absent keys that were found past their deadline. */
    expirations: number
    /** Entries and absent keys dropped by a write, an invalidation or a step of the wall clock. */
    invalidations: number
    /** Entries held now, absent keys not counted. */
    entries: number
    /** Absent keys held now. */
    negatives: number
    /** Entries that L1 may hold; 0 if it is off. */
    maxEntries: number
    /** Bytes that the entries held now take: keys, values and their decoded forms. */
    bytes: number
    /** Bytes that L1 may hold; 0 if it is off. */
    maxBytes: number
    /** Time of one hit in 256. */
    latency: LatencyStats
  }
  l2: {
    /** Keys that were found in the backend. */
    hits: number
    /** Keys that were not found in the backend. */
    misses: number
    /** Reads of a key that failed, those that waited for another read included. */
    readErrors: number
    /** Reads that were answered by a read under way, so that they asked nothing. */
    coalesced: number
    /** Keys written or deleted. */
    writes: number
    /** Keys that were not written or deleted, because their condition did not hold. */
    refused: number
    /** Keys whose write or delete failed. */
    writeErrors: number
    /** Requests that were sent again, or beside a slow one. */
    retries: number
    /** Requests that the service throttled, in whole or in part. */
    throttles: number
    /** Bytes of the values read. */
    bytesRead: number
    /** Bytes of the values sent to be written. */
    bytesWritten: number
    /** Time of reads, of `exists` and of failed ones too: of each on a networked backend, of one in 16 on an embedded one. */
    readLatency: LatencyStats
    /** Time of writes and deletes, key by key: each of a batch took the time of the batch. */
    writeLatency: LatencyStats
  }
  loader: {
    /** Calls of a loader, refreshes included. */
    loads: number
    /** Loads that brought a value. */
    hits: number
    /** Loads that brought nothing. */
    misses: number
    /** Loads that failed. */
    errors: number
    /** Callers that were answered by a load under way. */
    coalesced: number
    /** Loads begun in the background, before their entry expired. */
    refreshes: number
    /** Time of loaders alone, without the write of what they returned; failed ones included. */
    latency: LatencyStats
  }
  /** Operations that their signal ended. They are not among the errors. */
  aborted: number
  /** Operations that failed for their caller, and refreshes that failed, in the order of the first failure of each kind. */
  errors: ErrorStats[]
  /** Reads, writes and loads under way. */
  inFlight: number
  /** Keys that L1 does not hold because an unanswered write may still take effect. */
  quarantined: number
}

/** Latencies, ms, to two significant digits; all 0 before the first. */
export interface LatencyStats {
  count: number
  minMs: number
  meanMs: number
  p50Ms: number
  p90Ms: number
  p99Ms: number
  maxMs: number
}

/** A histogram of durations, ns, as `node:perf_hooks` makes them. */
interface Durations {
  readonly count: number
  readonly min: number
  readonly mean: number
  readonly max: number
  percentile(percentile: number): number
}

/** How each of {@link LatencyStats} is read from a histogram that is not empty. */
export const LATENCY: Readonly<Record<keyof LatencyStats, (durations: Durations) => number>> = {
  count: ({ count }) => count,
  minMs: ({ min }) => min / 1e6,
  meanMs: ({ mean }) => mean / 1e6,
  p50Ms: (durations) => durations.percentile(50) / 1e6,
  p90Ms: (durations) => durations.percentile(90) / 1e6,
  p99Ms: (durations) => durations.percentile(99) / 1e6,
  maxMs: ({ max }) => max / 1e6,
}

type TextPath = Paths<StoreStats, string>
type ErrorsPath = Paths<StoreStats, readonly ErrorStats[]>
type LatencyPath = Paths<StoreStats, LatencyStats>
type NumberPath = Exclude<Paths<StoreStats, number | LatencyStats>, LatencyPath>

/** The paths in `Tree` to what is a `Leaf`. */
export type Paths<Tree, Leaf> = {
  [Name in keyof Tree & string]: Tree[Name] extends Leaf
    ? Name
    : Tree[Name] extends readonly unknown[]
      ? never
      : Tree[Name] extends object
        ? `${Name}.${Paths<Tree[Name], Leaf>}`
        : never
}[keyof Tree & string]

/**
 * The time series of a number, if it has one: a metric and the attributes that tell the series from the others of that
 * metric, by their names in telemetry/names.ts.
 */
type Series = readonly [] | readonly [metric: string, attributes: Readonly<Record<string, string>>]

/** Grows only. `field` is its name in the object that the tiers increment; what is counted elsewhere has none. */
function counter<const Field extends string, const Of extends Series>(field: Field, ...series: Of) {
  return { kind: "counter", field, series } as const
}

function givenCounter<const Of extends Series>(...series: Of) {
  return { kind: "counter", series } as const
}

/** Goes up and down. */
function level<const Of extends Series>(...series: Of) {
  return { kind: "level", series } as const
}

function text() {
  return { kind: "text" } as const
}

/** A histogram, by its name in the object that the tiers record in. */
function latency<const Field extends string>(field: Field) {
  return { kind: "latency", field } as const
}

/** Counts by kind of failure. */
function failures() {
  return { kind: "errors" } as const
}

export const STATS = {
  name: text(),
  "backend.kind": text(),
  "backend.target": text(),

  "l1.hits": givenCounter("requests", { tier: "l1", result: "hit" }),
  "l1.negativeHits": givenCounter("requests", { tier: "l1", result: "negative" }),
  "l1.misses": counter("l1Misses", "requests", { tier: "l1", result: "miss" }),
  "l1.doubledHits": givenCounter("doubledHits", {}),
  "l1.bypasses": counter("l1Bypasses", "requests", { tier: "l1", result: "bypass" }),
  "l1.hitRatio": level(),
  "l1.fills": givenCounter("fills", { outcome: "applied" }),
  "l1.refusedFills": counter("refusedFills", "fills", { outcome: "refused" }),
  "l1.evictions.entries": givenCounter("evictions", { evictionReason: "entries" }),
  "l1.evictions.bytes": givenCounter("evictions", { evictionReason: "bytes" }),
  "l1.evictions.oversize": givenCounter("evictions", { evictionReason: "oversize" }),
  "l1.evictions.negatives": givenCounter("evictions", { evictionReason: "negatives" }),
  "l1.expirations": givenCounter("evictions", { evictionReason: "expired" }),
  "l1.invalidations": givenCounter("invalidations", {}),
  "l1.entries": level("entryCount", { tier: "l1" }),
  "l1.negatives": level("negativeCount", { tier: "l1" }),
  "l1.maxEntries": level("entryLimit", { tier: "l1" }),
  "l1.bytes": level("memoryUsage", { tier: "l1" }),
  "l1.maxBytes": level("memoryLimit", { tier: "l1" }),
  "l1.latency": latency("l1Latency"),

  "l2.hits": counter("l2Hits", "requests", { tier: "l2", result: "hit" }),
  "l2.misses": counter("l2Misses", "requests", { tier: "l2", result: "miss" }),
  "l2.readErrors": counter("readErrors", "requests", { tier: "l2", result: "error" }),
  "l2.coalesced": counter("coalesced", "coalesced", { tier: "l2" }),
  "l2.writes": counter("writes", "writes", { outcome: "applied" }),
  "l2.refused": counter("refused", "writes", { outcome: "refused" }),
  "l2.writeErrors": counter("writeErrors", "writes", { outcome: "error" }),
  "l2.retries": counter("retries", "retries", {}),
  "l2.throttles": counter("throttles", "throttles", {}),
  "l2.bytesRead": counter("bytesRead", "io", { ioDirection: "read" }),
  "l2.bytesWritten": counter("bytesWritten", "io", { ioDirection: "write" }),
  "l2.readLatency": latency("readLatency"),
  "l2.writeLatency": latency("writeLatency"),

  "loader.loads": counter("loads"),
  "loader.hits": counter("loadHits", "requests", { tier: "loader", result: "hit" }),
  "loader.misses": counter("loadMisses", "requests", { tier: "loader", result: "miss" }),
  "loader.errors": counter("loadErrors", "requests", { tier: "loader", result: "error" }),
  "loader.coalesced": counter("loadsCoalesced", "coalesced", { tier: "loader" }),
  "loader.refreshes": counter("refreshes", "refreshes", {}),
  "loader.latency": latency("loadLatency"),

  aborted: givenCounter("aborted", {}),
  errors: failures(),
  inFlight: level("inFlight", {}),
  quarantined: level("quarantined", {}),
} satisfies Record<TextPath, { kind: "text" }> &
  Record<ErrorsPath, { kind: "errors" }> &
  Record<LatencyPath, { kind: "latency" }> &
  Record<NumberPath, { kind: "counter" | "level" }>

/** The path to one of all that `stats()` says, `"l1.evictions.bytes"` for one. */
export type StatPath = keyof typeof STATS

/** One line of the table. */
export type Stat = (typeof STATS)[StatPath]

export const PATHS = keysOf(STATS)

type PathOf<Kind> = {
  [Path in StatPath]: (typeof STATS)[Path] extends { kind: Kind } ? Path : never
}[StatPath]

export function pathsOf<Kind extends Stat["kind"]>(kind: Kind): PathOf<Kind>[] {
  return PATHS.filter((path): path is PathOf<Kind> => STATS[path].kind === kind)
}

/** The keys of `object`, which has no others than its type says. */
export function keysOf<Name extends string>(object: Readonly<Partial<Record<Name, unknown>>>): Name[]
export function keysOf(object: object): string[] {
  return Object.keys(object)
}

/** The number that lies under `path` in `tree`, for one in `stats()`. */
export function numberAt<Tree extends object>(tree: Tree, path: Paths<Tree, number> & string): number {
  const found = valueAt(tree, path)
  return typeof found === "number" ? found : Number.NaN
}

/** What lies under `path` in `tree`; `undefined` if nothing does. */
export function valueAt(tree: unknown, path: string): unknown {
  let found = tree
  for (const name of path.split(".")) {
    found = typeof found === "object" && found !== null ? Reflect.get(found, name) : undefined
  }
  return found
}

/** An object with what `value` gives for each of `names`. */
export function record<Name extends string, Value>(
  names: readonly Name[],
  value: (name: Name) => Value,
): Record<Name, Value>
export function record(names: readonly string[], value: (name: string) => unknown): object {
  return Object.fromEntries(names.map((name) => [name, value(name)]))
}
