import { expect, test } from "vitest"
import { TimeView } from "../../../../telemetry/dashboard/page/time-view.ts"

test("the moment pointed at is a full step within the span, and each move is announced", () => {
  const moves: number[] = []
  const time = new TimeView(() => moves.push(time.agoMs))
  expect(time.agoMs).toBe(0)
  for (const agoMs of [2_400, 2_600, -5_000, 70_000, Number.POSITIVE_INFINITY]) time.pointAt(agoMs)
  time.spanMs = 120_000
  time.pointAt(70_000)
  expect(moves).toEqual([0, 5_000, 0, 60_000, 60_000, 70_000])
})
