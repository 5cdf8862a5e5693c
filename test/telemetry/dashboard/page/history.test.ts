import { describe, expect, test } from "vitest"
import { History, pointAt } from "../../../../telemetry/dashboard/page/history.ts"
import { type ProcessReport, STEP_MS, STEPS } from "../../../../telemetry/dashboard/report.ts"
import { processOf, withHits } from "../../../support/dashboard-fixture.ts"

/** A process whose store `cache` has these L1 hits in its last steps, up to `step`. */
const reporting = (id: string, step: number, ...hits: number[]) => ({
  ...processOf(id, 60_000, withHits(hits)),
  step,
})

/** L1 hits a second in the last points, the latest last. */
function lastHits(history: History, processes: readonly ProcessReport[], atMs: number, points = 4) {
  const [cache] = history.add(processes, atMs)
  return cache
    ?.points()
    .slice(-points)
    .map(({ rates }) => rates?.["l1.hits"])
}

describe("the history of a store", () => {
  test("is that which the process kept, so that a page opened later shows it", () => {
    const history = new History()
    expect(history.stepsToAsk(0)).toBe(STEPS)
    expect(lastHits(history, [reporting("a", 900, 50, 100, 150)], 0)).toEqual([undefined, 10, 20, 30])
  })

  test("grows by the points that came since", () => {
    const history = new History()
    lastHits(history, [reporting("a", 10, 50, 100)], 0)
    expect(history.stepsToAsk(2_000)).toBe(2)
    expect(lastHits(history, [reporting("a", 10, 100)], 2_000)).toEqual([undefined, undefined, 10, 20])
    expect(history.stepsToAsk(2_000 + 2 * STEP_MS)).toBe(3)
    expect(lastHits(history, [reporting("a", 12, 100, 150, 0)], 12_000)).toEqual([10, 20, 30, 0])
  })

  test("has a gap where the page was not told, and none that is made up", () => {
    const history = new History()
    lastHits(history, [reporting("a", 10, 50, 100)], 0)
    expect(lastHits(history, [reporting("a", 20, 150)], 50_000)).toEqual([
      undefined,
      undefined,
      undefined,
      30,
    ])
  })

  test("starts anew where a process counts its steps anew", () => {
    const history = new History()
    lastHits(history, [reporting("a", 10, 50, 100)], 0)
    expect(lastHits(history, [reporting("a", 1, 5)], 5_000)).toEqual([undefined, undefined, undefined, 1])
  })

  test("holds 15 minutes, and shows as much as there is", () => {
    const history = new History()
    const spans = new Set<number>()
    for (let step = 1; step <= STEPS + 20; step++) {
      history.add([reporting("a", step, 5)], step * STEP_MS)
      spans.add(history.spanMs)
    }
    expect([...spans]).toEqual([60_000, 120_000, 300_000, 900_000])
    const [cache] = history.add([reporting("a", STEPS + 20, 5)], (STEPS + 20) * STEP_MS)
    const rates = cache?.points().map((point) => point.rates?.["l1.hits"])
    expect(rates).toEqual(new Array(STEPS).fill(1))
  })

  test("is found by its moment, to the nearest step", () => {
    const history = new History()
    const [cache] = history.add([reporting("a", 3, 5, 10, 15)], 100_000)
    if (cache === undefined) throw new Error("there is no store")
    const hits = [0, 2_400, 2_600, 10_000].map((agoMs) => pointAt(cache, 100_000 - agoMs)?.rates?.["l1.hits"])
    expect(hits).toEqual([3, 3, 2, 1])
  })
})

describe("the stores of one name", () => {
  test("in several processes add up, each at its own steps", () => {
    const history = new History()
    const now = [reporting("a", 7, 50, 100), reporting("b", 900, 5, 10)]
    expect(lastHits(history, now, 0, 2)).toEqual([11, 22])
    const [cache] = history.add(now, 1_000)
    expect(cache?.members).toHaveLength(2)
    expect(cache?.recent["l1.hits"]).toBe(165 / 60)
  })

  test("in one process add up", () => {
    const two = { ...processOf("a", 1, withHits([5], "cache", 1), withHits([10], "cache", 2)), step: 1 }
    expect(lastHits(new History(), [two], 0, 1)).toEqual([3])
  })

  test("each keep their own history where one of them is closed", () => {
    const history = new History()
    const two = { ...processOf("a", 1, withHits([500], "cache", 1), withHits([5], "cache", 2)), step: 1 }
    history.add([two], 0)
    const one = { ...processOf("a", 1, withHits([10], "cache", 2)), step: 2 }
    expect(lastHits(history, [one], 5_000, 2)).toEqual([101, 2])
  })

  test("go on without a process that is silent, whose points stay where they were", () => {
    const history = new History()
    const silent = { url: "http://10.0.0.9/", failure: "Nothing listens there" }
    history.add([reporting("a", 3, 50, 50), reporting("b", 1, 5)], 0)
    expect(lastHits(history, [silent, reporting("b", 2, 5)], 5_000)).toEqual([undefined, 10, 11, 1])
  })

  test("stay for five minutes after the last was closed, and are then forgotten", () => {
    const history = new History()
    history.add([reporting("a", 1, 5)], 0)
    const empty = processOf("a", 1)
    expect(history.add([empty], 300_000)).toMatchObject([{ name: "cache", members: [] }])
    expect(history.add([empty], 301_000)).toEqual([])
  })
})
