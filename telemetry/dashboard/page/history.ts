import type { AnsweringProcess, ProcessReport, StoreReport } from "../report.ts"
import { divide, increase, type Numbers, numbersOf, sum } from "./counters.ts"

/** One store of one process. The page adds up the stores of the same name. */
export interface Member {
  process: AnsweringProcess
  store: StoreReport
  /** Rates per second since the previous report; absent in the first report. */
  rates: Numbers | undefined
}

export interface Point {
  atMs: number
  /** Rates per second; absent if no member has any. */
  rates: Numbers | undefined
}

/** The stores of one name. */
export interface StoreHistory {
  name: string
  /** Those in the last report; none if no process had the store open. */
  members: Member[]
  lastSeenMs: number
  points: Point[]
}

/** What the next report of a process is compared with. */
interface Baseline {
  uptimeMs: number
  seenMs: number
  /** By name and backend, in the order in which the stores were opened. */
  groups: Map<string, Numbers[]>
}

/** How long points, closed stores and silent processes are kept, ms. */
const WINDOW_MS = 300_000
/** The spans that the charts may have; they have the shortest that covers all reports. */
const SPANS_MS = [60_000, 120_000, WINDOW_MS]
/** The time over which the numbers beside the charts are averaged, ms. */
export const RECENT_MS = 10_000

/** Computes rates from counters, by comparing each report with the previous one. */
export class History {
  readonly #baselines = new Map<string, Baseline>()
  readonly #stores = new Map<string, StoreHistory>()
  #firstReportMs: number | undefined
  #lastReportMs: number | undefined

  /** Adds a report that arrived at `atMs` on the page's monotonic clock. Returns the stores, ordered by name. */
  add(processes: readonly ProcessReport[], atMs: number): StoreHistory[] {
    for (const store of this.#stores.values()) store.members = []
    for (const process of processes) if ("id" in process) this.#addProcess(process, atMs)
    for (const store of this.#stores.values()) {
      const rates = store.members.flatMap((member) => member.rates ?? [])
      store.points.push({ atMs, rates: rates.length === 0 ? undefined : sum(rates) })
      while ((store.points[0]?.atMs ?? atMs) < atMs - WINDOW_MS) store.points.shift()
      if (store.lastSeenMs < atMs - WINDOW_MS) this.#stores.delete(store.name)
    }
    for (const [id, { seenMs }] of this.#baselines) {
      if (seenMs < atMs - WINDOW_MS) this.#baselines.delete(id)
    }
    this.#firstReportMs ??= atMs
    this.#lastReportMs = atMs
    return [...this.#stores.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  /** The current span of the charts, ms. */
  get spanMs(): number {
    const ageMs = (this.#lastReportMs ?? 0) - (this.#firstReportMs ?? 0)
    return SPANS_MS.find((spanMs) => spanMs >= ageMs) ?? WINDOW_MS
  }

  #addProcess(process: AnsweringProcess, atMs: number): void {
    const before = this.#baselineOf(process, atMs)
    const seconds = before === undefined ? 0 : (process.uptimeMs - before.uptimeMs) / 1_000
    const groups = new Map<string, Numbers[]>()
    const sizes = new Map<string, number>()
    for (const store of process.stores) sizes.set(groupOf(store), (sizes.get(groupOf(store)) ?? 0) + 1)

    for (const store of process.stores) {
      const group = groups.get(groupOf(store)) ?? []
      groups.set(groupOf(store), group)
      const earlier = before?.groups.get(groupOf(store)) ?? []
      const now = numbersOf(store)
      // If one of several stores of a group was closed, the report does not say which, and gives no rates. The next one
      // does.
      const comparable = seconds > 0 && earlier.length <= (sizes.get(groupOf(store)) ?? 0)
      const rates = comparable ? divide(increase(earlier[group.length], now), seconds) : undefined
      group.push(now)
      this.#storeOf(store.name, atMs).members.push({ process, store, rates })
    }
    this.#baselines.set(process.id, { uptimeMs: process.uptimeMs, seenMs: atMs, groups })
  }

  /** A process that started after the last report has counted from zero, whether or not it was seen before. */
  #baselineOf(
    { id, uptimeMs }: AnsweringProcess,
    atMs: number,
  ): Pick<Baseline, "uptimeMs" | "groups"> | undefined {
    const known = this.#baselines.get(id)
    if (known !== undefined) return known
    const isNew = this.#lastReportMs !== undefined && uptimeMs < atMs - this.#lastReportMs
    return isNew ? { uptimeMs: 0, groups: new Map() } : undefined
  }

  #storeOf(name: string, atMs: number): StoreHistory {
    const store = this.#stores.get(name) ?? { name, members: [], lastSeenMs: atMs, points: [] }
    this.#stores.set(name, store)
    store.lastSeenMs = atMs
    return store
  }
}

function groupOf({ name, backend }: StoreReport): string {
  return JSON.stringify([name, backend.kind, backend.target])
}

/** Rates per second, the average of the last points that have rates. */
export function recent({ points }: StoreHistory): Numbers | undefined {
  const fromMs = (points.at(-1)?.atMs ?? 0) - RECENT_MS
  const rates = points.filter(({ atMs }) => atMs > fromMs).flatMap((point) => point.rates ?? [])
  return rates.length === 0 ? undefined : divide(sum(rates), rates.length)
}

/** The rates of the point nearest to `atMs`, if one lies within two seconds. */
export function ratesAt({ points }: StoreHistory, atMs: number): Numbers | undefined {
  const distance = (point: Point) => Math.abs(point.atMs - atMs)
  const nearest = points.reduce<Point | undefined>(
    (best, point) => (best === undefined || distance(point) < distance(best) ? point : best),
    undefined,
  )
  return nearest !== undefined && distance(nearest) <= 2_000 ? nearest.rates : undefined
}

/** What these members counted since each was opened. */
export function totals(members: readonly Member[]): Numbers {
  return sum(members.map(({ store }) => numbersOf(store)))
}
