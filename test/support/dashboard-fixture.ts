import { once } from "node:events"
import { createServer, type RequestListener } from "node:http"
import { onTestFinished } from "vitest"
import type { Kv } from "../../src/api.ts"
import { kv } from "../../src/kv.ts"
import { durationsOf, newCounters, snapshot } from "../../src/stats.ts"
import {
  type DashboardHandler,
  type DashboardOptions,
  dashboard,
  nodeListener,
} from "../../telemetry/dashboard/handler.ts"
import {
  type AnsweringProcess,
  REPORT_VERSION,
  type SilentProcess,
  type StoreReport,
} from "../../telemetry/dashboard/report.ts"
import { StoreRecord } from "../../telemetry/dashboard/store-record.ts"
import { L1 } from "../../tiers/l1/l1.ts"
import { memory } from "../../tiers/memory.ts"
import { listenOnLoopback } from "../servers/server.ts"
import { testRuntime } from "./runtime.ts"

export const TOKEN = "0123456789abcdef"

/** The peer of a request over loopback. */
export const LOCAL = { remoteAddress: "127.0.0.1" }

/** A store that ends with the test, in memory by default. */
export async function openStore(...[name, options]: Parameters<typeof kv>): Promise<Kv> {
  const store = await kv(name, { backend: "memory:", ...options })
  onTestFinished(() => store.close())
  return store
}

/** The answer of a dashboard with these options. */
export function get(
  path: string,
  options: DashboardOptions = {},
  headers: Record<string, string> = {},
  peer = LOCAL,
): Promise<Response> {
  return dashboard(options)(new Request(`http://localhost${path}`, { headers }), peer)
}

/** A process that answered or one that did not, whichever the test expects. */
type Reported = Partial<AnsweringProcess & SilentProcess>

export async function reportOf(
  options: DashboardOptions,
): Promise<{ version: number; processes: Reported[] }> {
  return JSON.parse(await (await get("/stats.json", options)).text())
}

/** The report of a store without any request. */
export function storeReport(name: string): StoreReport {
  const l1 = new L1(
    { maxEntries: 100, maxBytes: 10_000, ttlMs: 1_000, negativeTtlMs: 0, jitter: 0 },
    testRuntime(),
  )
  const counters = newCounters()
  const stats = () => snapshot(name, memory(), l1, counters, { inFlight: 0, quarantined: 0 })
  return StoreRecord.ofNew({ stats, durations: () => durationsOf(counters) }, 0).report(0, 0)
}

/** A process as a report has it. */
export function processOf(id: string, uptimeMs: number, ...stores: StoreReport[]): AnsweringProcess {
  return { id, name: id, uptimeMs, at: 0, step: 0, stores }
}

/** The report of a store that had so many L1 hits in each of its last steps, and their sum in the last minute. */
export function withHits(hits: readonly number[], name = "cache", of = 1): StoreReport {
  const store = storeReport(name)
  const all = hits.reduce((sum, each) => sum + each, 0)
  return {
    ...store,
    l1: { ...store.l1, hits: all },
    recent: { ...store.recent, ms: 60_000, counts: { "l1.hits": all } },
    points: { of, steps: hits.length, values: { "l1.hits": [...hits] } },
  }
}

/** A server on loopback that ends with the test; gives its address. */
export async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener)
  const port = await listenOnLoopback(server)
  onTestFinished(async () => {
    const closed = once(server, "close")
    server.close()
    server.closeAllConnections()
    await closed
  })
  return `http://127.0.0.1:${port}/`
}

export function serveDashboard(handler: DashboardHandler): Promise<string> {
  return serve(nodeListener(handler))
}

/** Another process: a server that answers with a report that the test may change. */
export async function otherProcess(id: string, ...stores: StoreReport[]) {
  const process: AnsweringProcess = processOf(id, 60_000, ...stores)
  const requests: { url: string | undefined; authorization: string | undefined }[] = []
  const url = await serve((incoming, outgoing) => {
    requests.push({ url: incoming.url, authorization: incoming.headers.authorization })
    outgoing.end(JSON.stringify({ version: REPORT_VERSION, processes: [process] }))
  })
  return { url, process, requests }
}
