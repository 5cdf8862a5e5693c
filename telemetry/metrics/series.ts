import type { Attributes } from "@opentelemetry/api"
import {
  keysOf,
  numberAt,
  type Paths,
  pathsOf,
  STATS,
  type Stat,
  type StatPath,
  type StoreStats,
} from "../../src/counters.ts"
import type { Capacity } from "../capacity.ts"
import { ATTRIBUTE, COUNTERS, LEVELS, type Metric } from "../names.ts"

/** The counts of a store at one time. */
export interface Reading {
  readonly stats: StoreStats
  /** Present only if the service bills by units. */
  readonly capacity: Capacity | undefined
}

/** One time series of a store, and where its number comes from; `undefined` if the store has none such. */
export interface Series {
  readonly metric: Metric
  readonly attributes: Attributes
  /** The path of the number in `stats()`; absent if it is counted elsewhere. */
  readonly path?: StatPath
  readonly read: (reading: Reading) => number | undefined
}

/** The time series of counters. */
export const COUNTED: readonly Series[] = [
  ...pathsOf("counter").flatMap((path) => {
    const [metric, labels] = STATS[path].series
    return metric === undefined ? [] : [statSeries(COUNTERS[metric], labels, path)]
  }),
  capacitySeries("read"),
  capacitySeries("write"),
  capacitySeries("delete"),
]

/** The time series of current values. */
export const CURRENT: readonly Series[] = pathsOf("level").flatMap((path) => {
  const [metric, labels] = STATS[path].series
  return metric === undefined ? [] : [statSeries(LEVELS[metric], labels, path)]
})

type KeyOf<Labels> = Labels extends unknown ? keyof Labels : never
/** The attributes that the table of counters names, by their names in {@link ATTRIBUTE}. */
type Label = KeyOf<Extract<Stat, { series: readonly [string, unknown] }>["series"][1]>

function statSeries(
  metric: Metric,
  labels: Readonly<Partial<Record<Label, string>>>,
  path: StatPath & Paths<StoreStats, number>,
): Series {
  const attributes = Object.fromEntries(keysOf(labels).map((label) => [ATTRIBUTE[label], labels[label]]))
  return { metric, attributes, path, read: ({ stats }) => numberAt(stats, path) }
}

function capacitySeries(unit: keyof Capacity): Series {
  return {
    metric: COUNTERS.capacity,
    attributes: { [ATTRIBUTE.capacityUnit]: unit },
    read: ({ capacity }) => capacity?.[unit],
  }
}

/** The sum over the readings that have such a number. */
export function sum(series: Series, readings: readonly Reading[]): number | undefined {
  let total: number | undefined
  for (const reading of readings) {
    const number = series.read(reading)
    if (number !== undefined) total = (total ?? 0) + number
  }
  return total
}
