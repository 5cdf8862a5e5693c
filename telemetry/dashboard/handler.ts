import { KvError } from "../../tiers/errors.ts"
import { type Runtime, systemRuntime } from "../../tiers/runtime.ts"
import { admitLoopback, type Peer, TokenGate } from "./access.ts"
import { ownReport } from "./own-report.ts"
import { askProcesses, type OtherProcess } from "./processes.ts"
import { recorderOf } from "./recorder.ts"
import { type ProcessReport, REPORT_VERSION, STEPS, serializeReport } from "./report.ts"
import { notFound, page, redirect, refusal, report, wrongMethod } from "./responses.ts"

export { nodeListener } from "./node.ts"
export type { DashboardReport } from "./report.ts"

export interface DashboardOptions {
  /**
   * Token that every request has to carry: as `Authorization: Bearer …`, or once as `?token=…`, which is exchanged for a
   * cookie. At least 16 visible ASCII characters. Without a token only requests over loopback are answered.
   */
  token?: string
  /** Other processes to show beside this one, by the URLs of their handlers. @default [] */
  processes?: readonly (string | OtherProcess)[]
  /** Whether to show the stores of this process. @default true */
  own?: boolean
  /** Name of this process on the page. @default its host's name and its process id */
  name?: string
  /** Time that another process may take to answer, ms; a whole number of at least 1. @default 2_000 */
  timeoutMs?: number
  /** Timers, for tests. @default the system's */
  runtime?: Runtime
}

/**
 * Answers GET and HEAD: the page at the path where it is mounted, and its numbers in `stats.json` beside it. Without a
 * token it needs `peer`, and answers only requests over loopback.
 */
export type DashboardHandler = (request: Request, peer?: Peer) => Promise<Response>

/**
 * A live page of the stores that are open in this process and in others. It shows counters, latencies and sizes, and
 * neither keys nor values. It can be mounted under any path. From the first call on, the process keeps 15 minutes of
 * history, about 100 kB a store.
 *
 * @throws {KvError} `INVALID_OPTION`
 */
export function dashboard(options: DashboardOptions = {}): DashboardHandler {
  const { token, processes, own, name, timeoutMs, runtime } = checked(options)
  const gate = token === undefined ? undefined : new TokenGate(token)
  const recorder = own ? recorderOf(runtime) : undefined
  const asking = new Map<number, Promise<ProcessReport[]>>()

  /**
   * Requests that arrive while the processes are being asked share the answers, so that ten open pages cost the other
   * processes as much as one.
   */
  const askOthers = (steps: number) => {
    const underWay = asking.get(steps)
    if (underWay !== undefined) return underWay
    const asked = askProcesses(processes, steps, timeoutMs, runtime).finally(() => asking.delete(steps))
    asking.set(steps, asked)
    return asked
  }

  const reports = async (ownOnly: boolean, steps: number): Promise<ProcessReport[]> => {
    const others = ownOnly ? [] : await askOthers(steps)
    return distinct(recorder === undefined ? others : [ownReport(recorder, steps, name), ...others])
  }

  const answer = async (request: Request, peer?: Peer): Promise<Response> => {
    if (request.method !== "GET" && request.method !== "HEAD") return wrongMethod()
    const url = new URL(request.url)
    const admission = gate?.admit(request, url) ?? admitLoopback(request, url, peer)
    const file = url.pathname.slice(url.pathname.lastIndexOf("/") + 1)
    if (!admission.admitted) {
      if ("cookie" in admission) return redirect(`./${file}`, admission.cookie)
      return refusal(admission.status, admission.reason)
    }
    if (file === "") return page()
    if (file === "stats.json") {
      const ownOnly = url.searchParams.get("scope") === "process"
      const steps = stepsOf(url.searchParams.get("steps"))
      return report(serializeReport({ version: REPORT_VERSION, processes: await reports(ownOnly, steps) }))
    }
    // The page fetches its numbers by a relative address, so its own address has to end in a slash.
    return file.includes(".") ? notFound() : redirect(`./${file}/`)
  }

  return async (request, peer) => {
    const response = await answer(request, peer)
    return request.method === "HEAD" ? new Response(null, response) : response
  }
}

/** How many points of its history a request asks of each process; none unless it says so. */
function stepsOf(text: string | null): number {
  const steps = Number(text ?? 0)
  return Number.isSafeInteger(steps) && steps > 0 ? Math.min(steps, STEPS) : 0
}

/** Each process once, even if several addresses lead to it. */
function distinct(reports: readonly ProcessReport[]): ProcessReport[] {
  const seen = new Set<string>()
  return reports.filter((one) => !("id" in one) || (!seen.has(one.id) && seen.add(one.id)))
}

const OPTION_NAMES = ["token", "processes", "own", "name", "timeoutMs", "runtime"]

function checked(options: DashboardOptions) {
  for (const option of Object.keys(options)) {
    if (!OPTION_NAMES.includes(option)) {
      throw invalid(`There is no option ${option} of dashboard; there are ${OPTION_NAMES.join(", ")}`)
    }
  }
  const { token, processes = [], own = true, name, timeoutMs = 2_000, runtime = systemRuntime } = options
  if (token !== undefined && !/^[!-~]{16,}$/.test(token)) {
    throw invalid("token has at least 16 visible ASCII characters; `openssl rand -hex 16` gives one")
  }
  if (!Number.isSafeInteger(timeoutMs) || timeoutMs < 1) {
    throw invalid("timeoutMs is a whole number of at least 1")
  }
  return { token, processes: processes.map(checkedProcess), own, name, timeoutMs, runtime }
}

function checkedProcess(process: string | OtherProcess): OtherProcess {
  const other = typeof process === "string" ? { url: process } : process
  const url = URL.canParse(other.url) ? new URL(other.url) : undefined
  if (url?.protocol === "http:" || url?.protocol === "https:") return other
  throw invalid("processes are named by http or https URLs, http://127.0.0.1:3000/kv/ for one")
}

function invalid(message: string): KvError {
  return new KvError("INVALID_OPTION", message, { operation: "dashboard" })
}
