import { mkdtempSync, rmSync } from "node:fs"
import { createServer, type Server } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { PrometheusExporter } from "@opentelemetry/exporter-prometheus"
import { MeterProvider } from "@opentelemetry/sdk-metrics"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { dynamodb } from "../../tiers/dynamodb/backend.ts"
import { lmdb } from "../../tiers/lmdb/backend.ts"
import { localTables, startDynamodbLocal } from "../servers/dynamodb.ts"
import { startPrometheus } from "../servers/prometheus.ts"
import { requireServer } from "../servers/require-server.ts"
import { freePort, listenOnLoopback } from "../servers/server.ts"
import { type CountedLoad, type LoadCount, startLoad } from "../support/counted-load.ts"
import { dashboard, expressionOf, expressions, selectorsOf, substitute } from "../support/grafana.ts"
import { asReceivedByOtlp, spellings } from "../support/spellings.ts"

/** Scrapes during the load: a rate needs two that differ. */
const ROUNDS = 3

const prices = Object.fromEntries(
  dashboard.templating.list.flatMap(({ name, type, query }) =>
    type === "textbox" && typeof query === "string" ? [[name, query]] : [],
  ),
)

/** An expression as Grafana would send it, with everything of one job selected. */
const sent = (expression: string, job: string) =>
  substitute(expression, {
    ...prices,
    job,
    instance: ".*",
    cache: ".*",
    __rate_interval: "1m",
    __range: "1h",
  })

/** The same over what was counted since the process began, instead of a rate: Prometheus extrapolates rates. */
const counted = (expression: string, job: string) =>
  sent(expression.replaceAll(/\brate\(([^[]*)\[[^\]]*\]\)/g, "$1"), job)

await requireServer("prometheus", startServers, ({ dynamodbLocal, ...prometheus }) => {
  const folder = mkdtempSync(join(tmpdir(), "tiered-kv-load-"))
  const loads = new Map<string, CountedLoad>()
  let meterProvider: MeterProvider
  let otlp: Server
  let billing: Server

  beforeAll(async () => {
    const port = await freePort()
    const reader = new PrometheusExporter({ host: "127.0.0.1", port, preventServerStart: true })
    await reader.startServer()
    meterProvider = new MeterProvider({ readers: [reader] })
    otlp = exporter(async () =>
      asReceivedByOtlp(await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()),
    )
    billing = exporter(async () => BILL)

    const tables = localTables(dynamodbLocal)
    const table = await tables.create()
    loads.set("wire", await startLoad("wire", dynamodb(tables.client, { table }), meterProvider, 150))
    loads.set("embedded", await startLoad("embedded", lmdb(folder), meterProvider, 5_000))

    prometheus.scrape({
      scraped: port,
      received: await listenOnLoopback(otlp),
      billing: await listenOnLoopback(billing),
    })
    for (let round = 0; round < ROUNDS; round++) {
      await prometheus.scraped("scraped", "received", "billing")
      for (const load of loads.values()) await load.round()
    }
    await prometheus.scraped("scraped", "received", "billing")
  })

  afterAll(async () => {
    for (const load of loads.values()) await load.close()
    await meterProvider.shutdown()
    otlp.close()
    billing.close()
    rmSync(folder, { recursive: true })
  })

  describe.each([
    ["scraped", "from the Prometheus exporter"],
    ["received", "spelled as by OTLP"],
  ])("metrics %s, %s", (job) => {
    test.each(expressions)("the panel $title shows $legend", async ({ expression }) => {
      const samples = await prometheus.query(sent(expression, job))
      expect(samples.filter(({ value }) => Number.isFinite(value))).not.toHaveLength(0)
    })

    test("the start of the process is marked", async () => {
      const [restarts] = dashboard.annotations.list
      const started = await prometheus.query(sent(restarts?.expr ?? "", job))
      expect(started.map(({ labels }) => labels.job)).toEqual([job])
    })

    test("every metric arrives, under a name that the dashboard shows", async () => {
      const names = (await prometheus.metricNames(job)).filter((name) => !ABOUT_THE_SCRAPE.test(name))
      const shown = expressions.flatMap(({ expression }) => selectorsOf(expression).map(({ name }) => name))
      for (const name of names) {
        const asBuckets = name.replace(/(?<=duration.*)_(count|sum)$/, "_bucket")
        expect(
          shown.some((pattern) => pattern.test(name) || pattern.test(asBuckets)),
          name,
        ).toBe(true)
      }
      const expected = spellings.map((names) => (job === "scraped" ? names.scraped : names.received))
      expect(names).toEqual(expect.arrayContaining(expected))
    })

    test("the hit ratios are those that the load counted itself, over all stores and for each", async () => {
      const all = total([...loads.values()].map(({ count }) => count))
      expect(all.coalesced).toBeGreaterThan(0)
      for (const [title, ratioOf] of Object.entries(RATIOS)) {
        const [overall] = await prometheus.query(counted(expressionOf(title), job))
        expect(overall?.value, title).toBeCloseTo(ratioOf(all), 12)
        for (const [name, { count }] of loads) {
          const one = counted(expressionOf(title), job).replaceAll('cache_name=~".*"', `cache_name="${name}"`)
          expect((await prometheus.query(one))[0]?.value, `${title} of ${name}`).toBeCloseTo(
            ratioOf(count),
            12,
          )
        }
      }
    })
  })

  test("the dashboard's cost of a month is what the prices make of the units, and L1 saves what its hits would have cost", async () => {
    const cost = async (legend: string) => {
      const found = expressions.find((one) => one.title.startsWith("Cost") && one.legend.endsWith(legend))
      return (await prometheus.query(counted(found?.expression ?? "", "billing")))[0]?.value
    }
    const MONTH = 30 * 86_400
    expect(await cost("reads")).toBeCloseTo(500 * 0.125e-6 * MONTH)
    expect(await cost("writes and deletes")).toBeCloseTo((40 * 0.625e-6 + 10 * 0.1e-6) * MONTH)
    expect(await cost("saved")).toBeCloseTo((1_000 - 250) * 2 * 0.125e-6 * MONTH)
  })
})

