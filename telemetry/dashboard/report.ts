import { keysOf, LATENCY, pathsOf, type StoreStats, valueAt } from "../../src/counters.ts"

/** What the live page is told, as `stats.json` has it: counters and sizes, no key and no value. */
export interface DashboardReport {
  /** Of this shape. Raised when a reader of the one before could not read it. */
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
  /** Where it was asked; absent for the process that serves the page. */
  url?: string
  stores: StoreReport[]
}

/** A process that was asked and told nothing. */
export interface SilentProcess {
  url: string
  /** Why, as a sentence without its stop. */
  failure: string
}

export const REPORT_VERSION = 1

/** What is not reported of `stats()`: a hit ratio over several stores is made of sums, and no shortest time is shown. */
const LOCAL = ["hitRatio", "minMs"] as const

type Reported<Stats> = {
  [Name in Exclude<keyof Stats, (typeof LOCAL)[number]>]: Stats[Name] extends object
    ? Reported<Stats[Name]>
    : Stats[Name]
}

/** A store as the report has it; every number is finite and at least 0. */
export type StoreReport = Reported<StoreStats>

const reported = (paths: readonly string[]) =>
  paths.filter((path) => !LOCAL.some((name) => path.endsWith(`.${name}`)))

/** What a store has in a report: nothing but this and {@link PROCESS} leaves the process in one. */
const TEXTS = reported(pathsOf("text"))
const NUMBERS = reported([
  ...pathsOf("counter"),
  ...pathsOf("level"),
  ...pathsOf("latency").flatMap((path) => keysOf(LATENCY).map((name) => `${path}.${name}`)),
])

const PROCESS = { id: "", name: "", uptimeMs: 0 }

/** As JSON that no HTML parser takes for markup, and that holds the named properties alone. */
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
    NUMBERS.every((path) => isNumber(valueAt(store, path)))
  )
}

function isNumber(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value) && value >= 0
}

/** Whether `value` has what `shape` has, of the same types, down to the last number. Of a list it says only that it is one. */
function conforms<Shape>(value: unknown, shape: Shape): value is Shape {
  if (typeof shape === "number") return isNumber(value)
  if (typeof shape !== "object" || shape === null) return typeof value === typeof shape
  if (Array.isArray(shape)) return Array.isArray(value)
  if (typeof value !== "object" || value === null) return false
  const properties = new Map<string, unknown>(Object.entries(value))
  return Object.entries(shape).every(([name, part]) => conforms(properties.get(name), part))
}

/** The user and password of a URL, should a target or the like have one. */
const CREDENTIALS = /\/\/[^/@\s"\\]*@/g

const NAMES = [
  ...[...TEXTS, ...NUMBERS].flatMap((path) => path.split(".")),
  ...Object.keys(PROCESS),
  "version",
  "processes",
  "stores",
  "url",
  "failure",
]
