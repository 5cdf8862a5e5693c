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

  const parts = [...cards, ...panels]
  const seen = new Set<Element>()
  let last: [store: StoreHistory, nowMs: number] | undefined
  // What is near the screen counts as seen, so that it is there when somebody scrolls to it.
  const observer = new IntersectionObserver(
    (changes) => {
      for (const { isIntersecting, target } of changes) {
        if (isIntersecting) seen.add(target)
        else seen.delete(target)
      }
      draw()
    },
    { rootMargin: "50%" },
  )
  for (const part of parts) observer.observe(part.element)

  function draw(): void {
    if (last === undefined) return
    for (const part of parts) if (seen.has(part.element)) part.update(...last)
  }

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
      last = [store, nowMs]
      draw()
    },
  }
}

function placeOf({ kind, target }: { kind: string; target: string }): string {
  return kind === target ? kind : `${kind} · ${target}`
}
