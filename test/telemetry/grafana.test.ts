import { readFileSync } from "node:fs"
import { describe, expect, test } from "vitest"
import { ATTRIBUTE } from "../../telemetry/names.ts"
import { dashboard, expressions, graphs, selectorsOf, variablesIn } from "../support/grafana.ts"
import { spellings } from "../support/spellings.ts"

const CHOSEN_SOURCE = `\${datasource}`
const variables = new Map(dashboard.templating.list.map((variable) => [variable.name, variable]))
/** What the expressions select, a histogram by its buckets. */
const selectors = expressions.flatMap(({ expression }) =>
  selectorsOf(expression).map(({ name, labels }) => ({
    name: new RegExp(name.source.replace(/(?<=duration.*)_count\b/, "_bucket")),
    labels,
  })),
)

describe("the panels", () => {
  test("each have an id and a title of their own", () => {
    expect(new Set(dashboard.panels.map(({ id }) => id)).size).toBe(dashboard.panels.length)
    const titles = graphs.map(({ title, type }) => `${type} ${title}`)
    expect(new Set(titles).size).toBe(graphs.length)
  })

  test.each(graphs.map((panel) => [panel.title, panel] as const))(
    "%s: says what it is, in which unit, and what an empty one means",
    (_, panel) => {
      expect(panel.title).toMatch(/\S/)
      expect(panel.description).toMatch(/\S{3,}.*\.$/)
      expect(panel.fieldConfig?.defaults.unit).toMatch(/^\w+$/)
      expect(panel.fieldConfig?.defaults.noValue).toMatch(/^no\w* \w/)
      expect(panel.targets).not.toHaveLength(0)
    },
  )

  test("lie within 24 columns and on top of nothing", () => {
    const taken = new Map<string, string>()
    for (const { title, gridPos } of dashboard.panels) {
      expect(gridPos.x + gridPos.w, title).toBeLessThanOrEqual(24)
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
          expect(taken.get(`${x},${y}`), `under ${title}`).toBeUndefined()
          taken.set(`${x},${y}`, title)
        }
      }
    }
  })

  test("ask the data source that the variable names, and no other", () => {
    const chosen = { type: "prometheus", uid: CHOSEN_SOURCE }
    for (const { datasource, targets = [] } of graphs) {
      expect(datasource).toEqual(chosen)
      for (const target of targets) expect(target.datasource).toEqual(chosen)
    }
  })

  test("name every series so that it can be told from its neighbours", () => {
    for (const { title, targets = [] } of graphs) {
      expect(new Set(targets.map(({ refId }) => refId)).size, title).toBe(targets.length)
      expect(new Set(targets.map(({ legendFormat }) => legendFormat)).size, title).toBe(targets.length)
      for (const { expr, legendFormat } of targets) {
        expect(legendFormat, title).toMatch(/\S/)
        expect(legendFormat, title).not.toContain("__auto")
        if (/^(max|min)\b/.test(expr)) continue
        const kept = [...expr.matchAll(/by \(([^)]*)\)/g)].flatMap(([, list = ""]) => list.split(", "))
        for (const label of new Set(kept)) {
          if (label !== "le") expect(legendFormat, title).toContain(`{{${label}}}`)
        }
      }
    }
  })
})

