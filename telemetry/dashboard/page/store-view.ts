import type { Charts } from "./charts.ts"
import type { Elements } from "./elements.ts"
import type { Formats } from "./format.ts"
import type { Histories, Numbers, StoreHistory } from "./history.ts"
import type { Measures } from "./measures.ts"
import type { StorePanels } from "./store-panels.ts"

/** The section of one store. Part of the page's script: it names nothing outside itself. */
export function storeViews(
  { h, say, set }: Elements,
  charts: Charts,
  { rate, ratio, count, plural, NONE }: Formats,
  histories: Histories,
  measures: Measures,
  panels: StorePanels,
) {
  const { l1Asked, l1Answered, l2Reads, reads, errors, requests } = measures

  interface Figure {
    label: string
    explanation: string
    className: string
    /** Top of its small chart; its own highest value without. */
    top?: number
    /** What the small chart shows of one second. */
    value(rates: Numbers): number | undefined
    now(rates: Numbers): string
    sinceOpened(totals: Numbers): string
  }
  const part = (of: number, all: number) => (all > 0 ? of / all : undefined)
  const saved = (n: Numbers) => reads(n) - l2Reads(n)
  const FIGURES: readonly Figure[] = [
    {
      label: "L1 hit ratio",
      explanation: "Reads that L1 answered, of those that asked it",
      className: "l1-hit",
      top: 1,
      value: (n) => part(l1Answered(n), l1Asked(n)),
      now: (n) => ratio(l1Answered(n), l1Asked(n)),
      sinceOpened: (n) => ratio(l1Answered(n), l1Asked(n)),
    },
    {
      label: "L2 hit ratio",
      explanation: "Keys that the backend held, of those read from it",
      className: "l2-hit",
      top: 1,
      value: (n) => part(n.l2Hits, n.l2Hits + n.l2Absent),
      now: (n) => ratio(n.l2Hits, n.l2Hits + n.l2Absent),
      sinceOpened: (n) => ratio(n.l2Hits, n.l2Hits + n.l2Absent),
    },
    {
      label: "L2 reads saved",
      explanation: "Reads that cost no read of the backend: L1 answered, or they joined one under way",
      className: "joined",
      top: 1,
      value: (n) => part(saved(n), reads(n)),
      now: (n) => ratio(saved(n), reads(n)),
      sinceOpened: (n) => ratio(saved(n), reads(n)),
    },
    {
      label: "Requests",
      explanation: "Keys read and written",
      className: "plain",
      value: requests,
      now: (n) => `${rate(requests(n))} /s`,
      sinceOpened: (n) => count(requests(n)),
    },
    {
      label: "Errors",
      explanation: "Reads, writes and loads that failed",
      className: "error",
      value: errors,
      now: (n) => `${rate(errors(n))} /s`,
      sinceOpened: (n) => count(errors(n)),
    },
  ]

  function figureView(figure: Figure) {
    const { label, explanation, className, top } = figure
    const value = h("p", { class: "value" })
    const since = h("p", { class: "since" })
    const spark = charts.spark(className, top)
    const heading = h("h3", { title: explanation }, label)
    const element = h("div", { class: `figure ${className}` }, heading, value, spark.element, since)
    function update(history: StoreHistory, totals: Numbers, nowMs: number): void {
      const rates = histories.recent(history)
      say(value, rates === undefined || history.members.length === 0 ? NONE : figure.now(rates))
      say(since, `${figure.sinceOpened(totals)} since opened`)
      set(element, "data-alarm", String(className === "error" && rates !== undefined && errors(rates) > 0))
      const points = history.points.map((point) => ({
        atMs: point.atMs,
        values: point.rates === undefined ? [] : [figure.value(point.rates)],
      }))
      spark.draw(points, nowMs)
    }
    return { element, update }
  }

  /** `id` is no other element's. */
  function storeView(name: string, id: string) {
    const backend = h("p", { class: "backend" })
    const conditions = h("ul", { class: "conditions" })
    const figures = FIGURES.map(figureView)
    const parts = [panels.requests(), panels.latency(), panels.l1(), panels.l2(), panels.processes()]
    const element = h(
      "section",
      { class: "store", "aria-labelledby": id },
      h("header", {}, h("h2", { id }, name), backend, conditions),
      h("div", { class: "figures" }, ...figures.map((figure) => figure.element)),
      h("div", { class: "panels" }, ...parts.map((panel) => panel.element)),
    )

    function update(history: StoreHistory, nowMs: number): void {
      const totals = histories.totals(history)
      const shown = conditionsOf(history, totals)
      set(element, "data-state", shown.some(({ state }) => state === "failing") ? "failing" : "")
      const places = new Set(history.members.map(({ store }) => placeOf(store.backend)))
      if (places.size > 0) say(backend, [...places].join(", "))
      if (conditions.getAttribute("data-shown") !== JSON.stringify(shown)) {
        conditions.replaceChildren(...shown.map(({ text, state }) => h("li", { class: state }, text)))
        conditions.setAttribute("data-shown", JSON.stringify(shown))
      }
      for (const figure of figures) figure.update(history, totals, nowMs)
      for (const panel of parts) panel.update(history, totals, nowMs)
    }
    return { element, update }
  }

  function placeOf({ kind, target }: { kind: string; target: string }): string {
    return kind === target ? kind : `${kind} · ${target}`
  }

  /** What is worth a word. The state of a circuit breaker and of a bus belong here, once a report carries them. */
  function conditionsOf(history: StoreHistory, totals: Numbers): { text: string; state: string }[] {
    const { members } = history
    if (members.length === 0) return [{ text: "Not open in any process that answers", state: "closed" }]
    const shown: { text: string; state: string }[] = []
    const recent = histories.recent(history)
    if (recent !== undefined && errors(recent) > 0) {
      const asked = l2Reads(recent) + recent.writes + recent.refused + recent.writeErrors
      const failed = recent.readErrors + recent.writeErrors
      const text =
        failed > 0 ? `Failing: ${ratio(failed, asked)} of what the backend is asked` : "Loads are failing"
      shown.push({ text, state: "failing" })
    }
    if (requests(totals) === 0) shown.push({ text: "No requests yet", state: "" })
    if (members.every(({ store }) => store.l1.maxEntries === 0)) shown.push({ text: "L1 is off", state: "" })
    const processes = new Set(members.map(({ process }) => process.id)).size
    if (processes > 1) shown.push({ text: `${count(processes)} processes`, state: "" })
    const inFlight = members.reduce((total, { store }) => total + store.inFlight, 0)
    shown.push({ text: `${count(inFlight)} in flight`, state: "" })
    const quarantined = members.reduce((total, { store }) => total + store.quarantined, 0)
    if (quarantined > 0) {
      shown.push({ text: `${plural(quarantined, "key", "keys")} in quarantine`, state: "warning" })
    }
    return shown
  }

  return { storeView }
}
