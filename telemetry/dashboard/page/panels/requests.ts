import { formatCount, formatRate, formatShare, NONE } from "../../../../tiers/util/format.ts"
import { stacked } from "../charts/stacked.ts"
import { say } from "../elements.ts"
import { RESULTS, requests } from "../measures.ts"
import { table } from "../table.ts"
import type { TimeView } from "../time-view.ts"
import { colour, frame, momentShown, type Panel, shownOf } from "./panel.ts"

export function requestsPanel(time: TimeView): Panel {
  const chart = stacked(time, "Requests by result", RESULTS, (tick) => `${formatRate(tick)} /s`)
  const legend = table("Requests by result", [
    { label: "Result", text: true },
    { label: "A second" },
    { label: "Share" },
    { label: "Since opened" },
  ])
  const rows = [...RESULTS].reverse()
  const { element, moment } = frame("Requests by result", "keys a second", chart.element, legend.element)
  return {
    element,
    update(store, nowMs) {
      const { rates } = shownOf(store, time, nowMs)
      say(moment, momentShown(time))
      legend.fill(
        rows.map(({ label, of }) => [
          label,
          rates === undefined ? NONE : formatRate(of(rates)),
          rates === undefined ? NONE : formatShare(of(rates), requests(rates)),
          formatCount(of(store.totals)),
        ]),
      )
      colour(legend, rows)
      const points = store.points().map((point) => ({
        atMs: point.atMs,
        values: RESULTS.map(({ of }) => point.rates && of(point.rates)),
      }))
      const says =
        rates === undefined
          ? "nothing known"
          : rows.map(({ label, of }) => `${label} ${formatRate(of(rates))} a second`).join(", ")
      chart.draw(points, nowMs, says)
    },
  }
}
