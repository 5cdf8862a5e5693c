import {
  formatAge,
  formatBytes,
  formatCount,
  formatDuration,
  formatRate,
  formatShare,
  NONE,
} from "../../../../tiers/util/format.ts"
import { recentOf, totalsOf } from "../counters.ts"
import { h, say } from "../elements.ts"
import type { Member } from "../history.ts"
import { errors, l1Answered, l1Asked, requests } from "../measures.ts"
import { table } from "../table.ts"
import type { Panel } from "./panel.ts"

const COLUMNS = [
  "L1 hit ratio",
  "Requests /s",
  "Errors",
  "Entries",
  "Bytes",
  "L2 read p50",
  "L2 read p99",
  "Up",
]

/** The numbers of each process beside each other, closed at first. */
export function processesPanel(): Panel {
  const all = table("By process", [{ label: "Process", text: true }, ...COLUMNS.map((label) => ({ label }))])
  const summary = h("summary", {})
  const region = { class: "scroll", tabindex: "0", role: "region", "aria-label": "By process" }
  const element = h("details", { class: "panel wide" }, summary, h("div", region, all.element))
  return {
    element,
    update({ members }) {
      element.hidden = members.length === 0
      say(summary, `By process (${formatCount(members.length)})`)
      all.fill(members.map(rowOf))
    },
  }
}

function rowOf(member: Member): string[] {
  const { process, store } = member
  const rates = recentOf(store)
  const { count: timed, p50Ms, p99Ms } = store.recent.times["l2.readLatency"]
  return [
    process.url === undefined ? process.name : `${process.name} · ${process.url}`,
    formatShare(l1Answered(rates), l1Asked(rates)),
    formatRate(requests(rates)),
    formatCount(errors(totalsOf(store))),
    `${formatCount(store.l1.entries)} of ${formatCount(store.l1.maxEntries)}`,
    formatBytes(store.l1.bytes),
    timed === 0 ? NONE : formatDuration(p50Ms),
    timed === 0 ? NONE : formatDuration(p99Ms),
    formatAge(process.uptimeMs),
  ]
}
