import { formatCount, formatRate, formatShare, NONE } from "../../../tiers/util/format.ts"
import { spark } from "./charts/spark.ts"
import type { Numbers } from "./counters.ts"
import { h, say, set } from "./elements.ts"
import { recent, type StoreHistory } from "./history.ts"
import { errors, l1Answered, l1Asked, l2Reads, reads, requests } from "./measures.ts"
import type { TimeView } from "./time-view.ts"

/** A number of a store with its small chart. */
export interface Figure {
  label: string
  explanation: string
  className: string
  /** Top of the small chart; by default its highest value. */
  top?: number
  /** What the small chart shows of one second. */
  value(rates: Numbers): number | undefined
  now(rates: Numbers): string
  sinceOpened(totals: Numbers): string
}

/** The share of `part(n)` in `whole(n)`. */
function share(part: (n: Numbers) => number, whole: (n: Numbers) => number) {
  const text = (n: Numbers) => formatShare(part(n), whole(n))
  const value = (n: Numbers) => (whole(n) > 0 ? part(n) / whole(n) : undefined)
  return { top: 1, value, now: text, sinceOpened: text }
}

/** How often something happens. */
function frequency(of: (n: Numbers) => number) {
  return {
    value: of,
    now: (n: Numbers) => `${formatRate(of(n))} /s`,
    sinceOpened: (n: Numbers) => formatCount(of(n)),
  }
}

export const FIGURES: readonly Figure[] = [
  {
    label: "L1 hit ratio",
    explanation: "Reads that L1 answered, of those that asked it",
    className: "l1-hit",
    ...share(l1Answered, l1Asked),
  },
  {
    label: "L2 hit ratio",
    explanation: "Keys that the backend held, of those read from it",
    className: "l2-hit",
    ...share(
      (n) => n["l2.hits"],
      (n) => n["l2.hits"] + n["l2.misses"],
    ),
  },
  {
    label: "L2 reads saved",
    explanation: "Reads that cost no read of the backend: L1 answered, or they joined one under way",
    className: "coalesced",
    ...share((n) => reads(n) - l2Reads(n), reads),
  },
  {
    label: "Requests",
    explanation: "Keys read and written",
    className: "plain",
    ...frequency(requests),
  },
  {
    label: "Errors",
    explanation: "Reads, writes and loads that failed",
    className: "error",
    ...frequency(errors),
  },
]

export function figureView(figure: Figure, time: TimeView) {
  const { label, explanation, className, top } = figure
  const value = h("p", { class: "value" })
  const since = h("p", { class: "since" })
  const chart = spark(time, className, top)
  const heading = h("h3", { title: explanation }, label)
  const element = h("div", { class: `figure ${className}` }, heading, value, chart.element, since)

  function update(store: StoreHistory, totals: Numbers, nowMs: number): void {
    const rates = recent(store)
    say(value, rates === undefined || store.members.length === 0 ? NONE : figure.now(rates))
    say(since, `${figure.sinceOpened(totals)} since opened`)
    set(element, "data-alarm", String(className === "error" && rates !== undefined && errors(rates) > 0))
    const points = store.points.map((point) => ({
      atMs: point.atMs,
      values: point.rates === undefined ? [] : [figure.value(point.rates)],
    }))
    chart.draw(points, nowMs)
  }

  return { element, update }
}