describe("what operators look for at a glance is there:", () => {
  test("a heat map of the backend's latency, from buckets as they are", () => {
    const [heat, ...others] = graphs.filter(({ type }) => type === "heatmap")
    expect(others).toEqual([])
    expect(heat?.targets).toMatchObject([{ format: "heatmap", legendFormat: "{{le}}" }])
    expect(heat?.targets?.[0]?.expr).toMatch(/^sum by \(le\) \(rate\(.*_bucket"/)
  })

  test("the burn rate of the budget, with a line where each alert of the burn rate fires", async () => {
    const burn = graphs.find(({ title }) => title.startsWith("Burn rate"))
    const lines = burn?.fieldConfig?.defaults.thresholds?.steps.flatMap(({ value }) => value ?? [])
    const rules = readFileSync(new URL("../../telemetry/prometheus-alerts.yaml", import.meta.url), "utf8")
    const rates = [...rules.matchAll(/> ([\d.]+) \* 0\.001/g)].map(([, rate]) => Number(rate))
    expect(lines).toEqual([...new Set(rates)].sort((a, b) => a - b))
    const failed = /error_type=~"(\w+(?:\|\w+)+)"/
    expect(failed.exec(burn?.targets?.[0]?.expr ?? "")?.[1]).toBe(failed.exec(rules)?.[1])
  })

  test("a mark where a process starts, of the chosen jobs and instances", () => {
    const [restarts] = dashboard.annotations.list
    expect(restarts).toMatchObject({ name: "Restarts", enable: true, datasource: { uid: CHOSEN_SOURCE } })
    expect(variablesIn(restarts?.expr ?? "")).toEqual(expect.arrayContaining(["job", "instance"]))
    for (const { name } of selectorsOf(restarts?.expr ?? "")) {
      expect(spellings.filter(({ scraped }) => name.test(scraped))).toHaveLength(1)
    }
  })
})

describe("the variables", () => {
  test("are one data source, job, instance and store, and prices", () => {
    const kinds = [...variables.values()].map(({ name, type }) => `${name}: ${type}`)
    expect(kinds).toEqual([
      "datasource: datasource",
      "job: query",
      "instance: query",
      "cache: query",
      "price_read: textbox",
      "price_write: textbox",
      "price_delete: textbox",
      "objective: textbox",
    ])
  })

  test.each(["job", "instance", "cache"])(
    "%s: takes any number, all by default, also of series that lack the label",
    (name) => {
      expect(variables.get(name)).toMatchObject({
        multi: true,
        includeAll: true,
        allValue: ".*",
        current: { value: ["$__all"] },
        datasource: { uid: CHOSEN_SOURCE },
      })
    },
  )

  test("that the expressions use are all declared, and the other way round", () => {
    const queries = dashboard.templating.list.map(({ query }) =>
      typeof query === "string" ? query : query.query,
    )
    const used = new Set(
      [...expressions.map(({ expression }) => expression), ...queries].flatMap(variablesIn),
    )
    used.delete("__rate_interval")
    used.delete("__range")
    expect([...used, "datasource"].sort()).toEqual([...variables.keys()].sort())
  })
})

describe("the expressions", () => {
  test("take rates over $__rate_interval alone, and sums over the time shown", () => {
    for (const { title, expression } of expressions) {
      const ranges = [...expression.matchAll(/\[([^\]]*)\]/g)].map(([, range]) => range)
      expect(new Set(ranges).size, title).toBeLessThanOrEqual(1)
      for (const range of ranges) expect(["$__rate_interval", "$__range"], title).toContain(range)
      const taken = expression.includes("$__range") ? "increase(" : "rate("
      expect(expression.split(taken).length - 1, title).toBe(ranges.length)
    }
  })

  test("narrow every series down to the chosen jobs, instances and stores", () => {
    for (const { name, labels } of selectors) {
      expect(labels, String(name)).toEqual(expect.arrayContaining(["job", "instance"]))
      // The metric of the semantic convention has no attribute for the store.
      if (!name.source.includes("db_client")) expect(labels, String(name)).toContain("cache_name")
    }
  })

  test("use only attributes that the metrics have", () => {
    const known = new Set(Object.values(ATTRIBUTE).map((name) => name.replaceAll(".", "_")))
    for (const label of ["job", "instance", "le"]) known.add(label)
    const matched = selectors.flatMap(({ labels }) => labels)
    const kept = expressions
      .flatMap(({ expression }) => [...expression.matchAll(/by \(([^)]*)\)/g)])
      .flatMap(([, list = ""]) => list.split(", "))
    for (const label of [...matched, ...kept]) expect(known).toContain(label)
  })

  test("find each metric under both of its names, and show every metric there is", () => {
    for (const { metric, scraped, received } of spellings) {
      const finding = (spelling: string) => selectors.filter(({ name }) => name.test(spelling))
      expect(finding(scraped), metric).not.toHaveLength(0)
      expect(finding(received), metric).toEqual(finding(scraped))
    }
    for (const { name } of selectors) {
      expect(
        spellings.filter(({ scraped }) => name.test(scraped)),
        String(name),
      ).toHaveLength(1)
    }
  })
})
