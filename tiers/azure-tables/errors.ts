import { KvError, type KvErrorCode } from "../errors.ts"
import { CorruptRow } from "../util/binary-row.ts"
import { RequestTimedOut } from "../util/limited-request.ts"
import { isCredentialError, mayComeBack, TOKEN_IS_OVER } from "./credentials.ts"

export const KIND = "azure-tables"

/** One request, as its errors describe it. */
export interface Request {
  /** The method of the backend that sends it. */
  readonly operation: string
  readonly key?: string
  /** Whether the request may have changed something if it got no answer. */
  readonly effect: "read" | "write"
  /** Whether the service has answered an earlier request of this backend. */
  readonly wasAnswered?: boolean
}

/**
 * The answers of the service that are no failure: the entity does not exist, it exists already, or it has another ETag.
 * `ResourceNotFound` counts only in the JSON of the Table service: in XML it refers to the account, not to an entity.
 */
export type Refusal = "absent" | "exists" | "changed"

const REFUSALS: Readonly<Record<string, Refusal>> = {
  "404 ResourceNotFound": "absent",
  "404 EntityNotFound": "absent",
  "409 EntityAlreadyExists": "exists",
  "412 UpdateConditionNotSatisfied": "changed",
  "412 ConditionNotMet": "changed",
}

export function refusalOf(error: unknown): Refusal | undefined {
  if (!isRestError(error)) return undefined
  return REFUSALS[`${error.statusCode} ${tableCode(error)}`]
}

/** Maps the errors of the service, of the network and of the credential. */
export function toKvError(error: unknown, request: Request): KvError {
  if (error instanceof KvError) return error
  const { code, message } = reading(error, request)
  if (isRestError(error)) redact(error)
  const { operation, key } = request
  return new KvError(code, message, {
    operation,
    backend: KIND,
    key,
    retryAfterMs: retryAfterMs(error),
    cause: error,
  })
}

/** The result of `decode`, whose `CorruptRow` becomes `CORRUPT_ENTRY`. */
export function decoding<T>(operation: string, key: string, decode: () => T): T {
  try {
    return decode()
  } catch (error) {
    throw toKvError(error, { operation, key, effect: "read" })
  }
}

interface Reading {
  code: KvErrorCode
  message: string
}

function reading(error: unknown, { effect, wasAnswered = false }: Request): Reading {
  if (error instanceof CorruptRow) return { code: "CORRUPT_ENTRY", message: error.message }
  if (error instanceof RequestTimedOut) {
    if (effect === "write" && !error.sent) return { code: "UNAVAILABLE", message: error.message }
    return unanswered(effect, "TIMEOUT", error.message)
  }
  if (isCredentialError(error)) {
    if (mayComeBack(error, wasAnswered)) {
      return {
        code: "UNAVAILABLE",
        message: "the source of the Azure credentials gave none now; nothing was sent",
      }
    }
    return {
      code: "ACCESS_DENIED",
      message:
        "no Azure credential could be had: set AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT and " +
        "AZURE_STORAGE_KEY, or sign in in one of the ways of DefaultAzureCredential",
    }
  }
  if (!isRestError(error)) return unanswered(effect, "UNAVAILABLE", "the request to Azure Tables failed")
  if (error.statusCode === undefined) return networkFailure(error, effect)
  if (error.statusCode === 401 && TOKEN_IS_OVER.test(error.message)) {
    return {
      code: "UNAVAILABLE",
      message: "the access token had expired when it arrived; the next one is new",
    }
  }
  return refusal(error.statusCode, serviceCode(error), effect)
}

/** Codes of Node that mean that no connection was made, so that the request was not sent. */
const NOT_CONNECTED =
  /^(ECONNREFUSED|ENOTFOUND|EAI_|CERT_|ERR_TLS_|ERR_SSL_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_)/

function networkFailure({ code = "", message }: RestErrorLike, effect: Request["effect"]): Reading {
  if (code === "ENOTFOUND") {
    return {
      code: "UNAVAILABLE",
      message:
        "the host of the storage account does not resolve: check the account's name, or the name service",
    }
  }
  if (NOT_CONNECTED.test(code) || message.startsWith("connect ")) {
    return { code: "UNAVAILABLE", message: `no connection to Azure Tables (${code})` }
  }
  return unanswered(effect, "UNAVAILABLE", `the connection to Azure Tables failed (${code})`)
}

