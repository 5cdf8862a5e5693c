import type { Bus } from "../../tiers/buses/bus.ts"
import { KvError } from "../../tiers/errors.ts"

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
  throw new KvError(
    "BINDING_INVALID",
    `${source} names no bus that this release has; pass a bus, such as broadcastBus(), as the option "bus"`,
    { operation: "open" },
  )
}
