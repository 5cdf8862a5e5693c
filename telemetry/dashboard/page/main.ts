import { plural } from "../../../tiers/util/format.ts"
import { type DashboardReport, type ProcessReport, REPORT_VERSION } from "../report.ts"
import { at, say, set } from "./elements.ts"
import { History, type StoreHistory } from "./history.ts"
import { isFailing, listIn, processItem, storeItem } from "./lists.ts"
import { type StoreView, storeView } from "./store-view.ts"
import { TimeView } from "./time-view.ts"

/** Asks for the numbers once a second and shows them. */

const POLL_MS = 1_000
const TIMEOUT_MS = 10_000

/** The dashboard answered with something other than a report that this page can read. The message is shown. */
class Refusal extends Error {}

const history = new History()
const time = new TimeView(() => showStores())
const listProcesses = listIn(at("process-list"))
const listStores = listIn(at("store-links"))

interface NamedView extends StoreView {
  address: string
}

const views = new Map<string, NamedView>()
let viewsMade = 0
let shown: readonly StoreHistory[] = []
let shownMs = 0
let paused = false

at("pause").addEventListener("click", () => {
  paused = !paused
  say(at("pause"), paused ? "Resume" : "Pause")
  set(at("state"), "data-state", paused ? "paused" : "live")
  say(at("state"), paused ? "Paused" : "Live")
})
void poll()

async function poll(): Promise<void> {
  const report = paused ? undefined : await ask().catch(showFailure)
  setTimeout(() => void poll(), POLL_MS)
  if (report !== undefined && !paused) show(report.processes)
}

async function ask(): Promise<DashboardReport> {
  const response = await fetch("stats.json", { signal: AbortSignal.timeout(TIMEOUT_MS) })
  if (response.status === 401 || response.status === 403) {
    throw new Refusal("The dashboard asks for its token: reload the page")
  }
  if (!response.ok) throw new Refusal(`The dashboard answers with the status ${response.status}`)
  const report: DashboardReport = await response.json()
  if (report.version !== REPORT_VERSION) {
    throw new Refusal("The dashboard has another version now: reload the page")
  }
  return report
}

function showFailure(error: unknown): void {
  if (paused) return
  set(at("state"), "data-state", "lost")
  say(at("state"), error instanceof Refusal ? error.message : "The dashboard does not answer")
  document.title = "Not answering · tiered-kv"
}

function show(processes: readonly ProcessReport[]): void {
  shownMs = performance.now()
  shown = history.add(processes, shownMs)
  time.spanMs = history.spanMs
  showStores()
  showProcesses(processes)
  showState(processes)
  say(at("updated"), `Updated ${new Date().toLocaleTimeString()}`)
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

function addView(name: string): NamedView {
  const id = `store-${++viewsMade}`
  const view = { ...storeView(name, id, time), address: `#${id}` }
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
    ...(failing > 0 ? [`${plural(failing, "store", "stores")} failing`] : []),
    ...(silent > 0 ? [`${plural(silent, "process", "processes")} not answering`] : []),
  ]
  set(at("state"), "data-state", troubles.length > 0 ? "trouble" : "live")
  say(at("state"), ["Live", ...troubles].join(" · "))
  document.title = troubles.length > 0 ? `${troubles.join(", ")} · tiered-kv` : "tiered-kv"
}