/** Metrics of Prometheus about a target, and of the SDK about itself. */
const ABOUT_THE_SCRAPE = /^(up|scrape_\w+|target_info|otel_\w+)$/

/** A store that reads two units a key. */
const BILL = `
tiered_kv_requests_total{cache_name="bill",cache_tier="l1",cache_result="hit"} 750
tiered_kv_requests_total{cache_name="bill",cache_tier="l1",cache_result="miss"} 250
tiered_kv_requests_total{cache_name="bill",cache_tier="l2",cache_result="hit"} 250
tiered_kv_l2_capacity_total{cache_name="bill",tiered_kv_capacity_unit="read"} 500
tiered_kv_l2_capacity_total{cache_name="bill",tiered_kv_capacity_unit="write"} 40
tiered_kv_l2_capacity_total{cache_name="bill",tiered_kv_capacity_unit="delete"} 10
`

const byL1 = ({ reads, asked, coalesced }: LoadCount) => reads - asked - coalesced

/** The values that each panel has to show, by the counts of the load. A strong read asks only the backend. */
const RATIOS: Readonly<Record<string, (count: LoadCount) => number>> = {
  "Effective hit ratio": (count) => (byL1(count) + count.found) / (byL1(count) + count.asked),
  "L1 hit ratio": (count) => byL1(count) / (count.reads - count.strong),
  "L2 load saved": ({ reads, asked }) => (reads - asked) / reads,
}

function total(counts: readonly LoadCount[]): LoadCount {
  const sum = (field: keyof LoadCount) => counts.reduce((so, count) => so + count[field], 0)
  return {
    reads: sum("reads"),
    strong: sum("strong"),
    coalesced: sum("coalesced"),
    asked: sum("asked"),
    found: sum("found"),
  }
}

function exporter(metrics: () => Promise<string>): Server {
  return createServer(async (_request, response) => {
    response.setHeader("content-type", "text/plain; version=0.0.4")
    response.end(await metrics())
  })
}

/** A Prometheus, and a service that bills by capacity units. */
async function startServers() {
  const prometheus = await startPrometheus()
  try {
    const dynamodbLocal = await startDynamodbLocal()
    return {
      ...prometheus,
      dynamodbLocal,
      stop: async () => void (await Promise.all([prometheus.stop(), dynamodbLocal.stop()])),
    }
  } catch (error) {
    await prometheus.stop()
    throw error
  }
}
