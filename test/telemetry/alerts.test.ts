import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { createServer } from "node:http"
import { tmpdir } from "node:os"
import { basename, join } from "node:path"
import { fileURLToPath } from "node:url"
import { expect, test } from "vitest"
import { promtool, startPrometheus } from "../servers/prometheus.ts"
import { requireServer } from "../servers/require-server.ts"
import { listenOnLoopback } from "../servers/server.ts"
import { selectorsOf } from "../support/grafana.ts"
import { spellings } from "../support/spellings.ts"

const RULES = fileURLToPath(new URL("../../telemetry/prometheus-alerts.yaml", import.meta.url))
const TESTS = fileURLToPath(new URL("../../telemetry/prometheus-alerts.test.yaml", import.meta.url))

const text = await readFile(RULES, "utf8")
const names = [...text.matchAll(/- alert: (\S+)/g)].map(([, name = ""]) => name)

test("the alert rules select only metrics that there are, each under both of its names", () => {
  const code = text.replaceAll(/^ *#.*$/gm, "")
  const selectors = selectorsOf(code).filter(({ name }) => /tiered_kv/.test(name.source))
  expect(selectors.length).toBeGreaterThan(names.length)
  for (const { name } of selectors) {
    const count = new RegExp(name.source.replace("_count", "_bucket"))
    const found = spellings.filter(({ scraped }) => count.test(scraped))
    expect(found, String(name)).toHaveLength(1)
    expect(
      found.every(({ received }) => count.test(received)),
      String(name),
    ).toBe(true)
  }
})

await requireServer(
  "prometheus",
  () => startPrometheus([RULES]),
  (server) => {
    test("promtool finds no fault with the alert rules, and their tests pass", async () => {
      expect(await promtool("check", "rules", RULES)).toContain(`${names.length + 2} rules found`)
      expect(await promtool("test", "rules", TESTS)).toContain("SUCCESS")
    })

    test("docs/telemetry.md tells of each alert, and its configuration is one that Prometheus takes", async () => {
      const documentation = await readFile(new URL("../../docs/telemetry.md", import.meta.url), "utf8")
      const told = [...documentation.matchAll(/^\| `(TieredKv\w+)`/gm)].map(([, name = ""]) => name)
      expect(told).toEqual(names)

      const [, configuration = ""] = /```yaml\n(.*?)```/s.exec(documentation) ?? []
      const folder = await mkdtemp(join(tmpdir(), "tiered-kv-documented-"))
      const file = join(folder, "prometheus.yml")
      await writeFile(file, configuration.replace(/\S+prometheus-alerts\.yaml/, RULES))
      try {
        expect(await promtool("check", "config", file)).toContain("1 rule files found")
      } finally {
        await rm(folder, { recursive: true })
      }
    })

    test("the tests of the alert rules notice each alert that never fires, and each that fires too soon", async () => {
      expect(await failing(text.replaceAll(/alert: (\S+)/g, "alert: $1Mute"))).toEqual(new Set(names))
      const patient = text.split("- alert: ").filter((rule) => /^ +for: /m.test(rule))
      expect(await failing(text.replaceAll(/^ +for: .*\n/gm, ""))).toEqual(
        new Set(patient.map((rule) => rule.split("\n")[0])),
      )
    })

    test("Prometheus runs every alert rule, and each says how bad it is and what to do", async () => {
      await expect
        .poll(async () => (await server.rules()).map(({ health }) => health), { timeout: 10_000 })
        .not.toContain("unknown")
      const rules = await server.rules()
      for (const { name, health, lastError } of rules) expect(health, `${name}: ${lastError}`).toBe("ok")

      const alerts = rules.filter(({ type }) => type === "alerting")
      expect(alerts.map(({ name }) => name)).toEqual(names)
      for (const { name, labels, annotations } of alerts) {
        expect(["warning", "critical"], name).toContain(labels?.severity)
        expect(annotations?.summary, name).toMatch(/\{\{ \$labels\.(cache_name|instance) \}\}/)
        expect(annotations?.description, name).toMatch(/\b(look|see|raise|compare|read)\b/i)
      }
    })

    test("a write of unknown outcome, and the end of a process, are alerts that name the store", async () => {
      const exporter = createServer((_request, response) => {
        response.setHeader("content-type", "text/plain; version=0.0.4")
        response.end(
          'tiered_kv_requests_total{cache_name="carts",cache_tier="l1",cache_result="hit"} 7\n' +
            'tiered_kv_errors_total{cache_name="carts",error_type="OUTCOME_UNKNOWN"} 1\n',
        )
      })
      server.scrape({ shop: await listenOnLoopback(exporter) })
      await server.scraped("shop")
      const alert = (name: string) =>
        expect.poll(async () => (await server.alerts()).find(({ labels }) => labels.alertname === name), {
          timeout: 10_000,
        })
      await alert("TieredKvOutcomeUnknown").toMatchObject({
        state: "firing",
        labels: { severity: "warning", job: "shop", cache_name: "carts" },
        annotations: { summary: "Writes to store carts of shop may or may not have been applied" },
      })

      exporter.close().closeAllConnections()
      await alert("TieredKvInstanceDown").toMatchObject({
        state: "pending",
        labels: { severity: "critical", job: "shop" },
        annotations: {
          summary: expect.stringMatching(/^Prometheus cannot scrape 127\.0\.0\.1:\d+ of shop$/),
        },
      })
    })
  },
)

/** The alerts for which the rules' tests fail when they run on these rules instead. */
async function failing(rules: string): Promise<Set<string>> {
  const folder = await mkdtemp(join(tmpdir(), "tiered-kv-rules-"))
  try {
    await writeFile(join(folder, basename(RULES)), rules)
    await cp(TESTS, join(folder, basename(TESTS)))
    await promtool("test", "rules", join(folder, basename(TESTS)))
    return new Set()
  } catch (error) {
    const printed = error instanceof Error ? error.message : ""
    return new Set([...printed.matchAll(/alertname=\\?"(\w+?)(?:Mute)?\\?"/g)].map(([, name = ""]) => name))
  } finally {
    await rm(folder, { recursive: true })
  }
}
