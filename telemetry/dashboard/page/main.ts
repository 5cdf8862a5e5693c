import { plural } from "../../../tiers/util/format.ts"
import { type DashboardReport, type ProcessReport, REPORT_VERSION } from "../report.ts"
import { at, say, set } from "./elements.ts"
import { History, type StoreHistory } from "./history.ts"
import { listIn, processItem } from "./lists.ts"
import { overviewIn } from "./overview.ts"
import { storeView } from "./store-view.ts"
import { TimeView } from "./time-view.ts"
import { stateOf } from "./verdicts.ts"

/** Asks for the numbers every two seconds and shows them, while the page is seen. */

const POLL_MS = 2_000
const TIMEOUT_MS = 10_000

/** The dashboard answered with something other than a report that this page can read. The message is shown. */
class Refusal extends Error {}

const history = new History()
const time = new TimeView(() => showStore())
const listProcesses = listIn(at("process-list"))
const overview = overviewIn(at("overview"), select)
const view = storeView(time)
at("stores").append(view.element)

let shown: readonly StoreHistory[] = []
let shownMs = 0
let paused = false
/** The store that is shown below the table: the one that was chosen, or the first of the table when the page was opened. */
let selected = chosen()

at("pause").addEventListener("click", () => {
  paused = !paused
  say(at("pause"), paused ? "Resume" : "Pause")
  set(at("state"), "data-state", paused ? "paused" : "live")
  say(at("state"), paused ? "Paused" : "Live")
})
addEventListener("hashchange", () => select(chosen() ?? selected ?? ""))
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) show()
})
void poll()

function chosen(): string | undefined {
  try {
    return decodeURIComponent(location.hash.slice(1)) || undefined
  } catch {
    return undefined
  }
}

function select(name: string): void {
  selected = name
  show()
}

async function poll(): Promise<void> {
  const report = paused ? undefined : await ask().catch(showFailure)
  setTimeout(() => void poll(), POLL_MS)
  if (report === undefined || paused) return
  shownMs = performance.now()
  shown = history.add(report.processes, shownMs)
  time.spanMs = history.spanMs
  showState(report.processes)
  if (document.hidden) return
  show()
  showProcesses(report.processes)
  say(at("updated"), `Updated ${new Date().toLocaleTimeString()}`)
}

async function ask(): Promise<DashboardReport> {
  const steps = history.stepsToAsk(performance.now())
  const response = await fetch(`stats.json?steps=${steps}`, { signal: AbortSignal.timeout(TIMEOUT_MS) })
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

function show(): void {
  overview.update(shown, selected)
  if (!shown.some(({ name }) => name === selected)) {
    selected = overview.order[0]?.name
    overview.update(shown, selected)
  }
  at("overview").hidden = shown.length === 0
  showStore()
}

/** Only the selected store has charts, and they are drawn only while the page is seen. */
function showStore(): void {
  const store = shown.find(({ name }) => name === selected)
  view.element.hidden = store === undefined
  if (store !== undefined) view.update(store, shownMs)
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
  const failing = shown.filter((store) => stateOf(store).level === "failing").length
  const silent = processes.filter((one) => "failure" in one).length
  const troubles = [
    ...(failing > 0 ? [`${plural(failing, "store", "stores")} failing`] : []),
    ...(silent > 0 ? [`${plural(silent, "process", "processes")} not answering`] : []),
  ]
  set(at("state"), "data-state", troubles.length > 0 ? "trouble" : "live")
  say(at("state"), ["Live", ...troubles].join(" · "))
  document.title = troubles.length > 0 ? `${troubles.join(", ")} · tiered-kv` : "tiered-kv"
}
