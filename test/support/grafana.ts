import { readFileSync } from "node:fs"

/** The Grafana dashboard as it is shipped, in Grafana's classic schema: what the tests look at. */
export interface Dashboard {
  id: number | null
  uid: string
  title: string
  description: string
  schemaVersion: number
  annotations: { list: Annotation[] }
  templating: { list: Variable[] }
  panels: Panel[]
}

interface Annotation {
  name: string
  datasource: DataSource
  enable: boolean
  expr: string
}

interface Variable {
  name: string
  type: string
  label?: string
  query: string | { query: string }
  datasource?: DataSource
  multi?: boolean
  includeAll?: boolean
  allValue?: string
  current: { value?: string | string[] }
}

interface Panel {
  id: number
  type: string
  title: string
  description?: string
  datasource?: DataSource
  gridPos: { x: number; y: number; w: number; h: number }
  fieldConfig?: {
    defaults: { unit?: string; noValue?: string; thresholds?: { steps: { value: number | null }[] } }
  }
  targets?: Target[]
}

interface Target {
  refId: string
  datasource: DataSource
  expr: string
  legendFormat: string
  format?: string
}

interface DataSource {
  type: string
  uid: string
}

export const dashboard: Dashboard = JSON.parse(
  readFileSync(new URL("../../telemetry/grafana-dashboard.json", import.meta.url), "utf8"),
)

/** Panels that show something: all but the rows. */
export const graphs = dashboard.panels.filter(({ type }) => type !== "row")

/** Every expression of the dashboard, with the names of its panel and series. */
export const expressions = graphs.flatMap(({ title, targets = [] }) =>
  targets.map(({ expr, legendFormat }) => ({ title, legend: legendFormat, expression: expr })),
)

/** The expression of a panel's first series. */
export function expressionOf(title: string): string {
  const found = expressions.find((one) => one.title === title)
  if (found === undefined) throw new Error(`the dashboard has no panel "${title}"`)
  return found.expression
}

/** The names of the variables in a text, `$__rate_interval` and its like included. */
export const variablesIn = (text: string) => [...text.matchAll(/\$(\w+)/g)].map(([, name = ""]) => name)

/** Puts values in the place of variables, as Grafana would. */
export function substitute(expression: string, values: Readonly<Record<string, string>>): string {
  return expression.replaceAll(/\$(\w+)/g, (_, name: string) => {
    const value = values[name]
    if (value === undefined) throw new Error(`no value for $${name} in ${expression}`)
    return value
  })
}

/** What an expression selects: the pattern of the metric's name, and the labels that it matches on. */
export interface Selector {
  name: RegExp
  labels: string[]
}

export function selectorsOf(expression: string): Selector[] {
  return [...expression.matchAll(/([a-zA-Z_:][\w:]*)?\{([^{}]*)\}/g)].map(([, name = "", matchers = ""]) => {
    const pattern = /__name__=~"([^"]*)"/.exec(matchers)?.[1] ?? name
    const labels = [...matchers.matchAll(/(\w+)\s*[=!]~?\s*"/g)].map(([, label = ""]) => label)
    return { name: new RegExp(`^(?:${pattern})$`), labels: labels.filter((label) => label !== "__name__") }
  })
}
