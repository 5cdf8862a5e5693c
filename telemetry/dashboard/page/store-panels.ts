import type { Charts } from "./charts.ts"
import type { PageElement } from "./dom.ts"
import type { Elements } from "./elements.ts"
import type { Formats } from "./format.ts"
import type { Histories, Numbers, StoreHistory } from "./history.ts"
import type { Measures } from "./measures.ts"

export interface Panel {
  element: PageElement
  update(history: StoreHistory, totals: Numbers, nowMs: number): void
}

/** The panels of a store's section. Part of the page's script: it names nothing outside itself. */
export function storePanels(
  { h, say, set, table }: Elements,
  charts: Charts,
  { rate, ratio, count, bytes, duration, age, plural, NONE }: Formats,
  histories: Histories,
  { RESULTS, TIERS, L1_EVENTS, L2_EVENTS, l1Asked, l1Answered, requests, errors }: Measures,
) {
  const NUMBER_COLUMNS = [{ label: "A second" }, { label: "Since opened" }]

  function requestsPanel(): Panel {
    const chart = charts.stacked("Requests by result", RESULTS, (tick) => `${rate(tick)} /s`)
    const columns = [
      { label: "Result", text: true },
      { label: "A second" },
      { label: "Share" },
      { label: "Since opened" },
    ]
    const legend = table("Requests by result", columns)
    const rows = [...RESULTS].reverse()
    const { element, moment } = panel("Requests by result", "keys a second", chart.element, legend.element)
    return {
      element,
      update(history, totals, nowMs) {
        const rates = momentOf(history, nowMs)
        say(moment, momentText())
        legend.fill(
          rows.map(({ label, of }) => [
            label,
            rates === undefined ? NONE : rate(of(rates)),
            rates === undefined ? NONE : ratio(of(rates), requests(rates)),
            count(of(totals)),
          ]),
        )
        colour(legend.cells, rows)
        const points = history.points.map((point) => ({
          atMs: point.atMs,
          values: RESULTS.map(({ of }) => point.rates && of(point.rates)),
        }))
        const says =
          rates === undefined
            ? "nothing known"
            : rows.map(({ label, of }) => `${label} ${rate(of(rates))} a second`).join(", ")
        chart.draw(points, nowMs, says)
      },
    }
  }

  function latencyPanel(): Panel {
    const chart = charts.logarithmic("Latency by tier", TIERS, duration)
    const columns = [
      { label: "Tier", text: true },
      { label: "Mean" },
      { label: "p50" },
      { label: "p99" },
      { label: "Longest" },
    ]
    const legend = table("Latency by tier", columns)
    const note = h("p", { class: "note" })
    const { element, moment } = panel(
      "Latency by tier",
      "mean of each second",
      chart.element,
      legend.element,
      note,
    )
    return {
      element,
      update(history, _totals, nowMs) {
        const rates = momentOf(history, nowMs)
        const { members } = history
        say(moment, momentText())
        legend.fill(
          TIERS.map(({ label, latency, mean }) => {
            const timed = members.map(({ store }) => latency(store)).filter((one) => one.count > 0)
            const slowest = (which: "p50Ms" | "p99Ms" | "maxMs") =>
              timed.length === 0 ? NONE : duration(Math.max(...timed.map((one) => one[which])))
            const now = rates && mean(rates)
            return [
              label,
              now === undefined ? NONE : duration(now),
              slowest("p50Ms"),
              slowest("p99Ms"),
              slowest("maxMs"),
            ]
          }),
        )
        colour(legend.cells, TIERS)
        const whose = members.length > 1 ? `of the slowest of ${members.length}, ` : ""
        say(note, `p50, p99 and longest: ${whose}since opened. L1 is timed once in 256 hits.`)
        const points = history.points.map((point) => ({
          atMs: point.atMs,
          values: TIERS.map(({ mean }) => point.rates && mean(point.rates)),
        }))
        const known = TIERS.flatMap(({ label, mean }) => {
          const now = rates && mean(rates)
          return now === undefined ? [] : [`${label} ${duration(now)}`]
        })
        chart.draw(points, nowMs, known.length === 0 ? "nothing timed" : known.join(", "))
      },
    }
  }

  function l1Panel(): Panel {
    const entries = charts.meter("Entries")
    const size = charts.meter("Bytes")
    const absent = h("p", { class: "note" })
    const events = table("L1 since the store was opened", [{ label: "L1", text: true }, ...NUMBER_COLUMNS])
    const { element } = panel("What L1 holds", "", entries.element, size.element, absent, events.element)
    return {
      element,
      update(history, totals) {
        const l1s = history.members.map(({ store }) => store.l1)
        const all = (of: (l1: (typeof l1s)[number]) => number) => l1s.reduce((total, l1) => total + of(l1), 0)
        const [held, limit] = [all((l1) => l1.entries), all((l1) => l1.maxEntries)]
        const [used, maxBytes] = [all((l1) => l1.bytes), all((l1) => l1.maxBytes)]
        entries.show(held, limit, limit === 0 ? "L1 is off" : `${count(held)} of ${count(limit)}`)
        size.show(used, maxBytes, maxBytes === 0 ? "L1 is off" : `${bytes(used)} of ${bytes(maxBytes)}`)
        say(
          absent,
          `Besides, ${plural(
            all((l1) => l1.negatives),
            "key is",
            "keys are",
          )} known to be absent.`,
        )
        fillEvents(events, L1_EVENTS, histories.recent(history), totals)
      },
    }
  }

  function l2Panel(): Panel {
    const events = table("L2 and the loader since the store was opened", [
      { label: "L2 and loader", text: true },
      ...NUMBER_COLUMNS,
    ])
    const { element } = panel("What the backend and the loader did", "", events.element)
    return {
      element,
      update: (history, totals) => fillEvents(events, L2_EVENTS, histories.recent(history), totals),
    }
  }

  function processesPanel(): Panel {
    const columns = [
      "L1 hit ratio",
      "Requests /s",
      "Errors",
      "Entries",
      "Bytes",
      "L2 read p50",
      "L2 read p99",
      "Up",
    ]
    const all = table("By process", [
      { label: "Process", text: true },
      ...columns.map((label) => ({ label })),
    ])
    const summary = h("summary", {})
    const scroll = h(
      "div",
      { class: "scroll", tabindex: "0", role: "region", "aria-label": "By process" },
      all.element,
    )
    const element = h("details", { class: "panel wide" }, summary, scroll)
    return {
      element,
      update({ members }) {
        element.hidden = members.length === 0
        say(summary, `By process (${count(members.length)})`)
        all.fill(
          members.map(({ process, store, rates }) => {
            const own = histories.totals({ members: [{ process, store, rates }] })
            const { count: timed, p50Ms, p99Ms } = store.l2.readLatency
            return [
              process.url === undefined ? process.name : `${process.name} · ${process.url}`,
              ratio(l1Answered(own), l1Asked(own)),
              rates === undefined ? NONE : rate(requests(rates)),
              count(errors(own)),
              `${count(store.l1.entries)} of ${count(store.l1.maxEntries)}`,
              bytes(store.l1.bytes),
              timed === 0 ? NONE : duration(p50Ms),
              timed === 0 ? NONE : duration(p99Ms),
              age(process.uptimeMs),
            ]
          }),
        )
      },
    }
  }

  function panel(title: string, unit: string, ...children: PageElement[]) {
    const moment = h("span", { class: "moment" })
    const heading = h("h3", {}, `${title} `, h("span", { class: "unit" }, unit))
    return {
      element: h("div", { class: "panel" }, h("div", { class: "title" }, heading, moment), ...children),
      moment,
    }
  }

  function fillEvents(
    events: ReturnType<typeof table>,
    rows: Measures["L2_EVENTS"],
    rates: Numbers | undefined,
    totals: Numbers,
  ): void {
    events.fill(
      rows.map(({ label, of, bytes: isBytes }) => [
        label,
        rates === undefined ? NONE : isBytes ? bytes(of(rates)) : rate(of(rates)),
        isBytes ? bytes(of(totals)) : count(of(totals)),
      ]),
    )
    rows.forEach(({ of }, index) => {
      for (const cell of events.cells[index] ?? []) set(cell, "data-zero", String(of(totals) === 0))
    })
  }

  function colour(cells: readonly PageElement[][], rows: readonly { className: string }[]): void {
    rows.forEach(({ className }, index) => {
      const [head] = cells[index] ?? []
      if (head !== undefined) set(head, "class", `text swatch ${className}`)
    })
  }

  /** Rates at the moment that the charts point at: of that second, or the recent average for now. */
  function momentOf(history: StoreHistory, nowMs: number): Numbers | undefined {
    if (charts.ago() === 0) return histories.recent(history)
    const atMs = nowMs - charts.ago()
    const distance = (point: { atMs: number }) => Math.abs(point.atMs - atMs)
    const nearest = history.points.reduce(
      (best, point) => (distance(point) < distance(best) ? point : best),
      {
        atMs: Number.NEGATIVE_INFINITY,
        rates: undefined,
      },
    )
    return distance(nearest) <= 2_000 ? nearest.rates : undefined
  }

  function momentText(): string {
    return charts.ago() === 0 ? `last ${histories.RECENT_MS / 1_000} s` : `${age(charts.ago())} ago`
  }

  return {
    requests: requestsPanel,
    latency: latencyPanel,
    l1: l1Panel,
    l2: l2Panel,
    processes: processesPanel,
  }
}

export type StorePanels = ReturnType<typeof storePanels>
