import { expect, onTestFinished, test } from "vitest"
import { kv } from "../../../src/kv.ts"
import { Recorder, recorderOf } from "../../../telemetry/dashboard/recorder.ts"
import { STEP_MS, STEPS, serializeReport } from "../../../telemetry/dashboard/report.ts"
import { openStore, processOf } from "../../support/dashboard-fixture.ts"
import { gatedStore } from "../../support/gated-store.ts"
import { testRuntime } from "../../support/runtime.ts"

/** The history that a process keeps of its stores, by a clock that the test moves. */

function recording() {
  const runtime = testRuntime()
  return { runtime, recorder: new Recorder(runtime) }
}

const of = (recorder: Recorder, name: string, steps = STEPS) =>
  recorder.report(steps).find((store) => store.name === name)

test("each step of five seconds has what was counted in it, the latest last", async () => {
  const { runtime, recorder } = recording()
  const cache = await openStore("cache", { backend: "memory:" })
  for (const reads of [1, 3, 0]) {
    for (let read = 0; read < reads; read++) await cache.get(`k${read}`, { consistency: "strong" })
    await runtime.advance(STEP_MS)
  }
  expect(recorder.step).toBe(3)
  expect(of(recorder, "cache")?.points).toMatchObject({ steps: 3, values: { "l2.misses": [1, 3, 0] } })
  expect(of(recorder, "cache", 2)?.points).toMatchObject({ steps: 2, values: { "l2.misses": [3, 0] } })
  expect(of(recorder, "cache", 0)?.points).toMatchObject({ steps: 0, values: {} })
})

test("the recent counts are of the last minute, and of the time since, to the moment of the report", async () => {
  const { runtime, recorder } = recording()
  const cache = await openStore("cache", { backend: "memory:" })
  await cache.set("a", "1")
  expect(of(recorder, "cache")?.recent.counts).toMatchObject({ "l2.writes": 1 })
  await runtime.advance(30_000)
  await cache.set("b", "1")
  await runtime.advance(2_000)
  expect(of(recorder, "cache")?.recent).toMatchObject({ ms: 32_000, counts: { "l2.writes": 2 } })
  await runtime.advance(33_000)
  expect(of(recorder, "cache")?.recent).toMatchObject({ ms: 60_000, counts: { "l2.writes": 1 } })
  await runtime.advance(60_000)
  expect(of(recorder, "cache")?.recent).toMatchObject({ ms: 60_000, counts: {} })
})

test("of a store that was open before, only what it counts from then on is shown", async () => {
  const cache = await openStore("cache", { backend: "memory:" })
  await cache.set("a", "1")
  const { recorder } = recording()
  expect(of(recorder, "cache")?.recent.counts).toEqual({})
  await cache.set("a", "2")
  expect(of(recorder, "cache")?.recent.counts["l2.writes"]).toBe(1)
})

test("15 minutes are kept, and a closed store is forgotten", async () => {
  const { runtime, recorder } = recording()
  const cache = await kv("cache", { backend: "memory:" })
  await cache.set("a", "1")
  await runtime.advance(STEP_MS * (STEPS + 5))
  const kept = of(recorder, "cache")
  expect(kept?.points).toMatchObject({ steps: STEPS, values: {} })
  await cache.close()
  expect(recorder.report(STEPS)).toEqual([])
})

test("percentiles are of the last minute, however slow it was before, and reads are weighed by their tiers", async () => {
  const { client, runtime, gate } = await gatedStore({ networked: true })
  onTestFinished(() => client.close())
  const recorder = new Recorder(runtime)
  const read = async (key: string, ms: number) => {
    gate.hold()
    const answer = client.get(key, { consistency: "strong" })
    await runtime.advance(ms)
    gate.releaseAll()
    await answer
  }
  for (let key = 0; key < 10; key++) await read(`slow${key}`, 400)
  expect(near(of(recorder, "test")?.recent.times["l2.readLatency"].p50Ms, 400)).toBe(true)
  await runtime.advance(65_000)
  for (let key = 0; key < 10; key++) await read(`fast${key}`, 10)
  const { times } = of(recorder, "test")?.recent ?? {}
  expect([near(times?.["l2.readLatency"].p99Ms, 10), near(times?.reads.p99Ms, 10)]).toEqual([true, true])
  expect(times?.reads.count).toBe(10)
})

test("all dashboards of a process share one recorder", () => {
  const runtime = testRuntime()
  expect(recorderOf(runtime)).toBe(recorderOf(runtime))
})

test("a report of a busy store has less than 25 kB with all its history, and less than 4 kB without", async () => {
  const { runtime, recorder } = recording()
  const STORES = 4
  const stores = await Promise.all(
    Array.from({ length: STORES }, (_, index) => openStore(`store-${index}`, { backend: "memory:" })),
  )
  for (let step = 0; step < STEPS; step++) {
    for (const [index, store] of stores.entries()) {
      if ((step + index) % 3 > 0) await store.getOrSet(`k${step}`, () => "v", { as: "text" })
    }
    await runtime.advance(STEP_MS)
  }
  const size = (steps: number) =>
    serializeReport({ version: 2, processes: [{ ...processOf("a", 1), stores: recorder.report(steps) }] })
      .length
  expect(size(STEPS)).toBeLessThan(25_000 * STORES)
  expect(size(2)).toBeLessThan(4_000 * STORES)
})

function near(ms: number | undefined, expected: number): boolean {
  return ms !== undefined && Math.abs(ms / expected - 1) < 0.1
}
