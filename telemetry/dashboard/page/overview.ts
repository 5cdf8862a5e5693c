import { formatCount, formatDuration, formatRate, formatShare, NONE } from "../../../tiers/util/format.ts"
import { h, say, set } from "./elements.ts"
import type { StoreHistory } from "./history.ts"
import { errors, l1Answered, l1Asked, reads } from "./measures.ts"
import { LEVELS, stateOf, type Verdict } from "./verdicts.ts"

/** A store in the table, with what the columns are sorted by. */
interface Line {
  store: StoreHistory
  state: Verdict
}

interface Column {
  label: string
  explanation: string
  /** The class in the style sheet. */
  className: string
  text(line: Line): string
  /** What the column is sorted by; the largest comes first, or the first by the alphabet. */
  rank(line: Line): number | string
}

const isOpen = ({ store }: Line) => store.members.length > 0
const duration = (which: "p50Ms" | "p99Ms", of: "reads" | "l2.readLatency") => ({
  text: ({ store }: Line) => (store.times[of].count === 0 ? NONE : formatDuration(store.times[of][which])),
  rank: ({ store }: Line) => store.times[of][which],
})
const ratio = ({ recent }: StoreHistory) => (l1Asked(recent) === 0 ? 0 : l1Answered(recent) / l1Asked(recent))
const fullness = ({ members }: StoreHistory) => {
  const [held, limit] = members.reduce(
    ([entries, most], { store: { l1 } }) => [entries + l1.entries, most + l1.maxEntries],
    [0, 0],
  )
  return limit === 0 ? 0 : held / limit
}

/** All but the first, which is the store's name. */
const COLUMNS: readonly Column[] = [
  {
    label: "State",
    explanation: "The worst of: is the backend well, are reads fast, is L1 the right size",
    className: "state",
    text: ({ state }) => state.word,
    rank: ({ state }) => -LEVELS.indexOf(state.level),
  },
  {
    label: "Reads /s",
    explanation: "Keys read a second",
    className: "reads",
    text: (line) => (isOpen(line) ? formatRate(reads(line.store.recent)) : NONE),
    rank: ({ store }) => reads(store.recent),
  },
  {
    label: "L1 hits",
    explanation: "Reads that L1 answered, of those that asked it",
    className: "ratio",
    text: ({ store }) => formatShare(l1Answered(store.recent), l1Asked(store.recent)),
    rank: ({ store }) => ratio(store),
  },
  {
    label: "p50",
    explanation: "Half of the reads take no longer, whichever tier answers",
    className: "p50",
    ...duration("p50Ms", "reads"),
  },
  {
    label: "p99",
    explanation: "99 of 100 reads take no longer, whichever tier answers",
    className: "p99",
    ...duration("p99Ms", "reads"),
  },
  {
    label: "L2 p99",
    explanation: "99 of 100 reads of the backend take no longer, failed ones included",
    className: "l2-p99",
    ...duration("p99Ms", "l2.readLatency"),
  },
  {
    label: "Errors /min",
    explanation: "Reads, writes and loads that failed",
    className: "errors",
    text: (line) => (isOpen(line) ? formatCount(errors(line.store.recent) * 60) : NONE),
    rank: ({ store }) => errors(store.recent),
  },
  {
    label: "L1 full",
    explanation: "Entries in L1, of those that it may hold",
    className: "full",
    text: (line) => (isOpen(line) ? formatShare(fullness(line.store), 1) : NONE),
    rank: ({ store }) => fullness(store),
  },
]
const NAME = {
  label: "Store",
  explanation: "By name",
  className: "name",
  rank: ({ store }: Line) => store.name,
}
const SORTS = [NAME, ...COLUMNS]
const STATE = SORTS.findIndex(({ label }) => label === "State")

export interface Overview {
  /** `selected` is the name of the store that is shown below. */
  update(stores: readonly StoreHistory[], selected: string | undefined): void
  /** The stores in the order of the table. */
  readonly order: readonly StoreHistory[]
}

/** The stores in one table, the failing ones first until another column is chosen. `select` gets the name of a store. */
export function overviewIn(holder: Element, select: (name: string) => void): Overview {
  let sortedBy = STATE
  let backwards = false
  let lines: Line[] = []
  let selected: string | undefined
  const rows = new Map<string, Row>()
  const body = h("tbody", {})
  const heads = SORTS.map(({ label, explanation, className }, index) => {
    const button = h("button", { type: "button", title: explanation }, label)
    button.addEventListener("click", () => {
      backwards = sortedBy === index && !backwards
      sortedBy = index
      show()
    })
    return h("th", { scope: "col", class: className }, button)
  })
  const caption = h("caption", { class: "hidden" }, "Stores, in the last minute")
  holder.append(h("table", {}, caption, h("thead", {}, h("tr", {}, ...heads)), body))

  function show(): void {
    heads.forEach((head, index) => {
      const direction = (index === 0) === backwards ? "descending" : "ascending"
      if (index === sortedBy) set(head, "aria-sort", direction)
      else head.removeAttribute("aria-sort")
    })
    lines.sort(compare)
    const names = new Set(lines.map(({ store }) => store.name))
    for (const [name, row] of rows) {
      if (names.has(name)) continue
      row.element.remove()
      rows.delete(name)
    }
    lines.forEach((line, index) => {
      const { name } = line.store
      const row = rows.get(name) ?? newRow(name, select)
      rows.set(name, row)
      row.show(line, name === selected)
      // Moving an element takes the focus from it.
      if (body.children[index] !== row.element) body.insertBefore(row.element, body.children[index] ?? null)
    })
  }

  function compare(a: Line, b: Line): number {
    const [one, other] = [SORTS[sortedBy]?.rank(a) ?? 0, SORTS[sortedBy]?.rank(b) ?? 0]
    const byColumn =
      typeof one === "number" && typeof other === "number"
        ? other - one
        : String(one) < String(other)
          ? -1
          : 1
    if (byColumn === 0) return a.store.name < b.store.name ? -1 : 1
    return backwards ? -byColumn : byColumn
  }

  return {
    update(stores, name) {
      lines = stores.map((store) => ({ store, state: stateOf(store) }))
      selected = name
      show()
    },
    get order() {
      return lines.map(({ store }) => store)
    },
  }
}

interface Row {
  element: HTMLElement
  show(line: Line, selected: boolean): void
}

function newRow(name: string, select: (name: string) => void): Row {
  const link = h("a", { href: `#${encodeURIComponent(name)}` }, name)
  link.addEventListener("click", () => select(name))
  const cells = COLUMNS.map(({ className, label }) => h("td", { class: className, "data-label": label }))
  const element = h("tr", {}, h("th", { scope: "row", class: "name" }, link), ...cells)
  return {
    element,
    show(line, selected) {
      set(element, "data-level", line.state.level)
      if (selected) set(link, "aria-current", "true")
      else link.removeAttribute("aria-current")
      COLUMNS.forEach(({ text }, index) => {
        const cell = cells[index]
        if (cell !== undefined) say(cell, text(line))
      })
      const [state] = cells
      if (state !== undefined) set(state, "title", line.state.why)
    },
  }
}
