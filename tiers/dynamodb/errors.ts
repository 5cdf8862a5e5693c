import type { ConditionalCheckFailedException } from "@aws-sdk/client-dynamodb"
import { KvError, type KvErrorCode } from "../errors.ts"
import { RequestTimedOut } from "../util/limited-request.ts"
import { hadExpired, lackedCredentials, mayComeBack } from "./credentials.ts"

export const KIND = "dynamodb"

/** One request, as its errors describe it. */
export interface FailedRequest {
  /** The method of the backend that sends it. */
  operation: string
  table: string
  key?: string | undefined
  /** The API's own name of the request, where `operation` does not tell. */
  action?: string | undefined
  /** Whether the request may have changed something if it got no answer. */
  effect: "read" | "write"
  /** Whether an earlier request was signed. */
  hadCredentials?: boolean
  /** Whether the source of the credentials, which gave none, may give some in a moment. */
  sourceIsAway?: boolean
  /** Whether the credentials that signed the request were renewed since. */
  renewed?: boolean
}

/**
 * DynamoDB rejects requests with these before it carries them out. (A batch with some keys over the limits answers with `UnprocessedItems`,
 * which it has not processed either.)
 */
const THROTTLED = new Set([
  "ProvisionedThroughputExceededException",
  "RequestLimitExceeded",
  "Throttling",
  "ThrottlingException",
  "ThrottledException",
  "TooManyRequestsException",
  "LimitExceededException",
])

const DENIED = new Set([
  "AccessDeniedException",
  "AccessDenied",
  "ExpiredToken",
  "ExpiredTokenException",
  "IncompleteSignature",
  "IncompleteSignatureException",
  "InvalidClientTokenId",
  "InvalidSignatureException",
  "MissingAuthenticationToken",
  "MissingAuthenticationTokenException",
  "NotAuthorized",
  "OptInRequired",
  "SignatureDoesNotMatch",
  "UnrecognizedClientException",
])

/** DynamoDB rejects a write with these because another write of the item is under way. The rejected write is not applied. */
const CONFLICT = new Set(["TransactionConflictException", "ReplicatedWriteConflictException"])

/** Maps the errors of the SDK, of the service and of the network. */
export function toKvError(error: unknown, request: FailedRequest): KvError {
  if (error instanceof KvError) return error
  const [code, message] = classify(error, request)
  return new KvError(code, message, {
    operation: request.operation,
    backend: KIND,
    key: request.key,
    cause: error,
  })
}

/** Whether the cause of `error` is an error of the service or the SDK with this name. */
export function causedBy(error: unknown, name: string): boolean {
  return error instanceof KvError && error.cause instanceof Error && error.cause.name === name
}

/** Whether the condition of a write did not hold. The cause has the row that is stored. */
export function isConditionFailure(
  error: unknown,
): error is KvError & { cause: ConditionalCheckFailedException } {
  return causedBy(error, "ConditionalCheckFailedException")
}

