import { set, svg } from "../elements.ts"
import type { TimeView } from "../time-view.ts"
import type { Chart, Series } from "./chart.ts"
import { areaOf, niceTop, pathOf, runningSums, runsOf, strokes } from "./paths.ts"
import { Plot } from "./plot.ts"

/** Areas on top of each other, the first at the bottom. */
export function stacked(
  time: TimeView,
  title: string,
  series: readonly Series[],
  label: (tick: number) => string,
): Chart {
  const bands = series.map(({ className }) => ({
    area: svg("path", { class: `area ${className}` }),
    line: svg("path", { class: `line ${className}` }),
  }))
  // The line of a thin band would hide the line of the band below. So lower lines are drawn over higher ones; only the
  // uppermost is drawn last.
  const lines = [...bands.slice(0, -1).reverse(), ...bands.slice(-1)].map(({ line }) => line)
  const plot = new Plot(time, title, [...bands.map(({ area }) => area), ...lines])
  return {
    element: plot.element,
    draw(points, nowMs, says = "") {
      const sums = points.map(({ atMs, values }) => ({ atMs, values: runningSums(values) }))
      const runs = runsOf(sums)
      const top = niceTop(Math.max(0, ...runs.flat().map(({ values }) => values.at(-1) ?? 0)))
      const y = (value: number) => Plot.heightOf(value / top)
      const x = plot.prepare({ ticks: [0, top / 2, top], label, y }, nowMs, says)
      bands.forEach(({ area, line }, index) => {
        // The line of an empty band would hide that of the band below.
        const drawn = runsOf(strokes(sums, (at) => Boolean(points[at]?.values[index])))
        set(line, "d", drawn.map((run) => pathOf(run, index, x, y)).join(""))
        set(area, "d", runs.map((run) => areaOf(run, index, x, y)).join(""))
      })
    },
  }
}
