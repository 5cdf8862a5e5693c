import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { History, recent, type StoreHistory } from "../../../../telemetry/dashboard/page/history.ts"
import { processOf, withHits } from "../../../support/dashboard-fixture.ts"

/** L1 hits a second in the last point. */
function lastHits(stores: readonly StoreHistory[]): number | undefined {
  return stores[0]?.points.at(-1)?.rates?.["l1.hits"]
}

describe("rates", () => {
  test("are what was counted between two reports, by the clock of the process that counted", () => {
    const history = new History()
    expect(lastHits(history.add([processOf("a", 50_000, withHits(1_000))], 0))).toBeUndefined()
    // The second report came late, but was made two seconds after the first.
    expect(lastHits(history.add([processOf("a", 52_000, withHits(1_300))], 3_500))).toBe(150)
  })

  test("of the stores of one name in several processes add up", () => {
    const history = new History()
    history.add([processOf("a", 1_000, withHits(0)), processOf("b", 9_000, withHits(500))], 0)
    const now = [processOf("a", 2_000, withHits(30)), processOf("b", 11_000, withHits(700))]
    const [cache] = history.add(now, 1_000)
    expect(cache?.points.at(-1)?.rates?.["l1.hits"]).toBe(130)
    expect(cache?.members.map(({ rates }) => rates?.["l1.hits"])).toEqual([30, 100])
  })

  test("of a store that was opened anew under the same name count from zero", () => {
    const history = new History()
    history.add([processOf("a", 1_000, withHits(5_000))], 0)
    expect(lastHits(history.add([processOf("a", 2_000, withHits(40))], 1_000))).toBe(40)
  })

  test("of a process that started since the last report count from zero", () => {
    const history = new History()
    history.add([processOf("a", 90_000, withHits(5_000))], 0)
    expect(lastHits(history.add([processOf("b", 500, withHits(40))], 1_000))).toBe(80)
  })

  test("of a process that is seen late are not known at first: what it counted took longer", () => {
    const history = new History()
    history.add([], 0)
    expect(lastHits(history.add([processOf("a", 90_000, withHits(5_000))], 1_000))).toBeUndefined()
    expect(lastHits(history.add([processOf("a", 91_000, withHits(5_010))], 2_000))).toBe(10)
  })

  test("of processes that take turns behind one address are each their own", () => {
    const history = new History()
    history.add([processOf("a", 10_000, withHits(100))], 0)
    history.add([processOf("b", 70_000, withHits(9_000))], 1_000)
    expect(lastHits(history.add([processOf("a", 12_000, withHits(120))], 2_000))).toBe(10)
    expect(lastHits(history.add([processOf("b", 72_000, withHits(9_040))], 3_000))).toBe(20)
  })

  test("wait a report where one of two stores of the same name was closed: which one cannot be told", () => {
    const history = new History()
    history.add([processOf("a", 1_000, withHits(100), withHits(7_000))], 0)
    expect(lastHits(history.add([processOf("a", 2_000, withHits(7_010))], 1_000))).toBeUndefined()
    expect(lastHits(history.add([processOf("a", 3_000, withHits(7_030))], 2_000))).toBe(20)
  })

  test("are never negative, and add up to all that was counted, whatever happens to the process", () => {
    const step = fc.record({
      hits: fc.nat(1_000),
      restart: fc.boolean(),
      seconds: fc.integer({ min: 1, max: 5 }),
    })
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 40 }), (steps) => {
        const history = new History()
        let [at, uptime, counted, generation, all, shown] = [0, 10_000, 500, 0, 0, 0]
        history.add([processOf("0", uptime, withHits(counted))], at)
        for (const { hits, restart, seconds } of steps) {
          at += seconds * 1_000
          // A restart takes a tenth of a second of the interval.
          uptime = restart ? seconds * 1_000 - 100 : uptime + seconds * 1_000
          if (restart) [generation, counted] = [generation + 1, 0]
          counted += hits
          all += hits
          const rate = lastHits(history.add([processOf(String(generation), uptime, withHits(counted))], at))
          if (rate === undefined || rate < 0) return false
          shown += rate * (restart ? seconds - 0.1 : seconds)
        }
        return Math.abs(shown - all) < 1e-6
      }),
    )
  })
})

describe("the history", () => {
  test("keeps a store that was closed for five minutes, with gaps in its chart", () => {
    const history = new History()
    history.add([processOf("a", 0, withHits(1))], 0)
    const [closed] = history.add([processOf("a", 1_000)], 1_000)
    expect(closed).toMatchObject({ name: "cache", members: [] })
    expect(closed?.points.at(-1)?.rates).toBeUndefined()
    expect(history.add([processOf("a", 300_000)], 300_000)).toHaveLength(1)
    expect(history.add([processOf("a", 301_000)], 301_000)).toHaveLength(0)
  })

  test("holds five minutes of points, and shows as much as there is", () => {
    const history = new History()
    let shown: StoreHistory[] = []
    const spans = new Set<number>()
    for (let second = 0; second <= 400; second++) {
      shown = history.add([processOf("a", second * 1_000, withHits(second))], second * 1_000)
      spans.add(history.spanMs)
    }
    expect(shown[0]?.points).toHaveLength(301)
    expect([...spans]).toEqual([60_000, 120_000, 300_000])
  })

  test("averages the last ten seconds for the numbers beside the charts", () => {
    const history = new History()
    for (let second = 0; second <= 20; second++) {
      const hits = second <= 10 ? 0 : (second - 10) * 100
      const [cache] = history.add([processOf("a", second * 1_000, withHits(hits))], second * 1_000)
      if (second === 15 && cache !== undefined) expect(recent(cache)?.["l1.hits"]).toBe(50)
      if (second === 20 && cache !== undefined) expect(recent(cache)?.["l1.hits"]).toBe(100)
    }
  })

  test("survives a silent process: the others go on", () => {
    const history = new History()
    const silent = { url: "http://10.0.0.9/", failure: "Nothing listens there" }
    history.add([processOf("a", 0, withHits(0)), silent], 0)
    expect(lastHits(history.add([silent, processOf("a", 1_000, withHits(7))], 1_000))).toBe(7)
  })
})
