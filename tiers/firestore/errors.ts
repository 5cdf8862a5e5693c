import { KvError, type KvErrorCode } from "../errors.ts"
import { CorruptRow } from "./row.ts"

export const KIND = "firestore"

export interface FailedRequest {
  /** The method of the backend that makes it. */
  operation: string
  /** Whether a request without an answer may have changed something. */
  effect: "read" | "write"
  key?: string | undefined
  /** Database and collection, for messages. */
  target?: string | undefined
  /** What the caller has to be allowed. @default "roles/datastore.user" */
  needs?: string
  /** The SDK may have sent it more than once, so that its last attempt does not tell what came of the others. */
  mayRepeat?: boolean
}

/** The service ended an answer without a word on a document that it was asked for. */
export class Unprocessed extends Error {
  override get name(): string {
    return "Unprocessed"
  }
}

/** gRPC's status codes, as the service uses them. */
export const GRPC = {
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const

/** Turns whatever the SDK or gRPC threw into the error that the contract of a backend asks for. */
export function toKvError(error: unknown, request: FailedRequest): KvError {
  if (error instanceof KvError) return error
  const [code, message] = judge(error, request)
  return new KvError(code, message, {
    operation: request.operation,
    backend: KIND,
    key: request.key,
    cause: error,
  })
}

/**
 * Whether a conditional write was turned away because its precondition does not hold. `NOT_FOUND` may also say that there
 * is no database: the read that follows a refusal tells.
 */
export function isRefusal(error: unknown): boolean {
  const code = statusOf(error)
  return code === GRPC.ALREADY_EXISTS || code === GRPC.FAILED_PRECONDITION || code === GRPC.NOT_FOUND
}

function judge(error: unknown, request: FailedRequest): [KvErrorCode, string] {
  if (error instanceof CorruptRow)
    return ["CORRUPT_ENTRY", `the document is no row of a store: ${error.message}`]
  const at = request.target === undefined ? "Firestore" : `Firestore (${request.target})`
  if (error instanceof Unprocessed)
    return ["THROTTLED", `${at} left the document out of its answer; try again later`]
  if (lackedToken(error)) {
    return isPassing(error)
      ? ["UNAVAILABLE", "Google's token service could not be reached, so Firestore was not asked"]
      : ["ACCESS_DENIED", "Google's token service gave nothing for these credentials; renew or correct them"]
  }
  switch (statusOf(error)) {
    case GRPC.NOT_FOUND:
      return [
        "STORE_NOT_FOUND",
        `${at} has no such database, or no such project; create the database in native mode, or correct the binding`,
      ]
    case GRPC.PERMISSION_DENIED:
      return [
        "ACCESS_DENIED",
        `${at} does not let these credentials do this; grant them ${request.needs ?? "roles/datastore.user"}, and see that the Firestore API is enabled`,
      ]
    case GRPC.UNAUTHENTICATED:
      return ["ACCESS_DENIED", `${at} does not accept these credentials; renew or correct them`]
    case GRPC.INVALID_ARGUMENT:
      return [
        "BINDING_INVALID",
        `${at} takes the request for invalid; check project, database and collection`,
      ]
    case GRPC.FAILED_PRECONDITION:
      return ["BINDING_INVALID", `${at} cannot serve this; the database has to be one in native mode`]
    case GRPC.UNIMPLEMENTED:
      return ["BINDING_INVALID", `what answered at the endpoint is not ${at}; correct the endpoint`]
    case GRPC.RESOURCE_EXHAUSTED:
      return ["THROTTLED", `${at} turned the call away: too many requests, or a quota is used up`]
    case GRPC.ABORTED:
      return ["THROTTLED", `${at} gave the call up for others on the same documents; it was not applied`]
    case GRPC.DEADLINE_EXCEEDED:
      return unanswered(error, request, "TIMEOUT", `${at} did not answer in time`)
    case undefined:
      if (error instanceof Error && /default credentials|credential/i.test(error.message)) {
        return [
          "ACCESS_DENIED",
          "no credentials for Google Cloud were found; set GOOGLE_APPLICATION_CREDENTIALS, or run `gcloud auth application-default login`",
        ]
      }
      return unanswered(error, request, "UNAVAILABLE", `${at} could not be asked`)
    default:
      return unanswered(error, request, "UNAVAILABLE", `${at} could not be reached, or failed`)
  }
}

function unanswered(
  error: unknown,
  request: FailedRequest,
  code: KvErrorCode,
  message: string,
): [KvErrorCode, string] {
  if (request.effect === "read" || (!request.mayRepeat && wasNotSent(error))) return [code, message]
  return ["OUTCOME_UNKNOWN", `${message}; the write may have been applied, or may yet be`]
}

/**
 * Whether gRPC gave up before it had a connection, so that the service knows nothing of the call. Its errors tell by their
 * text alone: those that come of a connection name the peer.
 */
function wasNotSent(error: unknown): boolean {
  const details = detailsOf(error)
  if (/^(No connection established|Name resolution failed)/.test(details)) return true
  return details.startsWith("Deadline exceeded after") && !details.includes("remote_addr=")
}

/** Whether gRPC had no access token to send the call with, for which it has several statuses. */
function lackedToken(error: unknown): boolean {
  return detailsOf(error).includes("Getting metadata from plugin failed")
}

function isPassing(error: unknown): boolean {
  return /ECONN|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|socket hang up|status code 5\d\d/.test(
    detailsOf(error),
  )
}

/** The gRPC status of an error, if it has one. */
export function statusOf(error: unknown): number | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "number" ? error.code : undefined
}

function detailsOf(error: unknown): string {
  return error instanceof Error && "details" in error && typeof error.details === "string"
    ? error.details
    : ""
}
