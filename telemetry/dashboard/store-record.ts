import { numberAt, type StoreStats } from "../../src/counters.ts"
import { bucketOf, quantileMs } from "../../src/duration-buckets.ts"
import type { WatchedStore } from "../../src/open-stores.ts"
import type { Durations } from "../../src/stats.ts"
import {
  COUNTS,
  LATENCIES,
  type Points,
  type Recent,
  STEP_MS,
  STEPS,
  type StoreReport,
  TIMES,
  type Times,
} from "./report.ts"

/** Steps in the minute before now. */
const MINUTE_STEPS = 12
/** What a hit of L1 counts as before the first one was timed, ns. */
const UNTIMED_HIT_NS = 500

let recordsMade = 0

/** What a store counted in some time. */
interface Increase {
  ms: number
  /** In the order of {@link COUNTS}. */
  counts: number[]
  /** By bucket, in the order of {@link LATENCIES}. */
  durations: Uint32Array[]
}

interface Reading extends Increase {
  stats: StoreStats
}

/** The history of one store. */
export class StoreRecord {
  readonly #id = ++recordsMade
  readonly #store: WatchedStore
  #before: Reading
  /** The increases of the last minute, the oldest first. */
  readonly #minute: Increase[] = []
  /** A row a step, of {@link COUNTS} and of the two numbers of each of {@link TIMES}; a ring. */
  readonly #points = new Float32Array(STEPS * ROW)
  #steps = 0

  private constructor(store: WatchedStore, before: Reading) {
    this.#store = store
    this.#before = before
  }

  /** Of a store that was opened at an unknown time before. */
  static from(store: WatchedStore, now: number): StoreRecord {
    return new StoreRecord(store, readingOf(store, now))
  }

  /** Of a store that was opened a moment ago. */
  static ofNew(store: WatchedStore, now: number): StoreRecord {
    const { stats, counts, durations } = readingOf(store, now)
    const nothing = {
      counts: counts.map(() => 0),
      durations: durations.map((each) => new Uint32Array(each.length)),
    }
    return new StoreRecord(store, { ms: now, stats, ...nothing })
  }

  step(now: number): void {
    const reading = readingOf(this.#store, now)
    const increase = increaseSince(this.#before, reading)
    this.#before = reading
    this.#minute.push(increase)
    if (this.#minute.length > MINUTE_STEPS) this.#minute.shift()
    const times = timesOf(increase)
    // A step is longer where the event loop was blocked.
    const share = Math.min(1, STEP_MS / increase.ms)
    const counts = increase.counts.map((count) => count * share)
    const row = [...counts, ...TIMES.flatMap((path) => [times[path].p50Ms, times[path].p99Ms])]
    this.#points.set(row, (this.#steps % STEPS) * ROW)
    this.#steps++
  }

  report(now: number, steps: number): StoreReport {
    const reading = readingOf(this.#store, now)
    const increase = total([...this.#minute, increaseSince(this.#before, reading)])
    const counts: Recent["counts"] = {}
    COUNTS.forEach((path, index) => {
      const count = increase.counts[index] ?? 0
      if (count > 0) counts[path] = count
    })
    return {
      ...reading.stats,
      recent: { ms: Math.max(1, increase.ms), counts, times: timesOf(increase) },
      points: this.#pointsOf(Math.min(steps, this.#steps, STEPS)),
    }
  }

  /** The last `steps` points; series of zeros are left out. */
  #pointsOf(steps: number): Points {
    const values: Points["values"] = {}
    POINT_NAMES.forEach((name, column) => {
      const series = Array.from({ length: steps }, (_, index) => {
        const step = (this.#steps - steps + index) % STEPS
        return Number((this.#points[step * ROW + column] ?? 0).toPrecision(3))
      })
      if (series.some((value) => value !== 0)) values[name] = series
    })
    return { of: this.#id, steps, values }
  }
}

const POINT_NAMES = [...COUNTS, ...TIMES.flatMap((path) => [`${path}.p50Ms`, `${path}.p99Ms`] as const)]
const ROW = POINT_NAMES.length

function readingOf(store: WatchedStore, now: number): Reading {
  const stats = store.stats()
  const durations: Durations = store.durations()
  return {
    ms: now,
    stats,
    counts: COUNTS.map((path) => numberAt(stats, path)),
    durations: LATENCIES.map((path) => Uint32Array.from(durations[path])),
  }
}

function increaseSince(before: Increase, now: Increase): Increase {
  return {
    ms: now.ms - before.ms,
    counts: now.counts.map((count, index) => Math.max(0, count - (before.counts[index] ?? 0))),
    durations: now.durations.map((buckets, index) =>
      buckets.map((count, bucket) => count - (before.durations[index]?.[bucket] ?? 0)),
    ),
  }
}

function total(increases: readonly Increase[]): Increase {
  const sum = (numbers: Uint32Array[]) => {
    const all = new Uint32Array(numbers[0]?.length ?? 0)
    for (const each of numbers) for (let i = 0; i < all.length; i++) all[i] = (all[i] ?? 0) + (each[i] ?? 0)
    return all
  }
  return {
    ms: increases.reduce((ms, one) => ms + one.ms, 0),
    counts: COUNTS.map((_, index) => increases.reduce((so, { counts }) => so + (counts[index] ?? 0), 0)),
    durations: LATENCIES.map((_, index) => sum(increases.flatMap(({ durations }) => durations[index] ?? []))),
  }
}

function timesOf({ counts, durations }: Increase): Times {
  const of = (path: (typeof COUNTS)[number]) => counts[COUNTS.indexOf(path)] ?? 0
  const bucketsOf = (path: (typeof LATENCIES)[number]) =>
    durations[LATENCIES.indexOf(path)] ?? new Uint32Array(0)
  const byL1 = of("l1.hits") + of("l1.negativeHits")
  const byL2 = of("l2.hits") + of("l2.misses") + of("l2.readErrors") + of("l2.coalesced")
  const reads = new Float64Array(bucketsOf("l1.latency").length)
  weigh(reads, bucketsOf("l1.latency"), byL1, UNTIMED_HIT_NS)
  weigh(reads, bucketsOf("l2.readLatency"), byL2, undefined)
  const timed = (buckets: ArrayLike<number>, count: number) => ({
    count,
    p50Ms: quantileMs(buckets, 0.5),
    p99Ms: quantileMs(buckets, 0.99),
  })
  const countOf = (buckets: Uint32Array) => buckets.reduce((sum, count) => sum + count, 0)
  const latency = (path: (typeof LATENCIES)[number]) => timed(bucketsOf(path), countOf(bucketsOf(path)))
  return {
    reads: timed(reads, byL1 + byL2),
    "l1.latency": latency("l1.latency"),
    "l2.readLatency": latency("l2.readLatency"),
    "l2.writeLatency": latency("l2.writeLatency"),
    "loader.latency": latency("loader.latency"),
  }
}

/** Adds the sample `buckets` as if it were of `count`: one in so many of either tier is timed. */
function weigh(into: Float64Array, buckets: Uint32Array, count: number, untimedNs: number | undefined): void {
  const sampled = buckets.reduce((sum, one) => sum + one, 0)
  if (sampled > 0) {
    for (let i = 0; i < into.length; i++) into[i] = (into[i] ?? 0) + ((buckets[i] ?? 0) * count) / sampled
  } else if (untimedNs !== undefined) {
    const bucket = bucketOf(untimedNs)
    into[bucket] = (into[bucket] ?? 0) + count
  }
}
