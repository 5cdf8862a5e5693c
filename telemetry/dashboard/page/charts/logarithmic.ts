import { set, svg } from "../elements.ts"
import type { TimeView } from "../time-view.ts"
import type { Chart, Series } from "./chart.ts"
import { multiples, pathOf, runsOf } from "./paths.ts"
import { Plot } from "./plot.ts"

/** Lines on a logarithmic scale, which cannot show 0. */
export function logarithmic(
  time: TimeView,
  title: string,
  series: readonly Series[],
  label: (tick: number) => string,
): Chart {
  const lines = series.map(({ className }) => svg("path", { class: `line ${className}` }))
  const plot = new Plot(time, title, lines)
  return {
    element: plot.element,
    draw(points, nowMs, says = "") {
      const powers = points.flatMap(({ values }) =>
        values.flatMap((value) => (value ? Math.log10(value) : [])),
      )
      const low = Math.floor(Math.min(...powers))
      const high = Math.max(low + 1, Math.ceil(Math.max(...powers)))
      const step = Math.ceil((high - low) / 4)
      const ticks = powers.length === 0 ? [] : multiples(low, high, step).map((power) => 10 ** power)
      const y = (value: number) => Plot.heightOf((Math.log10(value) - low) / (high - low))
      const x = plot.prepare({ ticks, label, y }, nowMs, says)
      lines.forEach((line, index) => {
        const own = points.map(({ atMs, values }) => ({ atMs, values: [values[index] || undefined] }))
        const path = runsOf(own).map((run) => pathOf(run, 0, x, y))
        set(line, "d", path.join(""))
      })
    },
  }
}
