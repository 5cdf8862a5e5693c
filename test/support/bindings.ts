import { expect } from "vitest"
import { KvError } from "../../tiers/errors.ts"

/** The secret in the URLs and bindings of the tests. No message may show it. */
export const PASSWORD = "p4ssw0rd-SECRET"

/** The error that reading a binding throws. */
export function bindingError(read: () => unknown): KvError {
  try {
    read()
  } catch (error) {
    if (error instanceof KvError) return error
    throw error
  }
  return expect.unreachable("nothing was thrown")
}
