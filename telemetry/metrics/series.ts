import type { Attributes } from "@opentelemetry/api"
import type { StoreStats } from "../../src/stats.ts"
import type { Capacity } from "../capacity.ts"
import { ATTRIBUTE, COUNTERS, LEVELS, type Metric } from "../names.ts"

/** What a store has counted, at one moment. */
export interface Reading {
  readonly stats: StoreStats
  /** Only where the service bills by units. */
  readonly capacity: Capacity | undefined
}

/** One time series of a store: where its number comes from. `undefined` means that the store has none such. */
export interface Row {
  readonly metric: Metric
  readonly attributes: Attributes
  readonly read: (reading: Reading) => number | undefined
}

const { tier, result, evictionReason, ioDirection, capacityUnit } = ATTRIBUTE

/**
 * The time series that only grow. `requests` of `l1` are all the reads there were; a read that waits for another is in
 * `coalesced` and not in `l2`. A bus would add its messages here, a circuit breaker its transitions.
 */
export const COUNTED: readonly Row[] = [
  row(COUNTERS.requests, { [tier]: "l1", [result]: "hit" }, ({ stats }) => stats.l1.hits),
  row(COUNTERS.requests, { [tier]: "l1", [result]: "negative" }, ({ stats }) => stats.l1.negativeHits),
  row(COUNTERS.requests, { [tier]: "l1", [result]: "miss" }, ({ stats }) => stats.l1.misses),
  row(COUNTERS.requests, { [tier]: "l1", [result]: "bypass" }, ({ stats }) => stats.l1.bypasses),
  row(COUNTERS.requests, { [tier]: "l2", [result]: "hit" }, ({ stats }) => stats.l2.hits),
  row(COUNTERS.requests, { [tier]: "l2", [result]: "miss" }, ({ stats }) => stats.l2.misses),
  row(COUNTERS.requests, { [tier]: "l2", [result]: "error" }, ({ stats }) => stats.l2.readErrors),
  row(COUNTERS.requests, { [tier]: "loader", [result]: "hit" }, ({ stats }) => stats.loader.hits),
  row(COUNTERS.requests, { [tier]: "loader", [result]: "miss" }, ({ stats }) => stats.loader.misses),
  row(COUNTERS.requests, { [tier]: "loader", [result]: "error" }, ({ stats }) => stats.loader.errors),
  row(COUNTERS.coalesced, { [tier]: "l2" }, ({ stats }) => stats.l2.coalesced),
  row(COUNTERS.coalesced, { [tier]: "loader" }, ({ stats }) => stats.loader.coalesced),
  row(COUNTERS.evictions, { [evictionReason]: "entries" }, ({ stats }) => stats.l1.evictions.entries),
  row(COUNTERS.evictions, { [evictionReason]: "bytes" }, ({ stats }) => stats.l1.evictions.bytes),
  row(COUNTERS.evictions, { [evictionReason]: "oversize" }, ({ stats }) => stats.l1.evictions.oversize),
  row(COUNTERS.evictions, { [evictionReason]: "negatives" }, ({ stats }) => stats.l1.evictions.negatives),
  row(COUNTERS.evictions, { [evictionReason]: "expired" }, ({ stats }) => stats.l1.expirations),
  row(COUNTERS.invalidations, {}, ({ stats }) => stats.l1.invalidations),
  row(COUNTERS.io, { [ioDirection]: "read" }, ({ stats }) => stats.l2.bytesRead),
  row(COUNTERS.io, { [ioDirection]: "write" }, ({ stats }) => stats.l2.bytesWritten),
  row(COUNTERS.capacity, { [capacityUnit]: "read" }, ({ capacity }) => capacity?.read),
  row(COUNTERS.capacity, { [capacityUnit]: "write" }, ({ capacity }) => capacity?.write),
  row(COUNTERS.capacity, { [capacityUnit]: "delete" }, ({ capacity }) => capacity?.delete),
]

/** The time series that go up and down. The state of a circuit breaker would be one. */
export const CURRENT: readonly Row[] = [
  row(LEVELS.entries, { [tier]: "l1" }, ({ stats }) => stats.l1.entries),
  row(LEVELS.entriesLimit, { [tier]: "l1" }, ({ stats }) => stats.l1.maxEntries),
  row(LEVELS.memoryUsage, { [tier]: "l1" }, ({ stats }) => stats.l1.bytes),
  row(LEVELS.memoryLimit, { [tier]: "l1" }, ({ stats }) => stats.l1.maxBytes),
  row(LEVELS.inFlight, {}, ({ stats }) => stats.inFlight),
]

function row(metric: Metric, attributes: Attributes, read: Row["read"]): Row {
  return { metric, attributes, read }
}

/** The sum over the readings that have such a number. */
export function sum(row: Row, readings: readonly Reading[]): number | undefined {
  let total: number | undefined
  for (const reading of readings) {
    const number = row.read(reading)
    if (number !== undefined) total = (total ?? 0) + number
  }
  return total
}
