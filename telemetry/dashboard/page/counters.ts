import { numberAt, pathsOf, record } from "../../../src/counters.ts"
import type { StoreReport } from "../report.ts"

/** The counters and the latencies of a report, by their paths in it: `"l1.hits"`, `"l1.latency"`. */
const COUNTERS = pathsOf("counter")
const LATENCIES = pathsOf("latency")

export type LatencyPath = (typeof LATENCIES)[number]

/** The number of measured durations. */
const COUNTS = LATENCIES.map((path) => `${path}.count` as const)
/** The sum of the measured durations, ms. It is computed from a rounded mean, so it may decrease a little. */
const TOTALS = LATENCIES.map((path) => `${path}.totalMs` as const)

/** What never decreases while a store is open. */
const GROWING = [...COUNTERS, ...COUNTS]
const NAMES = [...GROWING, ...TOTALS]

/** A number for each counter and latency: since a store was opened, or per second. */
export type Numbers = Record<(typeof NAMES)[number], number>

export function numbersOf(store: StoreReport): Numbers {
  const numbers = record(NAMES, () => 0)
  for (const path of GROWING) numbers[path] = numberAt(store, path)
  for (const path of LATENCIES) {
    numbers[`${path}.totalMs` as const] =
      numbers[`${path}.count` as const] * numberAt(store, `${path}.meanMs`)
  }
  return numbers
}

/** Mean of the measured durations, ms; `undefined` if there are none. */
export function meanMs(numbers: Numbers, path: LatencyPath): number | undefined {
  const count = numbers[`${path}.count` as const]
  return count > 0 ? numbers[`${path}.totalMs` as const] / count : undefined
}

/** The counts since `before`. A counter that went down belongs to a store that was opened again and counts from zero. */
export function increase(before: Numbers | undefined, now: Numbers): Numbers {
  if (before === undefined) return now
  const anew = GROWING.some((name) => now[name] < before[name])
  return anew ? now : record(NAMES, (name) => Math.max(0, now[name] - before[name]))
}

export function sum(all: readonly Numbers[]): Numbers {
  return record(NAMES, (name) => all.reduce((total, numbers) => total + numbers[name], 0))
}

export function divide(numbers: Numbers, by: number): Numbers {
  return record(NAMES, (name) => numbers[name] / by)
}
