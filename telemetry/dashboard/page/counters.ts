import { numberAt, record } from "../../../src/counters.ts"
import { COUNTS, type StoreReport } from "../report.ts"

/** A number for each counter: since a store was opened, in one step, or per second. */
export type Numbers = Record<(typeof COUNTS)[number], number>

export function totalsOf(store: StoreReport): Numbers {
  return record(COUNTS, (path) => numberAt(store, path))
}

/** Per second, in the last minute. */
export function recentOf({ recent }: StoreReport): Numbers {
  return record(COUNTS, (path) => ((recent.counts[path] ?? 0) / recent.ms) * 1_000)
}

export function sum(all: readonly Numbers[]): Numbers {
  return record(COUNTS, (path) => all.reduce((total, numbers) => total + numbers[path], 0))
}