function classify(error: unknown, request: FailedRequest): [KvErrorCode, string] {
  const { table, effect, action, hadCredentials = false, sourceIsAway = false, renewed = false } = request
  const name = error instanceof Error ? error.name : typeof error
  const status = httpStatusOf(error)
  const permission = action === undefined ? "the call" : `dynamodb:${action}`

  if (error instanceof RequestTimedOut && !(error.sent && effect === "write")) {
    return [effect === "write" ? "UNAVAILABLE" : "TIMEOUT", `table ${table}: ${error.message}`]
  }
  if (wasNotSent(error)) {
    return [
      "UNAVAILABLE",
      `could not connect to DynamoDB (${describe(error)}); check the region, the endpoint and the network`,
    ]
  }
  if (lackedCredentials(error)) {
    if (sourceIsAway || mayComeBack(error, hadCredentials)) {
      return [
        "UNAVAILABLE",
        `the source of the AWS credentials gave none now (${describe(error)}); nothing was sent`,
      ]
    }
    return [
      "ACCESS_DENIED",
      "found no AWS credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or run where a role is attached",
    ]
  }
  if (renewed && hadExpired(error)) {
    return ["UNAVAILABLE", `AWS refused expired credentials (${name}), which were renewed since; try again`]
  }
  if (isClockSkew(error)) {
    return [
      "UNAVAILABLE",
      `AWS refused the time of this machine's clock (${name}), which the SDK has corrected for; try again`,
    ]
  }
  if (THROTTLED.has(name) || status === 429) {
    return [
      "THROTTLED",
      `DynamoDB throttled the request to table ${table} (${name}); try again later, or raise its limits`,
    ]
  }
  if (CONFLICT.has(name)) {
    return [
      "UNAVAILABLE",
      `DynamoDB refused a write that conflicts with another to table ${table} (${name}); try again`,
    ]
  }
  if (DENIED.has(name) || status === 401 || status === 403) {
    return [
      "ACCESS_DENIED",
      `AWS denied access to table ${table} (${name}); check the credentials, and that their policy allows ${permission}`,
    ]
  }
  if (name === "ResourceNotFoundException") {
    return [
      "STORE_NOT_FOUND",
      `there is no table ${table} in this AWS account and region; provision it, or check the region`,
    ]
  }
  if (name === "ValidationException") {
    return [
      "BINDING_INVALID",
      action === undefined
        ? `DynamoDB refused the request to table ${table} as invalid; the table needs the partition key pk and the sort key sk, both strings`
        : `DynamoDB refused ${action} for table ${table} as invalid: ${error instanceof Error ? error.message : name}`,
    ]
  }
  if (status !== undefined && status >= 400 && status < 500 && status !== 408) {
    return ["UNAVAILABLE", `DynamoDB refused the request to table ${table} (${name}, HTTP ${status})`]
  }
  // Also after a 5xx or a 408: DynamoDB does not promise that the write was not applied.
  if (effect === "write") {
    return [
      "OUTCOME_UNKNOWN",
      `the write to table ${table} got no answer that says whether it was applied (${describe(error)})`,
    ]
  }
  // A `TimeoutError` comes from a client of the caller with limits of its own.
  return name === "TimeoutError"
    ? ["TIMEOUT", `DynamoDB did not answer in time for table ${table}`]
    : ["UNAVAILABLE", `DynamoDB did not serve the request to table ${table} (${describe(error)})`]
}

const NOT_CONNECTED = /did not establish a connection|without establishing a connection/

/** Whether the error shows that no connection was established, so that the request was not sent. */
function wasNotSent(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  if (error instanceof AggregateError) return error.errors.length > 0 && error.errors.every(wasNotSent)
  if ("syscall" in error) return error.syscall === "connect" || error.syscall === "getaddrinfo"
  // The SDK's error for a connection that takes too long has no code. Its text has changed between versions.
  return error.name === "TimeoutError" && NOT_CONNECTED.test(error.message)
}

function isClockSkew(error: unknown): boolean {
  const metadata = metadataOf(error)
  return metadata !== undefined && "clockSkewCorrected" in metadata && metadata.clockSkewCorrected === true
}

/** The service's name of the error, and the id of the request. */
export function responseAttributes(error: unknown): Record<string, string> {
  const metadata = metadataOf(error)
  if (!(error instanceof Error) || metadata === undefined || httpStatusOf(error) === undefined) return {}
  const id =
    "requestId" in metadata && typeof metadata.requestId === "string" ? metadata.requestId : undefined
  return { "db.response.status_code": error.name, ...(id === undefined ? {} : { "aws.request_id": id }) }
}

function httpStatusOf(error: unknown): number | undefined {
  const metadata = metadataOf(error)
  if (metadata === undefined || !("httpStatusCode" in metadata)) return undefined
  return typeof metadata.httpStatusCode === "number" ? metadata.httpStatusCode : undefined
}

function metadataOf(error: unknown): object | undefined {
  if (!(error instanceof Error) || !("$metadata" in error)) return undefined
  return typeof error.$metadata === "object" && error.$metadata !== null ? error.$metadata : undefined
}

/** The code or the name of an error. Never the SDK's message, which may quote the request. */
function describe(error: unknown): string {
  if (!(error instanceof Error)) return typeof error
  return "code" in error && typeof error.code === "string" ? error.code : error.name
}
