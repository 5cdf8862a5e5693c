import type { DashboardReport, ProcessReport } from "../report.ts"
import type { chartsOf } from "./charts.ts"
import type { PageDocument, PageElement } from "./dom.ts"
import type { elementsOf } from "./elements.ts"
import type { formats } from "./format.ts"
import type { histories, StoreHistory } from "./history.ts"
import type { listsOf } from "./lists.ts"
import type { measures } from "./measures.ts"
import type { storePanels } from "./store-panels.ts"
import type { storeViews } from "./store-view.ts"

/** The parts of the script; each names nothing outside itself, because the page gets its text alone. */
export interface Parts {
  formats: typeof formats
  histories: typeof histories
  elementsOf: typeof elementsOf
  chartsOf: typeof chartsOf
  measures: typeof measures
  listsOf: typeof listsOf
  storePanels: typeof storePanels
  storeViews: typeof storeViews
}

/** Asks for the numbers once a second, and shows them. */
export function main(document: PageDocument, parts: Parts): void {
  const POLL_MS = 1_000
  const PATIENCE_MS = 10_000

  const format = parts.formats()
  const history = parts.histories()
  const elements = parts.elementsOf(document)
  const charts = parts.chartsOf(elements, history.spanMs)
  const measure = parts.measures()
  const panels = parts.storePanels(elements, charts, format, history, measure)
  const { storeView } = parts.storeViews(elements, charts, format, history, measure, panels)
  const { listIn, processItem, storeItem, isFailing } = parts.listsOf(elements, format, history, measure)
  const { say, set } = elements
  const listProcesses = listIn(at("process-list"))
  const listStores = listIn(at("store-links"))

  const views = new Map<string, ReturnType<typeof storeView> & { address: string }>()
  let viewsMade = 0
  let shown: readonly StoreHistory[] = []
  let shownMs = 0
  let paused = false

  async function poll(): Promise<void> {
    const report = paused ? undefined : await ask().catch(lose)
    setTimeout(() => void poll(), POLL_MS)
    if (report !== undefined && !paused) show(report.processes)
  }

  function lose(error: Error): void {
    if (paused) return
    set(at("state"), "data-state", "lost")
    say(at("state"), error.name === "Refusal" ? error.message : "The dashboard does not answer")
    document.title = "Not answering · tiered-kv"
  }

  function show(processes: readonly ProcessReport[]): void {
    shownMs = performance.now()
    shown = history.add(processes, shownMs)
    showStores()
    showProcesses(processes)
    showState(processes)
    say(at("updated"), `Updated ${new Date().toLocaleTimeString()}`)
  }

  async function ask(): Promise<DashboardReport> {
    const response = await fetch("stats.json", { signal: AbortSignal.timeout(PATIENCE_MS) })
    if (response.status === 401 || response.status === 403)
      throw refusal("The dashboard asks for its token: load the page anew")
    if (!response.ok) throw refusal(`The dashboard answers with the status ${response.status}`)
    const report = (await response.json()) as DashboardReport
    if (report.version !== 1) throw refusal("The dashboard has another version now: load the page anew")
    return report
  }

  function refusal(message: string): Error {
    return Object.assign(new Error(message), { name: "Refusal" })
  }

  function showStores(): void {
    for (const store of shown) {
      const view = views.get(store.name) ?? addView(store.name)
      view.update(store, shownMs)
    }
    for (const [name, view] of views) {
      if (shown.some((store) => store.name === name)) continue
      view.element.remove()
      views.delete(name)
    }
    at("store-list").hidden = shown.length < 2
    listStores(shown.map((store) => storeItem(store, views.get(store.name)?.address ?? "")))
  }

  function addView(name: string) {
    const id = `store-${++viewsMade}`
    const view = { ...storeView(name, id), address: `#${id}` }
    views.set(name, view)
    at("stores").append(view.element)
    return view
  }

  function showProcesses(processes: readonly ProcessReport[]): void {
    const silent = processes.some((one) => "failure" in one)
    at("processes").hidden = processes.length < 2 && !silent
    listProcesses(processes.map(processItem))
    const open = processes.some((one) => "id" in one && one.stores.length > 0)
    at("no-process").hidden = processes.length > 0
    at("no-store").hidden = processes.length === 0 || silent || open || shown.length > 0
  }

  function showState(processes: readonly ProcessReport[]): void {
    const failing = shown.filter(isFailing).length
    const silent = processes.filter((one) => "failure" in one).length
    const troubles = [
      ...(failing > 0 ? [`${format.plural(failing, "store", "stores")} failing`] : []),
      ...(silent > 0 ? [`${format.plural(silent, "process", "processes")} not answering`] : []),
    ]
    set(at("state"), "data-state", troubles.length > 0 ? "trouble" : "live")
    say(at("state"), ["Live", ...troubles].join(" · "))
    document.title = troubles.length > 0 ? `${troubles.join(", ")} · tiered-kv` : "tiered-kv"
  }

  function at(id: string): PageElement {
    const element = document.getElementById(id)
    if (element === null) throw new Error(`the page has no #${id}`)
    return element
  }

  charts.whenMoved(() => showStores())
  at("pause").addEventListener("click", () => {
    paused = !paused
    say(at("pause"), paused ? "Resume" : "Pause")
    set(at("state"), "data-state", paused ? "paused" : "live")
    say(at("state"), paused ? "Paused" : "Live")
  })
  void poll()
}
