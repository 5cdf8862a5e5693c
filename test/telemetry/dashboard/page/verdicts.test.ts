import { describe, expect, test } from "vitest"
import { History } from "../../../../telemetry/dashboard/page/history.ts"
import { healthOf, roomOf, speedOf, stateOf } from "../../../../telemetry/dashboard/page/verdicts.ts"
import type { Recent, StoreReport } from "../../../../telemetry/dashboard/report.ts"
import { processOf, storeReport } from "../../../support/dashboard-fixture.ts"

const NOW = Date.UTC(2026, 0, 1, 12, 0, 0)

/** A store with these numbers of the last minute. */
function shown(change: (store: StoreReport) => Partial<StoreReport>) {
  const store = storeReport("cache")
  const [cache] = new History().add([{ ...processOf("a", 1, { ...store, ...change(store) }), at: NOW }], 0)
  if (cache === undefined) throw new Error("there is no store")
  return cache
}

const timed = (p50Ms: number, p99Ms: number) => ({ count: 100, p50Ms, p99Ms })

function recent(store: StoreReport, counts: Recent["counts"], times: Partial<Recent["times"]> = {}) {
  return { recent: { ms: 60_000, counts, times: { ...store.recent.times, ...times } } }
}

describe("are reads fast", () => {
  const reading = (reads: number, l2: number) =>
    shown((store) =>
      recent(
        store,
        { "l1.hits": 900, "l1.misses": 100, "l2.hits": 100 },
        { reads: timed(0.001, reads), "l2.readLatency": timed(2, l2) },
      ),
    )

  test.each([
    [3, 20, "ok", "Fast"],
    [60, 200, "warning", "Slow"],
    [0.01, 300, "warning", "L2 is slow"],
  ])("with a p99 of %d ms, and %d ms of the backend: %s, %s", (reads, l2, level, word) => {
    expect(speedOf(reading(reads, l2))).toMatchObject({ level, word })
  })

  test("says who answers, and that nobody reads", () => {
    expect(speedOf(reading(3, 20)).why).toBe("90.0 % of them by L1; p99 of L2 20.0 ms.")
    expect(speedOf(shown(() => ({})))).toMatchObject({ level: "idle", word: "No reads" })
  })
})

describe("is L1 the right size", () => {
  const holding = (entries: number, evicted: number, doubled: number) =>
    shown((store) => ({
      l1: { ...store.l1, entries },
      ...recent(store, {
        "l1.hits": 600,
        "l1.misses": 400,
        "l1.evictions.entries": evicted,
        "l1.doubledHits": doubled,
      }),
    }))

  test.each([
    [40, 0, 0, "ok", "Room to spare"],
    [100, 200, 120, "warning", "Too small"],
    [100, 20, 120, "ok", "Large enough"],
    [100, 200, 5, "ok", "Large enough"],
  ])(
    "with %i of 100 entries, %i evicted in 1,000 reads, %i more hits in twice the room: %s, %s",
    (entries, evicted, doubled, level, word) => {
      expect(roomOf(holding(entries, evicted, doubled))).toMatchObject({ level, word })
    },
  )

  test("says how much is evicted, and what twice the room would give", () => {
    expect(roomOf(holding(100, 200, 120)).why).toBe(
      "Full, evicts 0.20 a read. Twice the room would answer 72.0 % instead of 60.0 %.",
    )
  })

  test("says that it is off", () => {
    const off = shown((store) => ({ l1: { ...store.l1, maxEntries: 0, maxBytes: 0 } }))
    expect(roomOf(off)).toMatchObject({ level: "idle", word: "L1 is off" })
  })
})

describe("is the backend well", () => {
  const error = { operation: "get", tier: "l2", type: "UNAVAILABLE", count: 9 } as const
  const failing = (...errors: Partial<StoreReport["errors"][number]>[]) =>
    shown((store) => ({
      errors: errors.map((one) => ({ ...error, sinceAt: NOW - 180_000, lastAt: NOW - 2_000, ...one })),
      ...recent(store, { "l2.hits": 30, "l2.readErrors": 10 }),
    }))

  test("says which error, of how much, since when", () => {
    expect(healthOf(failing({}))).toEqual({
      level: "failing",
      word: "UNAVAILABLE",
      why: expect.stringMatching(/^25\.0 % of 0\.7 \/s fail, since \d\d:\d\d:\d\d, for 3 min\.$/),
    })
    expect(healthOf(failing({}, { type: "TIMEOUT", count: 90, sinceAt: NOW - 600_000 }))).toMatchObject({
      word: "TIMEOUT, UNAVAILABLE",
      why: expect.stringContaining("for 10 min"),
    })
  })

  test("an error of a minute ago is over, and one of a loader is not the backend's", () => {
    expect(healthOf(failing({ lastAt: NOW - 60_000 }))).toMatchObject({ level: "ok", word: "Well" })
    expect(healthOf(failing({ tier: "loader", type: "TypeError" }))).toMatchObject({
      level: "warning",
      word: "Loads fail",
    })
  })

  test("says that it throttles, and that nobody asks", () => {
    expect(healthOf(shown((store) => recent(store, { "l2.throttles": 60, "l2.hits": 60 })))).toMatchObject({
      word: "Throttled",
    })
    expect(healthOf(shown(() => ({})))).toMatchObject({ level: "idle", word: "Not asked" })
  })
})

test("the state of a store is the worst of the three, or that it is closed or has nothing to do", () => {
  expect(stateOf(shown(() => ({})))).toMatchObject({ level: "idle", word: "No requests yet" })
  const history = new History()
  history.add([processOf("a", 1, storeReport("cache"))], 0)
  const [closed] = history.add([processOf("a", 1)], 1_000)
  expect(closed && stateOf(closed)).toMatchObject({ level: "closed" })
})
