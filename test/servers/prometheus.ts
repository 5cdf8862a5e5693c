import { execFile } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { freePort, startProcess, type TestServer } from "./server.ts"

/** One series of an instant query's answer. */
interface Sample {
  labels: Readonly<Record<string, string>>
  value: number
}

/** A rule as Prometheus loaded it. */
interface LoadedRule {
  name: string
  query: string
  type: "alerting" | "recording"
  /** `ok`, `err`, or `unknown` before its first evaluation. */
  health: string
  /** What went wrong in its last evaluation. */
  lastError?: string
  /** `for`, s. */
  duration?: number
  labels?: Readonly<Record<string, string>>
  annotations?: Readonly<Record<string, string>>
}

/** An alert that is pending or firing, its texts filled in. */
interface ActiveAlert {
  state: "pending" | "firing"
  labels: Readonly<Record<string, string>>
  annotations: Readonly<Record<string, string>>
}

/** A real Prometheus, with a folder of its own, that scrapes every second and is asked over its HTTP API. */
export interface PrometheusServer extends TestServer {
  /** Scrapes `/metrics` of these loopback ports from now on, each under the name of its job. */
  scrape(ports: Readonly<Record<string, number>>): void
  /** Resolves once each of these jobs was scraped by a scrape that began after this call. */
  scraped(...jobs: readonly string[]): Promise<void>
  /** Runs an expression now; rejects with what Prometheus says of one that it cannot parse or run. */
  query(expression: string): Promise<Sample[]>
  /** The names of the metrics that a job exports. */
  metricNames(job: string): Promise<string[]>
  rules(): Promise<LoadedRule[]>
  alerts(): Promise<ActiveAlert[]>
}

const PROMTOOL = "promtool"
const REMEDY = "install Prometheus with promtool, version 2.42 or later (`apt-get install prometheus`)"

/** @param rules paths of rule files that it evaluates every second */
export async function startPrometheus(rules: readonly string[] = []): Promise<PrometheusServer> {
  const folder = mkdtempSync(join(tmpdir(), "tiered-kv-prometheus-"))
  const targets = join(folder, "targets.json")
  const configuration = join(folder, "prometheus.yml")
  writeFileSync(targets, "[]")
  // JSON is YAML.
  writeFileSync(
    configuration,
    JSON.stringify({
      global: { scrape_interval: "1s", scrape_timeout: "1s", evaluation_interval: "1s" },
      rule_files: rules,
      scrape_configs: [
        { job_name: "files", file_sd_configs: [{ files: [targets], refresh_interval: "1s" }] },
      ],
    }),
  )

  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const server = await startProcess(
    "prometheus",
    [
      `--config.file=${configuration}`,
      `--storage.tsdb.path=${join(folder, "data")}`,
      `--web.listen-address=127.0.0.1:${port}`,
      "--log.level=warn",
    ],
    { ready: async () => (await fetch(`${url}/-/ready`)).ok, cwd: folder, remedy: REMEDY },
  )

  const query = async (expression: string) => {
    const { result } = await ask<{ result: VectorElement[] }>(`${url}/api/v1/query`, { query: expression })
    return result.map(({ metric, value: [, value] }) => ({ labels: metric, value: Number(value) }))
  }
  return {
    name: "Prometheus",
    version: (await ask<{ version: string }>(`${url}/api/v1/status/buildinfo`)).version,
    port,
    url,
    query,
    scrape(ports) {
      const groups = Object.entries(ports).map(([job, target]) => ({
        targets: [`127.0.0.1:${target}`],
        labels: { job },
      }))
      writeFileSync(targets, JSON.stringify(groups))
    },
    async scraped(...jobs) {
      const since = Date.now() / 1_000
      const deadline = performance.now() + 20_000
      const up = `up{job=~"${jobs.join("|")}"}`
      const fresh = `timestamp(${up}) > ${since} and ${up} == 1`
      while ((await query(fresh)).length < jobs.length) {
        if (performance.now() > deadline) throw new Error(`not scraped in time: ${await whyNot(url)}`)
        await sleep(100)
      }
    },
    metricNames: (job) =>
      ask<string[]>(`${url}/api/v1/label/__name__/values`, { "match[]": `{job="${job}"}` }),
    async rules() {
      const { groups } = await ask<{ groups: { rules: LoadedRule[] }[] }>(`${url}/api/v1/rules`)
      return groups.flatMap((group) => group.rules)
    },
    alerts: async () => (await ask<{ alerts: ActiveAlert[] }>(`${url}/api/v1/alerts`)).alerts,
    async stop() {
      await server.stop()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** Runs promtool; resolves with what it printed, and rejects with it if promtool finds a fault. */
export function promtool(...parameters: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(PROMTOOL, parameters, (error, stdout, stderr) => {
      const printed = stdout + stderr
      if (error === null) resolve(printed)
      else reject(new Error(`promtool ${parameters.join(" ")}:\n${printed}`, { cause: error }))
    })
  })
}

interface VectorElement {
  metric: Record<string, string>
  value: [time: number, value: string]
}

interface Answer<T> {
  status: "success" | "error"
  data: T
  error?: string
}

async function ask<T>(url: string, parameters: Record<string, string> = {}): Promise<T> {
  const response = await fetch(`${url}?${new URLSearchParams(parameters)}`)
  const answer: Answer<T> = JSON.parse(await response.text())
  if (answer.status === "error") throw new Error(`${answer.error}: ${JSON.stringify(parameters)}`)
  return answer.data
}

async function whyNot(url: string): Promise<string> {
  const { activeTargets } = await ask<{ activeTargets: { scrapeUrl: string; lastError: string }[] }>(
    `${url}/api/v1/targets`,
  )
  return activeTargets.map(({ scrapeUrl, lastError }) => `${scrapeUrl} ${lastError || "in order"}`).join(", ")
}
