import type { Runtime } from "../../tiers/runtime.ts"
import { type AnsweringProcess, type ProcessReport, parseReport } from "./report.ts"

/** Another process that serves a dashboard. */
export interface OtherProcess {
  /** Where its handler is mounted: `http://10.0.0.7:3000/kv/`. */
  readonly url: string
  /** The token of its handler, if it asks for one. */
  readonly token?: string
}

/** A report has some 2 kB a store. */
const MAX_REPORT_BYTES = 4 * 1024 * 1024

/** What each of the processes says of its own stores; one that says nothing within `timeoutMs` is reported with the reason. */
export async function askProcesses(
  processes: readonly OtherProcess[],
  timeoutMs: number,
  runtime: Runtime,
): Promise<ProcessReport[]> {
  const answers = await Promise.all(processes.map((other) => ask(other, timeoutMs, runtime)))
  return answers.flat()
}

async function ask(other: OtherProcess, timeoutMs: number, runtime: Runtime): Promise<ProcessReport[]> {
  const url = shownUrl(other.url)
  const controller = new AbortController()
  const timer = runtime.setTimer(() => controller.abort(), timeoutMs)
  try {
    const found = await fetchReport(other, controller.signal)
    return found.map((one) => ({ ...one, url }))
  } catch (error) {
    const failure = controller.signal.aborted ? `It gave no answer in ${timeoutMs} ms` : describe(error)
    return [{ url, failure }]
  } finally {
    timer.cancel()
  }
}

/** Why another process's report could not be read. */
class UnreadableReport extends Error {}

async function fetchReport({ url, token }: OtherProcess, signal: AbortSignal): Promise<AnsweringProcess[]> {
  // Its own stores alone: two processes that show each other would otherwise ask without end.
  const address = new URL("stats.json?scope=process", folderOf(url))
  const response = await fetch(address, {
    headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
    // A redirect would carry the token to somebody else.
    redirect: "manual",
    signal,
  })
  const text = await readText(response)
  if (response.status !== 200) throw new UnreadableReport(describeStatus(response.status))
  const processes = parseReport(text)
  if (processes === undefined) {
    throw new UnreadableReport("What it answered is no report of this version of the dashboard")
  }
  return processes
}

async function readText({ body }: Response): Promise<string> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of body ?? []) {
    length += chunk.byteLength
    if (length > MAX_REPORT_BYTES) throw new UnreadableReport("What it answered is too long for a report")
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString("utf8")
}

function describeStatus(status: number): string {
  if (status === 401) return "It asks for another token (401)"
  if (status === 403) return "It answers only its own machine, or those who bring its token (403)"
  if (status === 404) return "There is no dashboard under this address (404)"
  if (status >= 300 && status < 400)
    return `It sends elsewhere (${status}); name the address that it sends to`
  return `It answered with the status ${status}`
}

const FAILURES: Readonly<Record<string, string>> = {
  ECONNREFUSED: "Nothing listens there",
  ECONNRESET: "It broke the connection off",
  ENOTFOUND: "This host name is not known",
  EAI_AGAIN: "This host name cannot be looked up at the moment",
  EHOSTUNREACH: "There is no way to this host",
  ENETUNREACH: "There is no way to its network",
  ETIMEDOUT: "The connection timed out",
}

function describe(error: unknown): string {
  if (error instanceof UnreadableReport) return error.message
  const code = codeOf(error) ?? codeOf(error instanceof Error ? error.cause : undefined)
  if (code === undefined) return "It cannot be asked"
  return `${FAILURES[code] ?? "It cannot be asked"} (${code})`
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined
}

/** The address as the page shows it: without user, password, query and fragment. */
function shownUrl(url: string): string {
  const { origin, pathname } = new URL(url)
  return `${origin}${pathname}`
}

/** The folder that a handler's pages lie in, whether or not the address ends in a slash. */
function folderOf(url: string): string {
  const shown = shownUrl(url)
  return shown.endsWith("/") ? shown : `${shown}/`
}
