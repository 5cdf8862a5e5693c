import { set, svg } from "../elements.ts"
import type { TimeView } from "../time-view.ts"
import type { Chart } from "./chart.ts"
import { areaOf, pathOf, runsOf, strokes } from "./paths.ts"

const WIDTH = 300
const HEIGHT = 32
const BOTTOM = HEIGHT - 1

/** One line without axes, from 0 to `top`, by default to its highest value. Hidden from screen readers: the number stands beside it. */
export function spark(time: TimeView, className: string, top?: number): Chart {
  const area = svg("path", { class: `area ${className}` })
  const line = svg("path", { class: `line ${className}` })
  const foot = svg("line", { class: "foot", x1: "0", x2: `${WIDTH}`, y1: `${BOTTOM}`, y2: `${BOTTOM}` })
  const box = { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none" }
  return {
    element: svg("svg", { class: "spark", ...box, "aria-hidden": "true" }, foot, area, line),
    draw(points, nowMs) {
      const runs = runsOf(points)
      const highest = top ?? Math.max(1e-9, ...runs.flat().map(({ values }) => values[0] ?? 0))
      const x = (atMs: number) => WIDTH - ((nowMs - atMs) / time.spanMs) * WIDTH
      const y = (value: number) => BOTTOM - (value / highest) * (BOTTOM - 2)
      const drawn = runsOf(strokes(points, (index) => Boolean(points[index]?.values[0])))
      set(line, "d", drawn.map((run) => pathOf(run, 0, x, y)).join(""))
      set(area, "d", runs.map((run) => areaOf(run, 0, x, y)).join(""))
    },
  }
}
