import { formatAge, formatBytes, formatCount, formatRate, NONE } from "../../../../tiers/util/format.ts"
import { h, set } from "../elements.ts"
import { type Point, pointAt, type StoreHistory } from "../history.ts"
import type { Measure } from "../measures.ts"
import { type Table, table } from "../table.ts"
import type { TimeView } from "../time-view.ts"

/** A part of a store's section. */
export interface Panel {
  element: HTMLElement
  update(store: StoreHistory, nowMs: number): void
}

/** The element of a panel: its title, the time of its numbers, and its parts. */
export function frame(title: string, unit: string, ...parts: Element[]) {
  const moment = h("span", { class: "moment" })
  const heading = h("h3", {}, `${title} `, h("span", { class: "unit" }, unit))
  const element = h("div", { class: "panel" }, h("div", { class: "title" }, heading, moment), ...parts)
  return { element, moment }
}

/** What the legends show: the selected moment, or for now the last minute. */
export function shownOf(store: StoreHistory, time: TimeView, nowMs: number): Pick<Point, "rates" | "times"> {
  if (time.agoMs > 0) return pointAt(store, nowMs - time.agoMs) ?? { rates: undefined, times: undefined }
  if (store.members.length === 0) return { rates: undefined, times: undefined }
  return { rates: store.recent, times: store.times }
}

export function momentShown({ agoMs }: TimeView): string {
  return agoMs === 0 ? "last minute" : `${formatAge(agoMs)} ago`
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

  function update({ members, recent, totals }: StoreHistory): void {
    events.fill(
      measures.map(({ label, of, bytes }) => {
        const [format, formatTotal] = bytes ? [formatBytes, formatBytes] : [formatRate, formatCount]
        return [label, members.length === 0 ? NONE : format(of(recent)), formatTotal(of(totals))]
      }),
    )
    measures.forEach(({ of }, index) => {
      for (const cell of events.cells[index] ?? []) set(cell, "data-zero", String(of(totals) === 0))
    })
  }

  return { element: events.element, update }
}
