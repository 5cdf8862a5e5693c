import type { Runtime } from "../../tiers/runtime.ts"
import { type AnsweringProcess, type ProcessReport, parseReport } from "./report.ts"

/** Another process that serves a dashboard. */
export interface OtherProcess {
  /** Where its handler is mounted: `http://10.0.0.7:3000/kv/`. */
  readonly url: string
  /** The token of its handler, if it asks for one. */
  readonly token?: string
}

/** A report takes about 3 kB for each store, and up to 15 kB more with its history. */
const MAX_REPORT_BYTES = 4 * 1024 * 1024

/** The reports of other processes on their own stores, with their last `steps` points; a process without an answer within `timeoutMs` is reported with the reason. */
export async function askProcesses(
  processes: readonly OtherProcess[],
  steps: number,
  timeoutMs: number,
  runtime: Runtime,
): Promise<ProcessReport[]> {
  const answers = await Promise.all(processes.map((other) => ask(other, steps, timeoutMs, runtime)))
  return answers.flat()
}

async function ask(
  other: OtherProcess,
  steps: number,
  timeoutMs: number,
  runtime: Runtime,
): Promise<ProcessReport[]> {
  const url = shownUrl(other.url)
  const controller = new AbortController()
  const timer = runtime.setTimer(() => controller.abort(), timeoutMs)
  try {
    const found = await fetchReport(other, steps, controller.signal)
    return found.map((one) => ({ ...one, url }))
  } catch (error) {
    const failure = controller.signal.aborted ? `It did not answer within ${timeoutMs} ms` : describe(error)
    return [{ url, failure }]
  } finally {
    timer.cancel()
  }
}

/** Its message is the reason why the report of another process could not be read. */
class UnreadableReport extends Error {}

async function fetchReport(
  { url, token }: OtherProcess,
  steps: number,
  signal: AbortSignal,
): Promise<AnsweringProcess[]> {
  // Only its own stores: two processes that show each other would otherwise ask each other without end.
  const address = new URL(`stats.json?scope=process&steps=${steps}`, folderOf(url))
  const response = await fetch(address, {
    headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
    // Following a redirect would send the token to another server.
    redirect: "manual",
    signal,
  })
  const text = await readText(response)
  if (response.status !== 200) throw new UnreadableReport(describeStatus(response.status))
  const processes = parseReport(text)
  if (processes === undefined) {
    throw new UnreadableReport("Its answer is not a report of this version of the dashboard")
  }
  return processes
}

async function readText({ body }: Response): Promise<string> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of body ?? []) {
    length += chunk.byteLength
    if (length > MAX_REPORT_BYTES) throw new UnreadableReport("Its answer is too long for a report")
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString("utf8")
}

function describeStatus(status: number): string {
  if (status === 401) return "It requires a token, or another one (401)"
  if (status === 403) return "It answers only its own machine, or requests with its token (403)"
  if (status === 404) return "There is no dashboard at this address (404)"
  if (status >= 300 && status < 400) {
    return `It redirects (${status}): give the address that it redirects to`
  }
  return `It answered with the status ${status}`
}

const FAILURES: Readonly<Record<string, string>> = {
  ECONNREFUSED: "Nothing listens there",
  ECONNRESET: "It closed the connection",
  ENOTFOUND: "There is no host of this name",
  EAI_AGAIN: "The name of the host cannot be looked up at the moment",
  EHOSTUNREACH: "There is no route to this host",
  ENETUNREACH: "There is no route to its network",
  ETIMEDOUT: "The connection timed out",
}

function describe(error: unknown): string {
  if (error instanceof UnreadableReport) return error.message
  const code = codeOf(error) ?? codeOf(error instanceof Error ? error.cause : undefined)
  if (code === undefined) return "The request to it failed"
  return `${FAILURES[code] ?? "The request to it failed"} (${code})`
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
