import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { basename, join } from "node:path"
import { fileURLToPath } from "node:url"
import { expect, test } from "vitest"
import { promtool, startPrometheus } from "../servers/prometheus.ts"
import { requireServer } from "../servers/require-server.ts"
import { selectorsOf } from "../support/grafana.ts"
import { spellings } from "../support/spellings.ts"

const RULES = fileURLToPath(new URL("../../telemetry/prometheus-alerts.yaml", import.meta.url))
const TESTS = ["prometheus-alerts.test.yaml", "prometheus-alerts-days.test.yaml"].map((name) =>
  fileURLToPath(new URL(`../../telemetry/${name}`, import.meta.url)),
)
/** Codes of a `KvError` that say nothing of the backend: the call or the configuration is not valid. */
const CALLERS_OWN = /^(INVALID_\w+|BINDING_\w+|DEPENDENCY_MISSING|CLOSED)$/

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

test("what the objective counts as failed are all codes that tell of the backend", async () => {
  const errors = await readFile(new URL("../../tiers/errors.ts", import.meta.url), "utf8")
  const [, union = ""] = /export type KvErrorCode =\n((?: +\| "\w+"\n)+)/.exec(errors) ?? []
  const codes = [...union.matchAll(/"(\w+)"/g)].flatMap(([, code = ""]) =>
    CALLERS_OWN.test(code) ? [] : [code],
  )
  expect(codes).toContain("TIMEOUT")
  const counted = [...text.matchAll(/error_type=~"\|?(\w+(?:\|\w+)+)"/g)].map(([, list = ""]) => list)
  expect(new Set(counted)).toEqual(new Set([codes.sort().join("|")]))
})

await requireServer(
  "prometheus",
  () => startPrometheus([RULES]),
  (server) => {
    test("promtool finds no fault with the alert rules, and their tests pass", async () => {
      const recorded = [...text.matchAll(/- record: /g)].length
      expect(await promtool("check", "rules", RULES)).toContain(`${names.length + recorded} rules found`)
      expect(await failing(text)).toEqual(new Set())
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

    test("the tests of the alert rules expect each alert to fire, and notice each that fires too soon", async () => {
      const tests = await Promise.all(TESTS.map((path) => readFile(path, "utf8")))
      const fired = /labels: 'ALERTS\{alertname="(\w+)", alertstate="firing", .*\}', value: 1/g
      expect(new Set([...tests.join("").matchAll(fired)].map(([, name = ""]) => name))).toEqual(
        new Set(names),
      )
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
  },
)

/** The alerts for which the rules' tests fail when they run on these rules. */
async function failing(rules: string): Promise<Set<string>> {
  const folder = await mkdtemp(join(tmpdir(), "tiered-kv-rules-"))
  const run = async (tests: string) => {
    await cp(tests, join(folder, basename(tests)))
    return promtool("test", "rules", join(folder, basename(tests))).catch((error: Error) => error.message)
  }
  try {
    await writeFile(join(folder, basename(RULES)), rules)
    const printed = await Promise.all(TESTS.map(run))
    for (const one of printed) expect(one).toMatch(/SUCCESS|FAILED/)
    return new Set([...printed.join("").matchAll(/alertname=\\?"(\w+?)\\?"/g)].map(([, name = ""]) => name))
  } finally {
    await rm(folder, { recursive: true })
  }
}
