/** The geometry of a chart: which points are connected, and the path through them. */

export interface Point {
  atMs: number
  /** One for each series, `undefined` where nothing is known. */
  values: readonly (number | undefined)[]
}

export type Scale = (value: number) => number

/** The stretches of points without a gap. */
export function runsOf(points: readonly Point[]): Point[][] {
  const runs: Point[][] = []
  let open = false
  for (const point of points) {
    const known = point.values.length > 0 && point.values.every((value) => value !== undefined)
    if (known && open) runs.at(-1)?.push(point)
    else if (known) runs.push([point])
    open = known
  }
  return runs
}

/**
 * The points to draw, and their neighbours, from which the line rises and to which it falls. The other points become gaps.
 */
export function strokes(points: readonly Point[], isDrawn: (index: number) => boolean): Point[] {
  return points.map((point, index) =>
    isDrawn(index - 1) || isDrawn(index) || isDrawn(index + 1) ? point : { ...point, values: [] },
  )
}

/** The path through one value of each point; the value before the first is 0. A single point is a dot. */
export function pathOf(run: readonly Point[], index: number, x: Scale, y: Scale): string {
  const places = run.map(({ atMs, values }) => `${x(atMs).toFixed(1)},${y(values[index] ?? 0).toFixed(1)}`)
  return `M${places.join("L")}${places.length === 1 ? "h0" : ""}`
}

/** The area between one value of each point and the value before it. */
export function areaOf(run: readonly Point[], index: number, x: Scale, y: Scale): string {
  const lower = pathOf([...run].reverse(), index - 1, x, y)
  return `${pathOf(run, index, x, y)}${lower.replace("M", "L")}Z`
}

export function runningSums(values: readonly (number | undefined)[]): (number | undefined)[] {
  let total = 0
  return values.map((value) => {
    if (value === undefined) return undefined
    total += value
    return total
  })
}

/** The least of 1, 2, 4, 5, 10, 20, … that is not below `value`. */
export function niceTop(value: number): number {
  const power = 10 ** Math.floor(Math.log10(Math.max(1, value)))
  return [1, 2, 4, 5, 10].map((step) => step * power).find((top) => top >= value) ?? 1
}

export function multiples(from: number, to: number, step: number): number[] {
  return Array.from({ length: Math.floor((to - from) / step) + 1 }, (_, index) => from + index * step)
}
