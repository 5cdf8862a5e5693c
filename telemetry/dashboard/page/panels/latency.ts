import { numberAt } from "../../../../src/counters.ts"
import { formatDuration, NONE } from "../../../../tiers/util/format.ts"
import type { StoreReport } from "../../report.ts"
import { logarithmic } from "../charts/logarithmic.ts"
import { h, say } from "../elements.ts"
import { TIERS, type Tier } from "../measures.ts"
import { table } from "../table.ts"
import type { TimeView } from "../time-view.ts"
import { colour, frame, momentShown, type Panel, shownOf } from "./panel.ts"

type Latency = Tier["latency"]

export function latencyPanel(time: TimeView): Panel {
  const chart = logarithmic(time, "Latency", TIERS, formatDuration)
  const legend = table("Latency by tier", [
    { label: "Tier", text: true },
    { label: "p50" },
    { label: "p99" },
    { label: "Longest" },
  ])
  const note = h("p", { class: "note" })
  const { element, moment } = frame("Latency by tier", "p99", chart.element, legend.element, note)
  return {
    element,
    update(store, nowMs) {
      const { times } = shownOf(store, time, nowMs)
      const { members } = store
      say(moment, momentShown(time))
      const text = (latency: Latency, which: "p50Ms" | "p99Ms") =>
        times === undefined || times[latency].count === 0 ? NONE : formatDuration(times[latency][which])
      legend.fill(
        TIERS.map(({ label, latency }) => {
          const longest = Math.max(0, ...members.map(({ store }) => longestOf(store, latency)))
          return [
            label,
            text(latency, "p50Ms"),
            text(latency, "p99Ms"),
            longest === 0 ? NONE : formatDuration(longest),
          ]
        }),
      )
      colour(legend, TIERS)
      const whose = members.length > 1 ? `Of the slowest of ${members.length} processes. ` : ""
      say(note, `${whose}Longest: since opened. L1 is timed once in 256 hits.`)
      const points = store.points().map((point) => ({
        atMs: point.atMs,
        values: TIERS.map(({ latency }) => point.times && (point.times[latency].p99Ms || undefined)),
      }))
      const known = TIERS.flatMap(({ label, latency }) =>
        times === undefined || times[latency].count === 0 ? [] : [`${label} p99 ${text(latency, "p99Ms")}`],
      )
      chart.draw(points, nowMs, known.length === 0 ? "nothing timed" : known.join(", "))
    },
  }
}

function longestOf(store: StoreReport, latency: Latency): number {
  return latency === "reads" ? 0 : numberAt(store, `${latency}.maxMs`)
}
