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

const LATENCY = { count: 0, meanMs: 0, p50Ms: 0, p90Ms: 0, p99Ms: 0, maxMs: 0 }

/**
 * All that is reported of a store: what is not named here leaves the process in no report. The state of a circuit breaker and of a
 * bus belong here as soon as a store's statistics carry them.
 */
const STORE = {
  name: "",
  backend: { kind: "", target: "" },
  l1: {
    hits: 0,
    negativeHits: 0,
    misses: 0,
    bypasses: 0,
    fills: 0,
    refusedFills: 0,
    evictions: { entries: 0, bytes: 0, oversize: 0, negatives: 0 },
    expirations: 0,
    invalidations: 0,
    entries: 0,
    negatives: 0,
    maxEntries: 0,
    bytes: 0,
    maxBytes: 0,
    latency: LATENCY,
  },
  l2: {
    hits: 0,
    misses: 0,
    readErrors: 0,
    coalesced: 0,
    writes: 0,
    refused: 0,
    writeErrors: 0,
    bytesRead: 0,
    bytesWritten: 0,
    readLatency: LATENCY,
    writeLatency: LATENCY,
  },
  loader: { loads: 0, hits: 0, misses: 0, errors: 0, coalesced: 0, refreshes: 0, latency: LATENCY },
  inFlight: 0,
  quarantined: 0,
}
const PROCESS = { id: "", name: "", uptimeMs: 0 }

/** A store as the report has it; every number is finite and at least 0. */
export type StoreReport = typeof STORE

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
  return stores.every((store) => conforms(store, STORE))
}

/** Whether `value` has what `shape` has, of the same types, down to the last number. Of a list it says only that it is one. */
function conforms<Shape>(value: unknown, shape: Shape): value is Shape {
  if (typeof shape === "number") return typeof value === "number" && Number.isFinite(value) && value >= 0
  if (typeof shape !== "object" || shape === null) return typeof value === typeof shape
  if (Array.isArray(shape)) return Array.isArray(value)
  if (typeof value !== "object" || value === null) return false
  const properties = new Map<string, unknown>(Object.entries(value))
  return Object.entries(shape).every(([name, part]) => conforms(properties.get(name), part))
}

/** The user and password of a URL, should a target or the like have one. */
const CREDENTIALS = /\/\/[^/@\s"\\]*@/g

const NAMES = [...namesIn(STORE), ...namesIn(PROCESS), "version", "processes", "stores", "url", "failure"]

function namesIn(shape: object): string[] {
  return Object.entries(shape).flatMap(([name, part]) => [
    name,
    ...(typeof part === "object" && part !== null ? namesIn(part) : []),
  ])
}
