import { keysOf, LATENCY, pathsOf, record, type StoreStats, valueAt } from "../../src/counters.ts"

/** The content of `stats.json`, which the live page shows: counters and sizes, no key and no value. */
export interface DashboardReport {
  /** Version of this shape. It is raised when readers of the previous version cannot read the new one. */
  version: typeof REPORT_VERSION
  processes: ProcessReport[]
}

export type ProcessReport = AnsweringProcess | SilentProcess

/** A process that answered. */
export interface AnsweringProcess {
  /** New whenever the process starts. */
  id: string
  name: string
  /** Since the process started, on its monotonic clock. */
  uptimeMs: number
  /** Its wall clock, Unix ms. */
  at: number
  /** Steps of {@link STEP_MS} since it began to record: the number of the last of the {@link Points} that its stores have. */
  step: number
  /** The URL at which it was asked; absent for the process that serves the page. */
  url?: string
  stores: StoreReport[]
}

/** A process that was asked and sent no report. */
export interface SilentProcess {
  url: string
  /** The reason, as a sentence without a full stop. */
  failure: string
}

export const REPORT_VERSION = 2

/** Time between two points of the history that a process keeps, ms. */
export const STEP_MS = 5_000
/** Points that a process keeps: 15 minutes. */
export const STEPS = 180

export const COUNTS = pathsOf("counter")
export const LATENCIES = pathsOf("latency")
/** Durations of a store: those of each of its latencies, and those of all reads, whichever tier answered. */
export const TIMES = ["reads", ...LATENCIES] as const

type TimePath = (typeof TIMES)[number]
export type Times = Record<TimePath, { count: number; p50Ms: number; p99Ms: number }>

/** What a store did in the last minute, or since it was opened. */
export interface Recent {
  ms: number
  /** The increases of the counters; those without any are left out. */
  counts: Partial<Record<(typeof COUNTS)[number], number>>
  times: Times
}

/** The latest points of the history of a store. */
export interface Points {
  /** Tells the history from those of other stores of the process, of the same name too. */
  of: number
  steps: number
  /** The increases of counters in each step, and percentiles of durations; series of zeros are left out. The latest is last. */
  values: Partial<Record<PointName, number[]>>
}

export type PointName = (typeof COUNTS)[number] | `${TimePath}.${"p50Ms" | "p99Ms"}`

/**
 * The fields of `stats()` that are not reported: the hit ratio of several stores is computed from sums, and the shortest
 * time is not shown.
 */
const LOCAL = ["hitRatio", "minMs"] as const

type Reported<Stats> = {
  [Name in Exclude<keyof Stats, (typeof LOCAL)[number]>]: Stats[Name] extends readonly unknown[]
    ? Stats[Name]
    : Stats[Name] extends object
      ? Reported<Stats[Name]>
      : Stats[Name]
}

/** A store as the report has it; every number is finite and at least 0. */
export interface StoreReport extends Reported<StoreStats> {
  recent: Recent
  points: Points
}

const reported = (paths: readonly string[]) =>
  paths.filter((path) => !LOCAL.some((name) => path.endsWith(`.${name}`)))

/** The fields of a store in a report. A report contains only these and {@link PROCESS}. */
const TEXTS = reported(pathsOf("text"))
const NUMBERS = reported([
  ...pathsOf("counter"),
  ...pathsOf("level"),
  ...pathsOf("latency").flatMap((path) => keysOf(LATENCY).map((name) => `${path}.${name}`)),
])

const LISTS = reported(pathsOf("errors"))
const ERROR = { operation: "", tier: "", type: "", count: 0, sinceAt: 0, lastAt: 0 }

const PROCESS = { id: "", name: "", uptimeMs: 0, at: 0, step: 0 }
const TIMES_SHAPE = record(TIMES, () => ({ count: 0, p50Ms: 0, p99Ms: 0 }))

/** The report as JSON that no HTML parser takes for markup. It contains only the named properties. */
export function serializeReport(report: DashboardReport): string {
  return JSON.stringify(report, NAMES)
    .replaceAll(CREDENTIALS, "//")
    .replaceAll("<", "\\u003c")
    .replaceAll("\u2028", "\\u2028")
    .replaceAll("\u2029", "\\u2029")
}

/** The processes of another handler's answer; `undefined` if it is no report of this version. */
export function parseReport(text: string): AnsweringProcess[] | undefined {
  let report: unknown
  try {
    report = JSON.parse(text)
  } catch {
    return undefined
  }
  const shape = { version: REPORT_VERSION, processes: [] }
  if (!conforms(report, shape) || report.version !== REPORT_VERSION) return undefined
  const processes: readonly unknown[] = report.processes
  return processes.every(isProcess) ? [...processes] : undefined
}

function isProcess(value: unknown): value is AnsweringProcess {
  if (!conforms(value, { ...PROCESS, stores: [] })) return false
  const stores: readonly unknown[] = value.stores
  return stores.every(isStore)
}

function isStore(store: unknown): store is StoreReport {
  return (
    TEXTS.every((path) => typeof valueAt(store, path) === "string") &&
    NUMBERS.every((path) => isNumber(valueAt(store, path))) &&
    LISTS.every((path) => isListOf(valueAt(store, path), ERROR)) &&
    isNumber(valueAt(store, "recent.ms")) &&
    isRecordOf(valueAt(store, "recent.counts"), isNumber) &&
    conforms(valueAt(store, "recent.times"), TIMES_SHAPE) &&
    isNumber(valueAt(store, "points.of")) &&
    isNumber(valueAt(store, "points.steps")) &&
    isRecordOf(valueAt(store, "points.values"), (one) => Array.isArray(one) && one.every(isNumber))
  )
}

function isRecordOf(value: unknown, isItem: (item: unknown) => boolean): boolean {
  return typeof value === "object" && value !== null && Object.values(value).every(isItem)
}

function isListOf(value: unknown, item: object): boolean {
  return Array.isArray(value) && value.every((one) => conforms(one, item))
}

function isNumber(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value) && value >= 0
}

/** Whether `value` has all fields of `shape`, with the same types, at every depth. The items of a list are not checked. */
function conforms<Shape>(value: unknown, shape: Shape): value is Shape {
  if (typeof shape === "number") return isNumber(value)
  if (typeof shape !== "object" || shape === null) return typeof value === typeof shape
  if (Array.isArray(shape)) return Array.isArray(value)
  if (typeof value !== "object" || value === null) return false
  const properties = new Map<string, unknown>(Object.entries(value))
  return Object.entries(shape).every(([name, part]) => conforms(properties.get(name), part))
}

/** User and password in a URL, which a target may contain. */
const CREDENTIALS = /\/\/[^/@\s"\\]*@/g

const NAMES = [
  ...["recent", "ms", "counts", "times", "points", "of", "steps", "values"],
  ...COUNTS,
  ...TIMES.flatMap((path) => [path, `${path}.p50Ms`, `${path}.p99Ms`]),
  ...[...TEXTS, ...NUMBERS, ...LISTS].flatMap((path) => path.split(".")),
  ...["count", "p50Ms", "p99Ms"],
  ...Object.keys(ERROR),
  ...Object.keys(PROCESS),
  "version",
  "processes",
  "stores",
  "url",
  "failure",
]
