import type { Bus } from "../../tiers/buses/bus.ts"
import { CATALOGUE } from "./catalogue.ts"
import { refuseOf } from "./refuse.ts"
import { parseUrl } from "./url.ts"

/** Makes the bus of a store, not yet open; `undefined`: the store has none. */
export type MakeBus = (() => Promise<Bus>) | undefined

/** The environment variable with the URL of the bus of the store called `name`. */
export function busVariable(name: string): string {
  return `KV_${name.toUpperCase().replaceAll("-", "_")}_BUS`
}

/**
 * The bus of the store called `name`: `given`, or else the environment variable `KV_<NAME>_BUS`. A URL may hold a credential and is never
 * shown.
 */
export function resolveBus(
  name: string,
  given: string | Bus | false | undefined,
  environment: Readonly<Record<string, string | undefined>>,
): MakeBus {
  if (given === false) return undefined
  if (typeof given === "object") return async () => given
  const variable = busVariable(name)
  const text = given ?? environment[variable]
  if (text === undefined || text === "") return undefined
  const source = given === undefined ? `The environment variable ${variable}` : "The bus URL"
  const scheme = /^([a-z+-]+):/i.exec(text)?.[1]?.toLowerCase() ?? ""
  const carrier = CATALOGUE.find(({ kind, url }) => kind in BUSES && Object.hasOwn(url.forms, scheme))
  const make = carrier && BUSES[carrier.kind]
  if (make === undefined) {
    const forms = CATALOGUE.flatMap(({ kind, url }) => (kind in BUSES ? Object.values(url.forms) : []))
    const remedy = "another bus, such as broadcastBus(), is passed as an object"
    throw refuseOf(source)(`names no bus; known are ${forms.join(", ")}; ${remedy}`)
  }
  parseUrl(text, source)
  return () => make(text)
}

/** The backends whose servers carry a bus. Each loads the module of its bus when it is called. */
const BUSES: Readonly<Record<string, (url: string) => Promise<Bus>>> = {
  async redis(url) {
    const { redisBus } = await import("../../tiers/buses/redis.ts")
    return redisBus(url)
  },
}
