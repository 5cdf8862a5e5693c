import { numberAt } from "../../../../src/counters.ts"
import { formatDuration, NONE } from "../../../../tiers/util/format.ts"
import { logarithmic } from "../charts/logarithmic.ts"
import { meanMs } from "../counters.ts"
import { h, say } from "../elements.ts"
import { TIERS } from "../measures.ts"
import { table } from "../table.ts"
import type { TimeView } from "../time-view.ts"
import { colour, frame, momentShown, type Panel, ratesShown } from "./panel.ts"

export function latencyPanel(time: TimeView): Panel {
  const chart = logarithmic(time, "Latency by tier", TIERS, formatDuration)
  const legend = table("Latency by tier", [
    { label: "Tier", text: true },
    { label: "Mean" },
    { label: "p50" },
    { label: "p99" },
    { label: "Longest" },
  ])
  const note = h("p", { class: "note" })
  const parts = [chart.element, legend.element, note]
  const { element, moment } = frame("Latency by tier", "mean of each second", ...parts)
  return {
    element,
    update(store, _totals, nowMs) {
      const rates = ratesShown(store, time, nowMs)
      const { members } = store
      say(moment, momentShown(time))
      legend.fill(
        TIERS.map(({ label, latency }) => {
          const timed = members.filter(({ store }) => numberAt(store, `${latency}.count`) > 0)
          const slowest = (which: "p50Ms" | "p99Ms" | "maxMs") =>
            timed.length === 0
              ? NONE
              : formatDuration(Math.max(...timed.map(({ store }) => numberAt(store, `${latency}.${which}`))))
          const mean = rates && meanMs(rates, latency)
          return [
            label,
            mean === undefined ? NONE : formatDuration(mean),
            slowest("p50Ms"),
            slowest("p99Ms"),
            slowest("maxMs"),
          ]
        }),
      )
      colour(legend, TIERS)
      const whose = members.length > 1 ? `of the slowest of ${members.length}, ` : ""
      say(note, `p50, p99 and longest: ${whose}since opened. L1 is timed once in 256 hits.`)
      const points = store.points.map((point) => ({
        atMs: point.atMs,
        values: TIERS.map(({ latency }) => point.rates && meanMs(point.rates, latency)),
      }))
      const known = TIERS.flatMap(({ label, latency }) => {
        const mean = rates && meanMs(rates, latency)
        return mean === undefined ? [] : [`${label} ${formatDuration(mean)}`]
      })
      chart.draw(points, nowMs, known.length === 0 ? "nothing timed" : known.join(", "))
    },
  }
}
