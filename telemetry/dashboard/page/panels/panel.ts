import { formatAge, formatBytes, formatCount, formatRate, NONE } from "../../../../tiers/util/format.ts"
import type { Numbers } from "../counters.ts"
import { h, set } from "../elements.ts"
import { RECENT_MS, ratesAt, recent, type StoreHistory } from "../history.ts"
import type { Measure } from "../measures.ts"
import { type Table, table } from "../table.ts"
import type { TimeView } from "../time-view.ts"

/** A part of a store's section. */
export interface Panel {
  element: HTMLElement
  update(store: StoreHistory, totals: Numbers, nowMs: number): void
}

/** The element of a panel: its title, the time of its numbers, and its parts. */
export function frame(title: string, unit: string, ...parts: Element[]) {
  const moment = h("span", { class: "moment" })
  const heading = h("h3", {}, `${title} `, h("span", { class: "unit" }, unit))
  const element = h("div", { class: "panel" }, h("div", { class: "title" }, heading, moment), ...parts)
  return { element, moment }
}

/** Rates at the selected moment: those of its second, or for now the recent average. */
export function ratesShown(store: StoreHistory, time: TimeView, nowMs: number): Numbers | undefined {
  return time.agoMs === 0 ? recent(store) : ratesAt(store, nowMs - time.agoMs)
}

export function momentShown({ agoMs }: TimeView): string {
  return agoMs === 0 ? `last ${RECENT_MS / 1_000} s` : `${formatAge(agoMs)} ago`
}

/** Gives the first cell of each row the colour that the row's measure has in the charts. */
export function colour({ cells }: Table, rows: readonly { className: string }[]): void {
  rows.forEach(({ className }, index) => {
    const [head] = cells[index] ?? []
    if (head !== undefined) set(head, "class", `text swatch ${className}`)
  })
}

/** A table of measures: their rates and their totals. */
export function eventsTable(caption: string, label: string, measures: readonly Measure[]) {
  const events = table(caption, [{ label, text: true }, { label: "A second" }, { label: "Since opened" }])

  function update(rates: Numbers | undefined, totals: Numbers): void {
    events.fill(
      measures.map(({ label, of, bytes }) => {
        const [format, formatTotal] = bytes ? [formatBytes, formatBytes] : [formatRate, formatCount]
        return [label, rates === undefined ? NONE : format(of(rates)), formatTotal(of(totals))]
      }),
    )
    measures.forEach(({ of }, index) => {
      for (const cell of events.cells[index] ?? []) set(cell, "data-zero", String(of(totals) === 0))
    })
  }

  return { element: events.element, update }
}
