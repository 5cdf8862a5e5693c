import type { Refuse } from "../../tiers/binding.ts"
import { KvError } from "../../tiers/errors.ts"

/** Makes `BINDING_INVALID` errors. `source` is the subject of their messages, for example "The backend URL". */
export function refuseOf(source: string): Refuse {
  return (message) => new KvError("BINDING_INVALID", `${source} ${message}`, { operation: "open" })
}