/**
 * The code for an error answer. Of the 5xx, only `ServerBusy` says that nothing was done: Azure documents it as "unable to receive requests",
 * and over a limit of the account.
 */
function refusal(status: number, code: string, effect: Request["effect"]): Reading {
  const answer = `Azure Tables answered ${status} ${code}`.trimEnd()
  if (status === 404 || code === "TableBeingDeleted") {
    return {
      code: "STORE_NOT_FOUND",
      message: `${answer}: the table, or its account, is not there; create the table, or check both names`,
    }
  }
  if (status === 401 || status === 403 || code === "InvalidAuthenticationInfo") {
    return {
      code: "ACCESS_DENIED",
      message: `${answer}: check the key, or give the identity the role Storage Table Data Contributor on the account`,
    }
  }
  if (status === 429 || code === "ServerBusy") {
    return {
      code: "THROTTLED",
      message: `${answer}: the account or a partition of the table is over its rate`,
    }
  }
  if (status >= 500 || status === 408) {
    return unanswered(effect, code === "OperationTimedOut" ? "THROTTLED" : "UNAVAILABLE", answer)
  }
  return {
    code: "BINDING_INVALID",
    message: `${answer}, which an Azure Tables endpoint has no reason to: check that the endpoint is one`,
  }
}

/** A failure after which a write may have been applied. */
function unanswered(effect: Request["effect"], readCode: KvErrorCode, message: string): Reading {
  if (effect === "read") return { code: readCode, message }
  return { code: "OUTCOME_UNKNOWN", message: `${message}; the write may have been applied, or may yet be` }
}

/** The used part of the SDK's `RestError`, recognised by name, so that the SDK need not be loaded. */
interface RestErrorLike extends Error {
  statusCode?: number
  code?: string
  details?: unknown
  request?: { url: string; body?: unknown; agent?: unknown; headers: { delete(name: string): void } }
  response?: { headers: { get(name: string): string | undefined } }
}

/**
 * How long the service wants not to be asked, ms: from the headers that the SDK's own retries read, of the answers for which they read
 * them. A date is compared with the date of the answer.
 */
function retryAfterMs(error: unknown): number | undefined {
  if (!isRestError(error) || (error.statusCode !== 429 && error.statusCode !== 503)) return undefined
  const header = (name: string) => error.response?.headers.get(name)
  const text = header("retry-after")
  const ms = header("retry-after-ms") ?? header("x-ms-retry-after-ms")
  const found =
    ms !== undefined
      ? Number(ms)
      : text === undefined || /^\d+$/.test(text)
        ? Number(text) * 1_000
        : Date.parse(text) - Date.parse(header("date") ?? "")
  return found >= 0 ? found : undefined
}

/** Removes the value and the signature of the request from an error that becomes a `cause`, because loggers print it. */
function redact(error: RestErrorLike): void {
  // The SDK quotes the body of the answer, which contains the value.
  if (error.code === "PARSE_ERROR") error.message = "the body of the answer could not be parsed"
  const { request } = error
  if (request === undefined) return
  request.headers.delete("authorization")
  request.url = request.url.replace(/([?&]sig=)[^&]*/, "$1…")
  request.body = undefined
  request.agent = undefined
}

function isRestError(error: unknown): error is RestErrorLike {
  return error instanceof Error && error.name === "RestError"
}

/** The code in the Table service's own JSON; within a transaction the SDK has read it already. */
function tableCode(error: RestErrorLike): string | undefined {
  if (error.details === undefined) return error.code
  return text(property(property(error.details, "odataError"), "code"))
}

/** The code, in any of the forms that the service and its front ends use. */
function serviceCode(error: RestErrorLike): string {
  return (
    tableCode(error) ??
    text(property(error.details, "Code")) ??
    error.response?.headers.get("x-ms-error-code") ??
    ""
  )
}

/** The service's code of the error, or else its HTTP status, and the id of the request. */
export function responseAttributes(error: unknown): Record<string, string> {
  if (!isRestError(error) || error.statusCode === undefined) return {}
  const id = error.response?.headers.get("x-ms-request-id")
  return {
    "db.response.status_code": serviceCode(error) || String(error.statusCode),
    ...(id === undefined ? {} : { "azure.service.request.id": id }),
  }
}

function property(of: unknown, name: string): unknown {
  return typeof of === "object" && of !== null ? Reflect.get(of, name) : undefined
}

function text(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined
}
