import type { AnsweringProcess, ProcessReport, StoreReport } from "../report.ts"

/** What is counted, by the names that the page has for it. */
type Counted =
  | "l1Hits"
  | "l1Absent"
  | "l1Misses"
  | "joined"
  | "l2Hits"
  | "l2Absent"
  | "readErrors"
  | "writes"
  | "refused"
  | "writeErrors"
  | "bytesRead"
  | "bytesWritten"
  | "loads"
  | "loadsEmpty"
  | "loadErrors"
  | "loadsJoined"
  | "refreshes"
  | "bypasses"
  | "fills"
  | "refusedFills"
  | "evictedByCount"
  | "evictedByBytes"
  | "oversize"
  | "evictedAbsent"
  | "expirations"
  | "invalidations"
  | "l1Timed"
  | "readsTimed"
  | "writesTimed"
  | "loadsTimed"
  | "l1Ms"
  | "readMs"
  | "writeMs"
  | "loadMs"

export type Numbers = Record<Counted, number>

/** One store of one process. Several of the same name add up on the page. */
export interface Member {
  process: AnsweringProcess
  store: StoreReport
  /** A second, since the report before; absent in the first. */
  rates: Numbers | undefined
}

export interface Point {
  atMs: number
  /** A second; absent where no member has any. */
  rates: Numbers | undefined
}

export interface StoreHistory {
  name: string
  /** As of the last report; none if no process had it open. */
  members: Member[]
  lastSeenMs: number
  points: Point[]
}

/**
 * Makes rates of counters: each report is set against the one before. Part of the page's script: it names nothing
 * outside itself.
 */
