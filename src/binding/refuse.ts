import type { Refuse } from "../../tiers/binding.ts"
import { KvError } from "../../tiers/errors.ts"

/** Refuses a binding. `source` is the subject of every message: "The backend URL", say. */
export function refuseOf(source: string): Refuse {
  return (message) => new KvError("BINDING_INVALID", `${source} ${message}`, { operation: "open" })
}
