import { formatCount } from "../../../tiers/util/format.ts"
import { answers } from "./answers.ts"
import { h, say, set } from "./elements.ts"
import type { StoreHistory } from "./history.ts"
import { l1Panel } from "./panels/l1.ts"
import { l2Panel } from "./panels/l2.ts"
import { latencyPanel } from "./panels/latency.ts"
import { processesPanel } from "./panels/processes.ts"
import { requestsPanel } from "./panels/requests.ts"
import type { TimeView } from "./time-view.ts"
import { stateOf } from "./verdicts.ts"

export interface StoreView {
  element: HTMLElement
  update(store: StoreHistory, nowMs: number): void
}

/** The section of the store that is selected. */
export function storeView(time: TimeView): StoreView {
  const name = h("h2", { id: "store" })
  const backend = h("p", { class: "backend" })
  const state = h("p", { class: "note" })
  const cards = answers(time)
  const panels = [requestsPanel(time), latencyPanel(time), l1Panel(), l2Panel(), processesPanel()]
  const element = h(
    "section",
    { class: "store", "aria-labelledby": "store" },
    h("header", {}, name, backend, state),
    h("div", { class: "answers" }, ...cards.map((card) => card.element)),
    h("div", { class: "panels" }, ...panels.map((panel) => panel.element)),
  )

  return {
    element,
    update(store, nowMs) {
      const verdict = stateOf(store)
      const { members } = store
      set(element, "data-state", verdict.level)
      say(name, store.name)
      const places = new Set(members.map((member) => placeOf(member.store.backend)))
      if (places.size > 0) say(backend, [...places].join(", "))
      const processes = new Set(members.map(({ process }) => process.id)).size
      const shared = processes > 1 ? `${formatCount(processes)} processes` : ""
      say(state, verdict.level === "closed" ? verdict.why : shared)
      for (const part of [...cards, ...panels]) part.update(store, nowMs)
    },
  }
}

function placeOf({ kind, target }: { kind: string; target: string }): string {
  return kind === target ? kind : `${kind} · ${target}`
}