export function histories() {
  /** How far back all is kept, ms. */
  const WINDOW_MS = 300_000
  /** How far the charts go back: as far as is needed for what there is. */
  const SPANS_MS = [60_000, 120_000, WINDOW_MS]
  /** What the numbers beside the charts are averaged over, ms. */
  const RECENT_MS = 10_000

  const COUNTED: Record<Counted, (store: StoreReport) => number> = {
    l1Hits: ({ l1 }: StoreReport) => l1.hits,
    l1Absent: ({ l1 }: StoreReport) => l1.negativeHits,
    l1Misses: ({ l1 }: StoreReport) => l1.misses,
    joined: ({ l2 }: StoreReport) => l2.coalesced,
    l2Hits: ({ l2 }: StoreReport) => l2.hits,
    l2Absent: ({ l2 }: StoreReport) => l2.misses,
    readErrors: ({ l2 }: StoreReport) => l2.readErrors,
    writes: ({ l2 }: StoreReport) => l2.writes,
    refused: ({ l2 }: StoreReport) => l2.refused,
    writeErrors: ({ l2 }: StoreReport) => l2.writeErrors,
    bytesRead: ({ l2 }: StoreReport) => l2.bytesRead,
    bytesWritten: ({ l2 }: StoreReport) => l2.bytesWritten,
    loads: ({ loader }: StoreReport) => loader.loads,
    loadsEmpty: ({ loader }: StoreReport) => loader.misses,
    loadErrors: ({ loader }: StoreReport) => loader.errors,
    loadsJoined: ({ loader }: StoreReport) => loader.coalesced,
    refreshes: ({ loader }: StoreReport) => loader.refreshes,
    bypasses: ({ l1 }: StoreReport) => l1.bypasses,
    fills: ({ l1 }: StoreReport) => l1.fills,
    refusedFills: ({ l1 }: StoreReport) => l1.refusedFills,
    evictedByCount: ({ l1 }: StoreReport) => l1.evictions.entries,
    evictedByBytes: ({ l1 }: StoreReport) => l1.evictions.bytes,
    oversize: ({ l1 }: StoreReport) => l1.evictions.oversize,
    evictedAbsent: ({ l1 }: StoreReport) => l1.evictions.negatives,
    expirations: ({ l1 }: StoreReport) => l1.expirations,
    invalidations: ({ l1 }: StoreReport) => l1.invalidations,
    l1Timed: ({ l1 }: StoreReport) => l1.latency.count,
    readsTimed: ({ l2 }: StoreReport) => l2.readLatency.count,
    writesTimed: ({ l2 }: StoreReport) => l2.writeLatency.count,
    loadsTimed: ({ loader }: StoreReport) => loader.latency.count,
    // Times spent, ms: made of a rounded mean, so they may seem to go back a little.
    l1Ms: ({ l1 }: StoreReport) => l1.latency.count * l1.latency.meanMs,
    readMs: ({ l2 }: StoreReport) => l2.readLatency.count * l2.readLatency.meanMs,
    writeMs: ({ l2 }: StoreReport) => l2.writeLatency.count * l2.writeLatency.meanMs,
    loadMs: ({ loader }: StoreReport) => loader.latency.count * loader.latency.meanMs,
  }
  const NAMES = Object.keys(COUNTED) as Counted[]

  interface Baseline {
    uptimeMs: number
    seenMs: number
    /** By name and backend, in the order in which the stores were opened. */
    groups: Map<string, Numbers[]>
  }

  const baselines = new Map<string, Baseline>()
  const stores = new Map<string, StoreHistory>()
  let firstReportMs: number | undefined
  let lastReportMs: number | undefined

  /** Takes a report that came `atMs` on the page's monotonic clock; gives the stores in the order of their names. */
  function add(processes: readonly ProcessReport[], atMs: number): StoreHistory[] {
    for (const history of stores.values()) history.members = []
    for (const process of processes) if ("id" in process) addProcess(process, atMs)
    for (const history of stores.values()) {
      const rates = history.members.flatMap((member) => member.rates ?? [])
      history.points.push({ atMs, rates: rates.length === 0 ? undefined : sum(rates) })
      while ((history.points[0]?.atMs ?? atMs) < atMs - WINDOW_MS) history.points.shift()
      if (history.lastSeenMs < atMs - WINDOW_MS) stores.delete(history.name)
    }
    for (const [id, { seenMs }] of baselines) if (seenMs < atMs - WINDOW_MS) baselines.delete(id)
    firstReportMs ??= atMs
    lastReportMs = atMs
    return [...stores.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  function addProcess(process: AnsweringProcess, atMs: number): void {
    const before = baselines.get(process.id)
    // A process that started since the last report has counted from zero, whether or not it was seen before.
    const isNew = before === undefined && lastReportMs !== undefined && process.uptimeMs < atMs - lastReportMs
    const known = before ?? (isNew ? { uptimeMs: 0, groups: new Map<string, Numbers[]>() } : undefined)
    const seconds = known === undefined ? 0 : (process.uptimeMs - known.uptimeMs) / 1_000
    const groups = new Map<string, Numbers[]>()
    const sizes = new Map<string, number>()
    for (const store of process.stores) sizes.set(groupOf(store), (sizes.get(groupOf(store)) ?? 0) + 1)

    for (const store of process.stores) {
      const group = groups.get(groupOf(store)) ?? []
      groups.set(groupOf(store), group)
      const earlier = known?.groups.get(groupOf(store)) ?? []
      const now = numbersOf(store)
      // With one of several of the same name closed, nobody knows which is which: wait for the next report.
      const comparable = seconds > 0 && earlier.length <= (sizes.get(groupOf(store)) ?? 0)
      const rates = comparable ? divide(increase(earlier[group.length], now), seconds) : undefined
      group.push(now)
      historyOf(store.name, atMs).members.push({ process, store, rates })
    }
    baselines.set(process.id, { uptimeMs: process.uptimeMs, seenMs: atMs, groups })
  }

  function historyOf(name: string, atMs: number): StoreHistory {
    const history = stores.get(name) ?? { name, members: [], lastSeenMs: atMs, points: [] }
    stores.set(name, history)
    history.lastSeenMs = atMs
    return history
  }

  function groupOf({ name, backend }: StoreReport): string {
    return JSON.stringify([name, backend.kind, backend.target])
  }

  function numbersOf(store: StoreReport): Numbers {
    return each((name) => COUNTED[name](store))
  }

  /** What was counted since. A counter that went down is that of a store opened anew: it has counted from zero. */
  function increase(before: Numbers | undefined, now: Numbers): Numbers {
    if (before === undefined) return now
    const anew = NAMES.some((name) => !name.endsWith("Ms") && now[name] < before[name])
    return anew ? now : each((name) => Math.max(0, now[name] - before[name]))
  }

  function sum(all: readonly Numbers[]): Numbers {
    return each((name) => all.reduce((total, numbers) => total + numbers[name], 0))
  }

  function divide(numbers: Numbers, by: number): Numbers {
    return each((name) => numbers[name] / by)
  }

  function each(number: (name: Counted) => number): Numbers {
    return Object.fromEntries(NAMES.map((name) => [name, number(name)])) as Numbers
  }

  /** A second, on the average of the last points that have rates. */
  function recent({ points }: StoreHistory): Numbers | undefined {
    const from = (points.at(-1)?.atMs ?? 0) - RECENT_MS
    const rates = points.filter(({ atMs }) => atMs > from).flatMap((point) => point.rates ?? [])
    return rates.length === 0 ? undefined : divide(sum(rates), rates.length)
  }

  /** What all members counted since each was opened. */
  function totals({ members }: Pick<StoreHistory, "members">): Numbers {
    return sum(members.map(({ store }) => numbersOf(store)))
  }

  /** How far the charts go back at the moment, ms. */
  function spanMs(): number {
    const age = (lastReportMs ?? 0) - (firstReportMs ?? 0)
    return SPANS_MS.find((span) => span >= age) ?? WINDOW_MS
  }

  return { add, recent, totals, spanMs, RECENT_MS }
}

export type Histories = ReturnType<typeof histories>
