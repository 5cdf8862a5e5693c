import { expect, test } from "vitest"
import {
  areaOf,
  multiples,
  niceTop,
  type Point,
  pathOf,
  runningSums,
  runsOf,
  strokes,
} from "../../../../../telemetry/dashboard/page/charts/paths.ts"

const same = (value: number) => value
const at = (atMs: number, ...values: (number | undefined)[]): Point => ({ atMs, values })

test("a point where a value is unknown is a gap between two runs", () => {
  const points = [at(0, 1), at(1, 2), at(2, undefined), at(3, 4), at(4), at(5, 6)]
  const times = runsOf(points).map((run) => run.map(({ atMs }) => atMs))
  expect(times).toEqual([[0, 1], [3], [5]])
})

test("a path goes through one value of each point, and a single point is a dot", () => {
  expect(pathOf([at(0, 1, 5), at(10, 2, 7)], 1, same, same)).toBe("M0.0,5.0L10.0,7.0")
  expect(pathOf([at(3, 1)], 0, same, same)).toBe("M3.0,1.0h0")
})

test("an area lies between a value and the one before it, or 0 under the first", () => {
  const run = [at(0, 1, 5), at(10, 2, 7)]
  expect(areaOf(run, 1, same, same)).toBe("M0.0,5.0L10.0,7.0L10.0,2.0L0.0,1.0Z")
  expect(areaOf(run, 0, same, same)).toBe("M0.0,1.0L10.0,2.0L10.0,0.0L0.0,0.0Z")
})

test("a line is drawn where a value is, from the point before it to the point after it", () => {
  const values = [0, 0, 0, 8, 0, 0]
  const drawn = strokes(
    values.map((value, index) => at(index, value)),
    (index) => Boolean(values[index]),
  )
  expect(runsOf(drawn).map((run) => run.map(({ atMs }) => atMs))).toEqual([[2, 3, 4]])
})

test("running sums leave unknown values unknown", () => {
  expect(runningSums([1, undefined, 2, 3])).toEqual([1, undefined, 3, 6])
})

test("the top of an axis is the next of 1, 2, 4, 5 and 10 times a power of ten", () => {
  expect([0, 0.3, 1, 1.1, 3, 4.5, 6, 11, 450, 999].map(niceTop)).toEqual([
    1, 1, 1, 2, 4, 5, 10, 20, 500, 1_000,
  ])
})

test("multiples include both ends where the step reaches them", () => {
  expect(multiples(-3, 1, 2)).toEqual([-3, -1, 1])
  expect(multiples(-3, 0, 2)).toEqual([-3, -1])
})
