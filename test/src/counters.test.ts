import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { describe, expect, test } from "vitest"
import {
  keysOf,
  LATENCY,
  numberAt,
  PATHS,
  pathsOf,
  STATS,
  type StatPath,
  type StoreStats,
  valueAt,
} from "../../src/counters.ts"
import { type Counters, newCounters, snapshot } from "../../src/stats.ts"
import { parseReport, REPORT_VERSION, serializeReport } from "../../telemetry/dashboard/report.ts"
import { COUNTED, CURRENT } from "../../telemetry/metrics/series.ts"
import { COUNTERS, LEVELS } from "../../telemetry/names.ts"
import { L1 } from "../../tiers/l1/l1.ts"
import { memory } from "../../tiers/memory.ts"
import { processOf, storeReport } from "../support/dashboard-fixture.ts"
import { testRuntime } from "../support/runtime.ts"

function statsOf(counters: Counters): StoreStats {
  const l1 = new L1(undefined, testRuntime())
  return snapshot("cache", memory(), l1, counters, { inFlight: 3, quarantined: 4 })
}

/** The counters that the tiers increment, by their paths. */
const FIELDS = pathsOf("counter").flatMap((path) => {
  const stat = STATS[path]
  return "field" in stat ? [{ path, field: stat.field }] : []
})

/** The paths of all that is in `value`, latencies and lists as a whole. */
function pathsIn(value: object, prefix = ""): string[] {
  return Object.entries(value).flatMap(([name, part]) => {
    const path = `${prefix}${name}`
    const isGroup = typeof part === "object" && !Array.isArray(part) && !("count" in part)
    return isGroup ? pathsIn(part, `${path}.`) : [path]
  })
}

describe("stats()", () => {
  test("says what the table names, in its order, and nothing else", () => {
    expect(pathsIn(statsOf(newCounters()))).toEqual(PATHS)
  })

  test("has a number or a text under each path, and latencies with all of their numbers", () => {
    const stats = statsOf(newCounters())
    for (const path of PATHS) {
      const { kind } = STATS[path]
      const found = valueAt(stats, path)
      if (kind === "text") expect(found, path).toMatch(/\S/)
      else if (kind === "latency") expect(Object.keys(found ?? {}), path).toEqual(keysOf(LATENCY))
      else if (kind === "errors") expect(found, path).toEqual([])
      else expect(found, path).toEqual(expect.any(Number))
    }
  })
})

describe("the object that the tiers count in", () => {
  test("has a place in stats() for each field", () => {
    const counters = newCounters()
    for (const [i, { field }] of FIELDS.entries()) counters[field] += i + 1
    const stats = statsOf(counters)
    for (const [i, { path }] of FIELDS.entries()) expect(numberAt(stats, path), path).toBe(i + 1)
    expect(FIELDS.length).toBeGreaterThan(0)
  })

  test("has a place in stats() for each histogram", () => {
    const counters = newCounters()
    const histograms = pathsOf("latency")
    for (const [i, path] of histograms.entries()) {
      for (let times = 0; times <= i; times++) counters[STATS[path].field].record(1)
    }
    const stats = statsOf(counters)
    for (const [i, path] of histograms.entries()) expect(numberAt(stats, `${path}.count`), path).toBe(i + 1)
  })

  test("has plain fields of its own, in one shape that V8 keeps out of dictionary mode", () => {
    setFlagsFromString("--allow-natives-syntax")
    const isFast: (object: object) => boolean = runInNewContext("(object) => %HasFastProperties(object)")
    const isAlike: (one: object, other: object) => boolean = runInNewContext("(a, b) => %HaveSameMap(a, b)")
    const [one, other] = [newCounters(), newCounters()]
    for (const { field } of FIELDS) one[field]++
    for (const { get } of Object.values(Object.getOwnPropertyDescriptors(one))) expect(get).toBeUndefined()
    expect(isFast(one)).toBe(true)
    expect(isAlike(one, other)).toBe(true)
    expect(isFast(Object.create(null)), "an object in dictionary mode").toBe(false)
  })
})

describe("the report", () => {
  /** The report with `stats`, as another process receives it. */
  function reported(stats: StoreStats) {
    const { recent, points } = storeReport("cache")
    const stores = [{ ...stats, recent, points }]
    const process = { ...processOf("1", 1), stores }
    return serializeReport({ version: REPORT_VERSION, processes: [process] })
  }

  test("has all that stats() says, but for ratios and shortest times", () => {
    const stats = statsOf(newCounters())
    const [process] = parseReport(reported(stats)) ?? []
    const [{ recent: _, points: __, ...store } = storeReport("none")] = process?.stores ?? []
    expect(pathsIn(store).sort()).toEqual(PATHS.filter((path) => path !== "l1.hitRatio").sort())
    const names = keysOf(LATENCY).filter((name) => name !== "minMs")
    for (const path of pathsOf("latency")) expect(Object.keys(valueAt(store, path) ?? {})).toEqual(names)
  })

  test("is none if a single part of a store is missing", () => {
    for (const path of PATHS.filter((path) => path !== "l1.hitRatio")) {
      const stats = statsOf(newCounters())
      expect(parseReport(reported(stats))).toHaveLength(1)
      const dot = path.lastIndexOf(".")
      const group = dot === -1 ? stats : valueAt(stats, path.slice(0, dot))
      if (typeof group === "object" && group !== null) Reflect.deleteProperty(group, path.slice(dot + 1))
      expect(parseReport(reported(stats)), path).toBeUndefined()
    }
  })
})

describe("the time series", () => {
  test("each have a metric, attributes that tell it from the others, and the number at its path", () => {
    const counters = newCounters()
    for (const [i, { field }] of FIELDS.entries()) counters[field] += i + 1
    const stats = statsOf(counters)
    const ofStats = [...COUNTED, ...CURRENT].filter(({ path }) => path !== undefined)
    expect(ofStats.map(({ path }) => path)).toEqual([
      ...pathsWithSeries("counter"),
      ...pathsWithSeries("level"),
    ])
    for (const { path, read } of ofStats)
      expect(read({ stats, capacity: undefined })).toBe(valueAt(stats, path ?? ""))
    const ids = [...COUNTED, ...CURRENT].map(({ metric, attributes }) =>
      JSON.stringify([metric.name, attributes]),
    )
    expect(new Set(ids).size).toBe(ids.length)
  })

  test("leave no metric without one, but for errors, which are counted by operation and type", () => {
    const metrics = new Set([...COUNTED, ...CURRENT].map(({ metric }) => metric))
    const without = [...Object.values(COUNTERS), ...Object.values(LEVELS)].filter(
      (metric) => !metrics.has(metric),
    )
    expect(without).toEqual([COUNTERS.errors])
  })

  function pathsWithSeries(kind: "counter" | "level"): StatPath[] {
    return pathsOf(kind).filter((path) => STATS[path].series.length > 0)
  }
})
