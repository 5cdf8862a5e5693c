import { expect } from "vitest"
import { KvError } from "../../tiers/errors.ts"

/** Stands in the URLs and bindings of the tests where no message may show it. */
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
