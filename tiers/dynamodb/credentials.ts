import type { DynamoDBClient } from "@aws-sdk/client-dynamodb"
import type { Runtime } from "../runtime.ts"
import { within } from "../util/deadline.ts"

/** Names of errors of the SDK's credential providers. They occur before anything is sent. */
const PROVIDER_ERRORS: ReadonlySet<string> = new Set([
  "CredentialsProviderError",
  "InstanceMetadataV1FallbackError",
  "TokenProviderError",
  "ProviderError",
])

/** Whether the SDK found no credentials to sign the request with, which was not sent. */
export function lackedCredentials(error: unknown): error is Error {
  return error instanceof Error && PROVIDER_ERRORS.has(error.name)
}

/** Names of AWS's answer to a request that was signed with credentials whose time is over. */
const EXPIRED: ReadonlySet<string> = new Set(["ExpiredToken", "ExpiredTokenException"])

export function hadExpired(error: unknown): boolean {
  return error instanceof Error && EXPIRED.has(error.name)
}

const NETWORK_CODE = /^(ECONN|ETIMEDOUT|EPIPE|EHOST|ENET|EAI_)/

/**
 * Whether the same source may have credentials in a moment. The SDK's default chain hides the error of its last source, the metadata endpoint,
 * so where a container names that endpoint, or had credentials from it before, its silence counts as passing.
 */
export function mayComeBack(error: Error, hadCredentials: boolean): boolean {
  const { AWS_CONTAINER_CREDENTIALS_RELATIVE_URI: relative, AWS_CONTAINER_CREDENTIALS_FULL_URI: full } =
    process.env
  if (hadCredentials || relative || full) return true
  const code = "code" in error ? String(error.code) : ""
  const status = "statusCode" in error ? Number(error.statusCode) : 0
  return (
    /time-?out|timed out/i.test(error.message) || NETWORK_CODE.test(code) || status === 429 || status >= 500
  )
}

/** Longest time to ask for new credentials after AWS refused the old ones, ms. */
const RENEWAL_MS = 1_000

/**
 * Whether another attempt is signed with another key than `signedBy`, which AWS calls expired. The SDK renews credentials before they
 * expire, but not in a process that was suspended, or whose clock is wrong: so it is made to renew them. Releases of the SDK before 3.840
 * cannot be made to, if the caller gave a function; then there is no other key.
 */
export async function renewCredentials(
  { config }: DynamoDBClient,
  signedBy: string,
  runtime: Runtime,
): Promise<boolean> {
  const isOther = async (options?: object) => (await config.credentials(options)).accessKeyId !== signedBy
  try {
    const other = isOther().then((other) => other || isOther({ forceRefresh: true }))
    return await within(runtime, other, RENEWAL_MS, () => new Error("no credentials in time"))
  } catch {
    // There were credentials, so that the failure to renew them may pass.
    return true
  }
}
