import { COUNTERS, HISTOGRAMS, LEVELS } from "../../telemetry/names.ts"

/** The two ways in which one metric arrives in a Prometheus. */
export interface Spellings {
  metric: string
  /** By `@opentelemetry/exporter-prometheus`, which leaves the unit out. */
  scraped: string
  /** By OTLP, which puts it in: `_seconds`, `_bytes`. */
  received: string
}

const UNITS: Readonly<Record<string, string>> = { s: "_seconds", By: "_bytes" }

/** Prometheus' own rule: units it knows are written out, annotations in braces left away. */
function unitSuffix(unit: string): string {
  if (/^\{.*\}$/.test(unit)) return ""
  const suffix = UNITS[unit]
  if (suffix === undefined) throw new Error(`no rule for the unit ${unit}`)
  return suffix
}

function spell(metrics: readonly { name: string; unit: string }[], ending: string): Spellings[] {
  return metrics.map(({ name, unit }) => {
    const stem = name.replaceAll(".", "_")
    return { metric: name, scraped: stem + ending, received: stem + unitSuffix(unit) + ending }
  })
}

/** Every metric of the project, a histogram by its buckets. */
export const spellings: readonly Spellings[] = [
  ...spell(Object.values(COUNTERS), "_total"),
  ...spell(Object.values(LEVELS), ""),
  ...spell(Object.values(HISTOGRAMS), "_bucket"),
]

/** What a Prometheus exporter answered, with the names that the same metrics have when they come by OTLP. */
export function asReceivedByOtlp(exposition: string): string {
  const renamed = new Map<string, string>()
  for (const [, name = "", unit = ""] of exposition.matchAll(/^# UNIT (\S+) (\S+)$/gm)) {
    const ending = name.endsWith("_total") ? "_total" : ""
    renamed.set(name, name.slice(0, name.length - ending.length) + unitSuffix(unit) + ending)
  }
  return exposition
    .split("\n")
    .filter((line) => !line.startsWith("#"))
    .map((line) =>
      line.replace(/^(\w+?)((?:_bucket|_sum|_count)?)(?=[{ ])/, (whole, stem: string, part: string) => {
        const name = renamed.get(stem)
        return name === undefined ? (renamed.get(whole) ?? whole) : name + part
      }),
    )
    .join("\n")
}
