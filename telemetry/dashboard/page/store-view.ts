import { formatCount, formatShare, plural } from "../../../tiers/util/format.ts"
import type { Numbers } from "./counters.ts"
import { h, say, set } from "./elements.ts"
import { FIGURES, figureView } from "./figures.ts"
import { recent, type StoreHistory, totals } from "./history.ts"
import { errors, l2Reads, requests } from "./measures.ts"
import { l1Panel } from "./panels/l1.ts"
import { l2Panel } from "./panels/l2.ts"
import { latencyPanel } from "./panels/latency.ts"
import { processesPanel } from "./panels/processes.ts"
import { requestsPanel } from "./panels/requests.ts"
import type { TimeView } from "./time-view.ts"

export interface StoreView {
  element: HTMLElement
  update(store: StoreHistory, nowMs: number): void
}

/** The section of the stores of one name. `id` has to be unique in the page. */
export function storeView(name: string, id: string, time: TimeView): StoreView {
  const backend = h("p", { class: "backend" })
  const conditions = h("ul", { class: "conditions" })
  const figures = FIGURES.map((figure) => figureView(figure, time))
  const panels = [requestsPanel(time), latencyPanel(time), l1Panel(), l2Panel(), processesPanel()]
  const element = h(
    "section",
    { class: "store", "aria-labelledby": id },
    h("header", {}, h("h2", { id }, name), backend, conditions),
    h("div", { class: "figures" }, ...figures.map((figure) => figure.element)),
    h("div", { class: "panels" }, ...panels.map((panel) => panel.element)),
  )

  function showConditions(shown: readonly Condition[]): void {
    set(element, "data-state", shown.some(({ state }) => state === "failing") ? "failing" : "")
    if (conditions.getAttribute("data-shown") === JSON.stringify(shown)) return
    conditions.replaceChildren(...shown.map(({ text, state }) => h("li", { class: state }, text)))
    conditions.setAttribute("data-shown", JSON.stringify(shown))
  }

  return {
    element,
    update(store, nowMs) {
      const sinceOpened = totals(store.members)
      const places = new Set(store.members.map((member) => placeOf(member.store.backend)))
      if (places.size > 0) say(backend, [...places].join(", "))
      showConditions(conditionsOf(store, sinceOpened))
      for (const part of [...figures, ...panels]) part.update(store, sinceOpened, nowMs)
    },
  }
}

function placeOf({ kind, target }: { kind: string; target: string }): string {
  return kind === target ? kind : `${kind} · ${target}`
}

interface Condition {
  text: string
  /** The class in the style sheet that sets its look; empty for the plain look. */
  state: "failing" | "warning" | "closed" | ""
}

/** The conditions of a store that are shown beside its name. */
function conditionsOf(store: StoreHistory, sinceOpened: Numbers): Condition[] {
  const { members } = store
  if (members.length === 0) return [{ text: "Not open in any process that answers", state: "closed" }]
  const shown: Condition[] = []
  const failure = failureOf(store)
  if (failure !== undefined) shown.push({ text: failure, state: "failing" })
  if (requests(sinceOpened) === 0) shown.push({ text: "No requests yet", state: "" })
  if (members.every(({ store: { l1 } }) => l1.maxEntries === 0)) shown.push({ text: "L1 is off", state: "" })
  const processes = new Set(members.map(({ process }) => process.id)).size
  if (processes > 1) shown.push({ text: `${formatCount(processes)} processes`, state: "" })
  const inFlight = members.reduce((total, member) => total + member.store.inFlight, 0)
  shown.push({ text: `${formatCount(inFlight)} in flight`, state: "" })
  const quarantined = members.reduce((total, member) => total + member.store.quarantined, 0)
  if (quarantined > 0) {
    shown.push({ text: `${plural(quarantined, "key", "keys")} in quarantine`, state: "warning" })
  }
  return shown
}

function failureOf(store: StoreHistory): string | undefined {
  const rates = recent(store)
  if (rates === undefined || errors(rates) === 0) return undefined
  const asked = l2Reads(rates) + rates["l2.writes"] + rates["l2.refused"] + rates["l2.writeErrors"]
  const failed = rates["l2.readErrors"] + rates["l2.writeErrors"]
  return failed > 0
    ? `Failing: ${formatShare(failed, asked)} of what the backend is asked`
    : "Loads are failing"
}
