import { readFileSync } from "node:fs"
import { PATHS } from "../../src/counters.ts"
import { COUNTED, CURRENT, type Series } from "../../telemetry/metrics/series.ts"
import { COUNTERS, HISTOGRAMS, LEVELS, type Metric } from "../../telemetry/names.ts"

export const PAGE = new URL("../../docs/telemetry.md", import.meta.url)

const SOURCE = new URL("../../src/counters.ts", import.meta.url)

/** The page with its tables as the table of counters and the names of the metrics make them. */
export function pageWithTables(): string {
  const page = readFileSync(PAGE, "utf8")
  return withSection(withSection(page, "statistics", statisticsTable()), "metrics", metricsTable())
}

function withSection(page: string, name: string, table: string): string {
  const section = new RegExp(`(?<=<!-- ${name}: .* -->\n)[\\s\\S]*?(?=<!-- end of ${name} -->)`)
  if (!section.test(page)) throw new Error(`the page has no section ${name}`)
  return page.replace(section, () => `\n${table}\n`)
}

function statisticsTable(): string {
  const documented = sentences()
  const rows = PATHS.map((path) => {
    const series = [...COUNTED, ...CURRENT].filter((one) => one.path === path).map(selectorOf)
    return [code(path), documented.get(path) ?? "", series.join(", ")]
  })
  return table(["`stats()`", "what", "time series"], rows)
}

function metricsTable(): string {
  const kinds: [string, Record<string, Metric>][] = [
    ["counter", COUNTERS],
    ["up-down counter", LEVELS],
    ["histogram", HISTOGRAMS],
  ]
  const rows = kinds.flatMap(([kind, metrics]) =>
    Object.values(metrics).map((metric) => [
      code(metric.name),
      `${kind}, ${metric.unit}`,
      metric.description,
      attributesOf(metric),
    ]),
  )
  return table(["name", "kind, unit", "what", "attributes beside `cache.name`"], rows)
}

/** Those that are recorded, or those of the metric's time series with their values. */
function attributesOf(metric: Metric): string {
  if (metric.attributes !== undefined) return metric.attributes.map(code).join(", ")
  const values = new Map<string, Set<string>>()
  for (const { attributes } of [...COUNTED, ...CURRENT].filter((series) => series.metric === metric)) {
    for (const [name, value] of Object.entries(attributes)) {
      values.set(name, (values.get(name) ?? new Set()).add(code(String(value))))
    }
  }
  return [...values].map(([name, all]) => `${code(name)}: ${[...all].join(", ")}`).join("; ")
}

/** `tiered_kv.requests{cache.tier="l1"}` */
function selectorOf({ metric, attributes }: Series): string {
  const labels = Object.entries(attributes).map(([name, value]) => `${name}="${value}"`)
  return code(labels.length === 0 ? metric.name : `${metric.name}{${labels.join(", ")}}`)
}

/** The doc comments of `StoreStats` in the source of the counters, by the paths of what they document. */
export function sentences(): Map<string, string> {
  const source = readFileSync(SOURCE, "utf8")
  const [, body = ""] = /^export interface StoreStats \{\n([\s\S]*?)^\}/m.exec(source) ?? []
  const found = new Map<string, string>()
  const groups: string[] = []
  let sentence = ""
  for (const [, comment, name = "", type] of body.matchAll(/\/\*\*([\s\S]*?)\*\/|(\w+): (.+)|^ *\}/gm)) {
    if (comment !== undefined) sentence = comment.replaceAll(/\s+(\* )?/g, " ").trim()
    else if (type === undefined) groups.pop()
    else if (type === "{") groups.push(name)
    else {
      found.set([...groups, name].join("."), sentence)
      sentence = ""
    }
  }
  return found
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return [head, head.map(() => "---"), ...rows]
    .map((cells) => `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |\n`)
    .join("")
}

function code(text: string): string {
  return `\`${text}\``
}
