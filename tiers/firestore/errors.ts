import { KvError, type KvErrorCode } from "../errors.ts"
import { CorruptRow } from "./row.ts"

export const KIND = "firestore"

export interface FailedRequest {
  /** The method of the backend that made the request. */
  operation: string
  key?: string | undefined
  /**
   * What the request may have changed if it has no answer. `reread`: nothing; it reads the row after the precondition of a write did not
   * hold.
   */
  effect: "read" | "write" | "reread"
  /** Database and collection, for messages. */
  target?: string | undefined
  /** The role or the permissions that the request needs, for messages. @default "roles/datastore.user" */
  needs?: string
  /** Whether the SDK may have sent a write more than once. Then the last answer does not show the outcome of the earlier attempts. */
  mayRepeat?: boolean
}

/** The answer of the service ended without a document that was asked for. */
export class Unprocessed extends Error {
  override get name(): string {
    return "Unprocessed"
  }
}

/** A request was not sent: its limit was reached before a channel had room for it, or the channels were closed. */
export class NotSent extends Error {
  readonly reason: "late" | "closed"

  constructor(reason: "late" | "closed") {
    super(reason === "late" ? "no channel had room for the request in time" : "the channels were closed")
    this.reason = reason
  }

  override get name(): string {
    return "NotSent"
  }
}

/** The service refused the access token of a request, which was therefore not carried out. Another attempt has a new one. */
export class TokenRefused extends Error {
  readonly code = GRPC.UNAUTHENTICATED

  constructor(cause: unknown) {
    super("the access token was refused, and renewed", { cause })
  }

  override get name(): string {
    return "TokenRefused"
  }
}

/** The status codes of gRPC that the service uses. */
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

/** Maps the errors of the SDK, of gRPC and of the row codec. No other place maps errors. */
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
 * Whether the service refused a write because its precondition does not hold. `NOT_FOUND` can also mean that there is no database; the read
 * that follows a refusal shows which.
 */
export function isRefusal(error: unknown): boolean {
  const code = statusOf(error)
  return code === GRPC.ALREADY_EXISTS || code === GRPC.FAILED_PRECONDITION || code === GRPC.NOT_FOUND
}

/** Whether gRPC ended a call at the deadline of this process, in contrast to a deadline in the service. */
export function isOwnDeadline(error: unknown): boolean {
  return statusOf(error) === GRPC.DEADLINE_EXCEEDED && detailsOf(error).startsWith("Deadline exceeded after")
}

type Verdict = [KvErrorCode, string]

/**
 * A write with one of the codes that are not retryable was not applied: by gRPC's definition the service rejected it. `ABORTED` is retryable
 * and was not applied either: Firestore documents that it aborts a commit to keep the order of the others. Of all other codes neither gRPC
 * nor Firestore says that the write was not applied, of `RESOURCE_EXHAUSTED` as little as of `UNAVAILABLE`.
 */
function judge(error: unknown, request: FailedRequest): Verdict {
  if (error instanceof CorruptRow)
    return ["CORRUPT_ENTRY", `the document is no row of a store: ${error.message}`]
  const at = request.target === undefined ? "Firestore" : `Firestore (${request.target})`
  if (error instanceof Unprocessed)
    return ["THROTTLED", `${at} left the document out of its answer; try again later`]
  if (error instanceof NotSent) {
    return error.reason === "closed"
      ? ["CLOSED", "the backend was closed before the request was sent"]
      : unanswered(error, request, "TIMEOUT", "all channels to Firestore were busy; nothing was sent")
  }
  if (error instanceof TokenRefused)
    return ["UNAVAILABLE", `${at} refused an access token whose time was over, which is renewed; try again`]
  if (lackedToken(error)) {
    return isPassing(error)
      ? unanswered(error, request, "UNAVAILABLE", "Google's token service could not be reached")
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
        `${at} denies this to these credentials; grant them ${request.needs ?? "roles/datastore.user"}, and check that the Firestore API is enabled`,
      ]
    case GRPC.UNAUTHENTICATED:
      return ["ACCESS_DENIED", `${at} does not accept these credentials; renew or correct them`]
    case GRPC.INVALID_ARGUMENT:
      return [
        "BINDING_INVALID",
        `${at} rejects the request as invalid; check project, database and collection`,
      ]
    case GRPC.FAILED_PRECONDITION:
      return ["BINDING_INVALID", `${at} cannot serve this; the database has to be one in native mode`]
    case GRPC.UNIMPLEMENTED:
      return ["BINDING_INVALID", `what answered at the endpoint is not ${at}; correct the endpoint`]
    case GRPC.RESOURCE_EXHAUSTED:
      return unanswered(
        error,
        request,
        "THROTTLED",
        `${at} throttles: too many requests, or a quota is used up`,
      )
    case GRPC.ABORTED: {
      const message = `${at} aborted the request in favour of others on the same documents`
      return request.mayRepeat
        ? unanswered(error, request, "THROTTLED", message)
        : ["THROTTLED", `${message}; it was not applied`]
    }
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

/** The verdict on a request whose effect no answer shows. `code` is that of a read. */
function unanswered(error: unknown, request: FailedRequest, code: KvErrorCode, message: string): Verdict {
  if (isInDoubt(error, request))
    return ["OUTCOME_UNKNOWN", `${message}; the write may have been applied, or may yet be`]
  return [code === "TIMEOUT" && request.effect !== "read" ? "UNAVAILABLE" : code, message]
}

function isInDoubt(error: unknown, { effect, mayRepeat = false }: FailedRequest): boolean {
  if (effect !== "write") return effect === "reread" && mayRepeat
  if (error instanceof NotSent) return false
  return mayRepeat || !wasNotSent(error)
}

/**
 * Whether gRPC gave up before it had a connection or a token, so that the service has not received the call. Only the texts of its errors
 * show it: those of calls on a connection contain the address of the peer.
 */
function wasNotSent(error: unknown): boolean {
  if (lackedToken(error)) return true
  if (/^(No connection established|Name resolution failed)/.test(detailsOf(error))) return true
  return isOwnDeadline(error) && !detailsOf(error).includes("remote_addr=")
}

/** Whether gRPC had no access token to send the call with. It uses several statuses for that. */
function lackedToken(error: unknown): boolean {
  return detailsOf(error).includes("Getting metadata from plugin failed")
}

/** Whether it was the network, or an overloaded service, that kept a token from being given. */
export function isPassing(error: unknown): boolean {
  const text = detailsOf(error) || (error instanceof Error ? error.message : "")
  return /ECONN|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|socket hang up|timed? ?out|status code (429|5\d\d)/i.test(
    text,
  )
}

/** Whether the service does not accept the token that a request was sent with. */
export function isRefusedToken(error: unknown): boolean {
  return statusOf(error) === GRPC.UNAUTHENTICATED && !lackedToken(error)
}

/** The gRPC status of an error, if it has one. */
export function statusOf(error: unknown): number | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "number" ? error.code : undefined
}

/** The name of gRPC's code. */
export function responseAttributes(error: unknown): Record<string, string> {
  const status = statusOf(error)
  const [name] = Object.entries(GRPC).find(([, code]) => code === status) ?? []
  return status === undefined ? {} : { "db.response.status_code": name ?? String(status) }
}

function detailsOf(error: unknown): string {
  return error instanceof Error && "details" in error && typeof error.details === "string"
    ? error.details
    : ""
}
