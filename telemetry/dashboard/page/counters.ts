import type { StoreReport } from "../report.ts"

/** What the page counts, and how it is read from a store's report. */
const COUNTERS = {
  l1Hits: ({ l1 }) => l1.hits,
  l1Absent: ({ l1 }) => l1.negativeHits,
  l1Misses: ({ l1 }) => l1.misses,
  coalesced: ({ l2 }) => l2.coalesced,
  l2Hits: ({ l2 }) => l2.hits,
  l2Absent: ({ l2 }) => l2.misses,
  readErrors: ({ l2 }) => l2.readErrors,
  writes: ({ l2 }) => l2.writes,
  refused: ({ l2 }) => l2.refused,
  writeErrors: ({ l2 }) => l2.writeErrors,
  bytesRead: ({ l2 }) => l2.bytesRead,
  bytesWritten: ({ l2 }) => l2.bytesWritten,
  loads: ({ loader }) => loader.loads,
  loadsEmpty: ({ loader }) => loader.misses,
  loadErrors: ({ loader }) => loader.errors,
  loadsCoalesced: ({ loader }) => loader.coalesced,
  refreshes: ({ loader }) => loader.refreshes,
  bypasses: ({ l1 }) => l1.bypasses,
  fills: ({ l1 }) => l1.fills,
  refusedFills: ({ l1 }) => l1.refusedFills,
  evictedByCount: ({ l1 }) => l1.evictions.entries,
  evictedByBytes: ({ l1 }) => l1.evictions.bytes,
  oversize: ({ l1 }) => l1.evictions.oversize,
  evictedAbsent: ({ l1 }) => l1.evictions.negatives,
  expirations: ({ l1 }) => l1.expirations,
  invalidations: ({ l1 }) => l1.invalidations,
  l1Timed: ({ l1 }) => l1.latency.count,
  readsTimed: ({ l2 }) => l2.readLatency.count,
  writesTimed: ({ l2 }) => l2.writeLatency.count,
  loadsTimed: ({ loader }) => loader.latency.count,
} satisfies Record<string, (store: StoreReport) => number>

/** Times spent, ms. Each is the product of a count and a rounded mean, so it may seem to go back a little. */
const TIMES = {
  l1Ms: ({ l1 }) => l1.latency.count * l1.latency.meanMs,
  readMs: ({ l2 }) => l2.readLatency.count * l2.readLatency.meanMs,
  writeMs: ({ l2 }) => l2.writeLatency.count * l2.writeLatency.meanMs,
  loadMs: ({ loader }) => loader.latency.count * loader.latency.meanMs,
} satisfies Record<string, (store: StoreReport) => number>

const READERS: Readonly<Record<Counted, (store: StoreReport) => number>> = { ...COUNTERS, ...TIMES }

type Counted = keyof typeof COUNTERS | keyof typeof TIMES

/** A number for each counter: since a store was opened, or per second. */
export type Numbers = Record<Counted, number>

export function numbersOf(store: StoreReport): Numbers {
  return each((name) => READERS[name](store))
}

/** What was counted after `before`. A counter that went down belongs to a store opened anew, which counted from zero. */
export function increase(before: Numbers | undefined, now: Numbers): Numbers {
  if (before === undefined) return now
  const anew = keysOf(COUNTERS).some((name) => now[name] < before[name])
  return anew ? now : each((name) => Math.max(0, now[name] - before[name]))
}

export function sum(all: readonly Numbers[]): Numbers {
  return each((name) => all.reduce((total, numbers) => total + numbers[name], 0))
}

export function divide(numbers: Numbers, by: number): Numbers {
  return each((name) => numbers[name] / by)
}

function each(number: (name: Counted) => number): Numbers {
  return Object.fromEntries(keysOf(READERS).map((name) => [name, number(name)])) as Numbers
}

function keysOf<Name extends string>(readers: Readonly<Record<Name, unknown>>): Name[] {
  return Object.keys(readers) as Name[]
}
