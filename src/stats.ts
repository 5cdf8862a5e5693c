import { createHistogram, type RecordableHistogram } from "node:perf_hooks"
import type { Backend } from "../tiers/backend.ts"
import type { L1 } from "../tiers/l1/l1.ts"
import type { BusStats } from "./coherence/bus/bus-stats.ts"
import {
  keysOf,
  LATENCY,
  type LatencyStats,
  PATHS,
  type Paths,
  pathsOf,
  record,
  STATS,
  type Stat,
  type StatPath,
  type StoreStats,
  valueAt,
} from "./counters.ts"
import { DurationBuckets } from "./duration-buckets.ts"
import { type ErrorStats, Failures } from "./failures.ts"

const LONGEST_NS = 600e9

const LATENCY_NAMES = keysOf(LATENCY)

/** What `stats()` says. */
export interface KvStats extends StoreStats {
  /** What the bus of the store does; absent without a bus. */
  bus?: BusStats
}

/** A histogram of durations, to two significant digits and up to ten minutes. */
class Latency {
  readonly buckets = new DurationBuckets()
  /** Made with the first duration. */
  #histogram: RecordableHistogram | undefined

  record(ms: number): void {
    const ns = Math.min(LONGEST_NS, Math.max(1, Math.round(ms * 1e6)))
    this.#histogram ??= createHistogram({ lowest: 1, highest: LONGEST_NS, figures: 2 })
    this.#histogram.record(ns)
    this.buckets.add(ns)
  }

  snapshot(): LatencyStats {
    const histogram = this.#histogram
    return record(LATENCY_NAMES, (name) => (histogram === undefined ? 0 : LATENCY[name](histogram)))
  }
}

const LATENCY_PATHS = pathsOf("latency")

/** Counts of durations, by the paths of the latencies. */
export type Durations = Readonly<Record<(typeof LATENCY_PATHS)[number], Readonly<Uint32Array>>>

type CounterField = Extract<Stat, { kind: "counter"; field: string }>["field"]
type LatencyField = Extract<Stat, { kind: "latency" }>["field"]
/** The paths of numbers that are not in {@link Counters}. */
type GivenPath = {
  [Path in StatPath]: (typeof STATS)[Path] extends { field: string } ? never : Path
}[StatPath]

/** The counters that the tiers increment. Plain fields; `stats()` and the metrics read them on demand. */
export type Counters = Record<CounterField, number> &
  Readonly<Record<LatencyField, Latency>> & { readonly failures: Failures }

/** @param now wall clock, Unix ms */
export function newCounters(now = () => Date.now(), store = "", target = ""): Counters {
  const fields = pathsOf("counter").flatMap((path) => {
    const stat = STATS[path]
    return "field" in stat ? [stat.field] : []
  })
  const latencies = pathsOf("latency").map((path) => STATS[path].field)
  const failures = new Failures(now, store, target)
  return { ...record(fields, () => 0), ...record(latencies, () => new Latency()), failures }
}

export function snapshot(
  name: string,
  backend: Backend,
  l1: L1,
  counters: Counters,
  { inFlight, quarantined }: { inFlight: number; quarantined: number },
): StoreStats {
  const l1Counters = l1.counters()
  const answered = l1Counters.hits + l1Counters.negativeHits
  const asked = answered + counters.l1Misses
  const given = {
    name,
    backend: backend.traits,
    l1: {
      ...l1Counters,
      hitRatio: asked === 0 ? 0 : answered / asked,
      entries: l1.entries,
      negatives: l1.negatives,
      maxEntries: l1.settings.maxEntries,
      bytes: l1.bytes,
      maxBytes: l1.settings.maxBytes,
    },
    aborted: counters.failures.aborted,
    errors: counters.failures.list(),
    inFlight,
    quarantined,
  }
  return assemble((path) => {
    if (isGiven(path)) return valueAt(given, path satisfies GivenPaths<typeof given>)
    const stat = STATS[path]
    return stat.kind === "counter" ? counters[stat.field] : counters[stat.field].snapshot()
  })
}

type GivenPaths<Given> = Paths<Given, number | string | readonly ErrorStats[]>

function isGiven(path: StatPath): path is GivenPath {
  return !("field" in STATS[path])
}

/** The counts of durations since the store was opened, by the paths of the latencies. They go on counting. */
export function durationsOf(counters: Counters): Durations {
  return record(LATENCY_PATHS, (path) => counters[STATS[path].field].buckets.counts)
}

/** `stats()` with what `value` gives for each path. */
function assemble(value: (path: StatPath) => unknown): StoreStats
function assemble(value: (path: StatPath) => unknown): object {
  const stats = {}
  for (const path of PATHS) {
    const groups = path.split(".")
    const name = groups.pop() ?? path
    Reflect.set(groups.reduce(groupIn, stats), name, value(path))
  }
  return stats
}

/** The object under `name`, made if it is not there. */
function groupIn(tree: object, name: string): object {
  const found: unknown = Reflect.get(tree, name)
  if (typeof found === "object" && found !== null) return found
  const made = {}
  Reflect.set(tree, name, made)
  return made
}
