import { KvError } from "../../tiers/errors.ts"
import { parseAlienBinding } from "./alien.ts"
import { type Binding, CATALOGUE } from "./catalogue.ts"
import { parseUrlOf, urlForms } from "./url.ts"

type Environment = Readonly<Record<string, string | undefined>>

/**
 * The binding of the store called `name`, from the variable `KV_<NAME>_URL`, else from `ALIEN_<NAME>_BINDING`, else, outside production,
 * the default settings of a backend: LMDB under `.kv/<name>` of the working directory. `KV_STRICT=1` leaves out the default, unless `NODE_ENV` is
 * `development` or `test`. Reads these two variables, `NODE_ENV` and `KV_STRICT` only.
 */
export function resolveBinding(name: string, environment: Environment): Binding {
  const suffix = name.toUpperCase().replaceAll("-", "_")
  const urlVariable = `KV_${suffix}_URL`
  const bindingVariable = `ALIEN_${suffix}_BINDING`
  const url = environment[urlVariable]
  if (url !== undefined && url !== "") return parseUrlOf(name, url, `The environment variable ${urlVariable}`)
  const json = environment[bindingVariable]
  if (json !== undefined && json !== "") {
    return parseAlienBinding(json, `The environment variable ${bindingVariable}`)
  }
  const { NODE_ENV, KV_STRICT } = environment
  const isStrict = KV_STRICT === "1" && NODE_ENV !== "development" && NODE_ENV !== "test"
  const byDefault = isStrict || NODE_ENV === "production" ? undefined : defaultBinding(name)
  if (byDefault !== undefined) return byDefault
  throw new KvError(
    "BINDING_NOT_CONFIGURED",
    `The store "${name}" has no binding, and ${isStrict ? "KV_STRICT is 1" : "NODE_ENV is production"}, where there is no default. Set ${urlVariable} ` +
      `to a URL such as ${urlForms()[0]}, or ${bindingVariable} to a JSON binding`,
    { operation: "open" },
  )
}

function defaultBinding(name: string): Binding | undefined {
  for (const backend of CATALOGUE) {
    const settings = backend.defaultSettings?.(name)
    if (settings !== undefined) return { backend, settings, isFallback: true }
  }
  return undefined
}
