/** The errors of `@azure/identity`, recognised by name, so that the package need not be installed. */
const CREDENTIAL_ERRORS: ReadonlySet<string> = new Set([
  "CredentialUnavailableError",
  "AuthenticationError",
  "AuthenticationRequiredError",
  "AggregateAuthenticationError",
])

/** Whether there was no access token to sign the request with, which was not sent. */
export function isCredentialError(error: unknown): error is Error {
  return error instanceof Error && CREDENTIAL_ERRORS.has(error.name)
}

/** The service's words for a bearer token whose time is over. The SDK's next token is a new one. */
export const TOKEN_IS_OVER = /lifetime validation failed|token (is|has) expired/i

const NO_ANSWER = /time-?d? ?out|ECONN|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|EAI_AGAIN|network error/i

/**
 * Whether the same source may have a token in a moment: it was overloaded, or did not answer, or is silent now and was not before. An
 * answer that denies the token does not pass.
 */
export function mayComeBack(error: Error, hadToken: boolean): boolean {
  if ("errors" in error && Array.isArray(error.errors)) {
    return error.errors.some((one: unknown) => one instanceof Error && mayComeBack(one, hadToken))
  }
  const status = "statusCode" in error ? Number(error.statusCode) : Number.NaN
  if (status === 408 || status === 429 || status >= 500) return true
  if (error.name === "CredentialUnavailableError" && hadToken) return true
  return Number.isNaN(status) && NO_ANSWER.test(error.message)
}
