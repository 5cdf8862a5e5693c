import { describe, expect, test } from "vitest"
import { toKvError } from "../../../tiers/azure-tables/errors.ts"

const failed = (name: string, properties: object = {}, message = "of the SDK") =>
  Object.assign(new Error(message), { name, ...properties })
const silent = failed("CredentialUnavailableError", {}, "ManagedIdentityCredential: network timed out")
const denied = failed("AuthenticationError", { statusCode: 400 }, "invalid_client")

describe("a credential without a token", () => {
  test.each([
    ["a metadata endpoint that does not answer", silent, "UNAVAILABLE", "UNAVAILABLE"],
    ["an overloaded one", failed("AuthenticationError", { statusCode: 503 }), "UNAVAILABLE", "UNAVAILABLE"],
    ["one that throttles", failed("AuthenticationError", { statusCode: 429 }), "UNAVAILABLE", "UNAVAILABLE"],
    ["one that denies", denied, "ACCESS_DENIED", "ACCESS_DENIED"],
    [
      "several, one of them silent",
      failed("AggregateAuthenticationError", { errors: [denied, silent] }),
      "UNAVAILABLE",
      "UNAVAILABLE",
    ],
    [
      "several that deny",
      failed("AggregateAuthenticationError", { errors: [denied] }),
      "ACCESS_DENIED",
      "ACCESS_DENIED",
    ],
    ["none in the environment", failed("CredentialUnavailableError"), "ACCESS_DENIED", "UNAVAILABLE"],
  ])(
    "of %s is UNAVAILABLE only where it may pass, before there was an answer, and after",
    (_, cause, before, after) => {
      for (const effect of ["read", "write"] as const) {
        const request = { operation: "any", effect }
        expect(toKvError(cause, request)).toMatchObject({ code: before, cause })
        expect(toKvError(cause, { ...request, wasAnswered: true }).code).toBe(after)
      }
    },
  )
})
