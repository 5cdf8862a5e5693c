import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { PrometheusExporter } from "@opentelemetry/exporter-prometheus"
import { MeterProvider } from "@opentelemetry/sdk-metrics"
import { onTestFinished, test } from "vitest"
import type { Kv } from "../../src/api.ts"
import { kv } from "../../src/kv.ts"
import { startPrometheus } from "../servers/prometheus.ts"
import { startRedisServer } from "../servers/redis.ts"
import { freePort } from "../servers/server.ts"
import { requireBrowser } from "../support/browser.ts"

/**
 * Takes the picture of Prometheus in the documentation, in some minutes: real stores that work, scraped by a real Prometheus.
 * `SCREENSHOTS=docs/images npx vitest run test/telemetry/prometheus-screenshot.test.ts`
 */
const FOLDER = process.env.SCREENSHOTS
/** How long the stores work before the picture is taken, s. */
const SECONDS = Number(process.env.SCREENSHOT_SECONDS ?? 150)

const L1_HIT_RATIO = `sum by (cache_name) (rate(tiered_kv_requests_total{cache_tier="l1", cache_result=~"hit|stale|negative"}[15s]))
/ sum by (cache_name) (rate(tiered_kv_requests_total{cache_tier="l1", cache_result!="bypass"}[15s]))`

if (FOLDER === undefined) {
  test.skip("the picture of Prometheus is taken only where SCREENSHOTS names a folder for it", () => {})
} else {
  await requireBrowser((browser) => {
    test("the picture shows the hit ratio of L1 in Prometheus' own page", { timeout: 900_000 }, async () => {
      const [redis, prometheus] = [await startRedisServer(), await startPrometheus()]
      onTestFinished(() => redis.stop())
      onTestFinished(() => prometheus.stop())

      const port = await freePort()
      const reader = new PrometheusExporter({ host: "127.0.0.1", port, preventServerStart: true })
      await reader.startServer()
      const meterProvider = new MeterProvider({ readers: [reader] })
      onTestFinished(() => meterProvider.shutdown())
      prometheus.scrape({ shop: port })

      const options = { backend: redis.url, telemetry: { meterProvider } }
      const sessions = await kv("sessions", { ...options, l1: { maxEntries: 2_000, ttlMs: 20_000 } })
      const prices = await kv("prices", { ...options, l1: { maxEntries: 300 } })
      const stop = new AbortController()
      const work = [keepBusy(sessions, 5_000, 45, stop.signal), keepBusy(prices, 2_000, 70, stop.signal)]
      await sleep(SECONDS * 1_000)

      const page = await browser.newPage({ viewport: { width: 1200, height: 900 } })
      const graph = new URLSearchParams({
        "g0.expr": L1_HIT_RATIO,
        "g0.tab": "0",
        "g0.range_input": `${SECONDS - 20}s`,
        "g0.step_input": "1",
      })
      await page.goto(`${prometheus.url}/classic/graph?${graph}`)
      await page.addStyleTag({ content: "textarea { min-height: 64px }" })
      await page.getByText('{cache_name="sessions"}').waitFor()
      await page.screenshot({ path: join(FOLDER, "prometheus-hit-ratio.png") })

      stop.abort()
      await Promise.all(work)
      await Promise.all([sessions.close(), prices.close()])
    })
  })
}

/** Reads with a popularity that is now more, now less skewed, every so many seconds, and writes what is missing. */
async function keepBusy(store: Kv, keys: number, periodSeconds: number, signal: AbortSignal): Promise<void> {
  const startedAt = performance.now()
  while (!signal.aborted) {
    const phase = ((performance.now() - startedAt) / 1_000 / periodSeconds) * 2 * Math.PI
    const skew = 4 + 2.5 * Math.sin(phase)
    const reads = Array.from({ length: 40 }, () => `key:${Math.floor(keys * Math.random() ** skew)}`)
    await Promise.all(reads.map((key) => store.getOrSet(key, () => `value of ${key}`, { as: "text" })))
    await sleep(20)
  }
}
