/**
 * The kind of a failure. The message of the error says what was found, what is allowed and what to do.
 *
 * | code | meaning | retryable |
 * | --- | --- | --- |
 * | `INVALID_KEY`, `INVALID_VALUE`, `INVALID_TTL`, `INVALID_ID`, `INVALID_OPTION`, `INVALID_CURSOR`, `INVALID_VERSION` | the call is not valid; nothing was sent | no |
 * | `BINDING_NOT_CONFIGURED`, `BINDING_INVALID`, `DEPENDENCY_MISSING` | the store cannot be opened as configured | no |
 * | `STORE_NOT_FOUND`, `ACCESS_DENIED` | the service answered: the table does not exist, or access is denied | no |
 * | `THROTTLED`, `UNAVAILABLE`, `TIMEOUT` | the service did not serve the call; a write with this code was not applied and will not be | yes |
 * | `OUTCOME_UNKNOWN` | the write may have been applied, or may still be | no |
 * | `CORRUPT_ENTRY` | the row exists but cannot be decoded | no |
 * | `PARTIAL_FAILURE` | some keys of a batch failed, see {@link KvPartialError} | no |
 * | `CLOSED` | the store, or this handle of it, is closed | no |
 */
export type KvErrorCode =
  | "INVALID_KEY"
  | "INVALID_VALUE"
  | "INVALID_TTL"
  | "INVALID_ID"
  | "INVALID_OPTION"
  | "INVALID_CURSOR"
  | "INVALID_VERSION"
  | "BINDING_NOT_CONFIGURED"
  | "BINDING_INVALID"
  | "DEPENDENCY_MISSING"
  | "STORE_NOT_FOUND"
  | "ACCESS_DENIED"
  | "THROTTLED"
  | "UNAVAILABLE"
  | "TIMEOUT"
  | "OUTCOME_UNKNOWN"
  | "CORRUPT_ENTRY"
  | "PARTIAL_FAILURE"
  | "CLOSED"

const RETRYABLE: ReadonlySet<KvErrorCode> = new Set(["THROTTLED", "UNAVAILABLE", "TIMEOUT"])

export interface KvErrorDetails {
  /** The call that failed: `get`, `put`, `scan`, `open`, … */
  operation: string
  /** Kind of the backend, `dynamodb` for example; absent if the failure came before any backend. */
  backend?: string | undefined
  /** The key of the call. It is not in the message, because keys are often personal data. */
  key?: string | undefined
  /** The limit that was exceeded, in bytes. */
  limit?: number | undefined
  /** The size that exceeded the limit, in bytes. */
  actual?: number | undefined
  /** Whether the queue of calls that wait for a request was full. */
  queueFull?: boolean | undefined
  /** Time after which the service wants to be asked again, ms. */
  retryAfterMs?: number | undefined
  /** The error of the SDK, unchanged. */
  cause?: unknown
}

/** Marks the errors of every copy of this package in a process. */
const BRAND = Symbol.for("tiered-kv.KvError")

/** Whether `error` is a {@link KvError}, also one of another copy of this package, of which `instanceof` says no. */
export function isKvError(error: unknown): error is KvError {
  return error instanceof Error && BRAND in error
}

/** Every failure of the store, except an error of a loader and the reason of an aborted signal, which are passed on unchanged. */
export class KvError extends Error {
  readonly code: KvErrorCode
  /** Whether the same call may succeed when it is made again. */
  readonly retryable: boolean
  readonly operation: string
  declare readonly backend?: string
  /** Name of the store that failed; absent if a call was refused before the backend was asked. */
  declare readonly store?: string
  /** Where the entries of that store lie: a table, a server, a directory, without credentials. Absent as `store` is. */
  declare readonly target?: string
  declare readonly key?: string
  declare readonly limit?: number
  declare readonly actual?: number
  /** `true`: nothing was sent, because too many calls of the store already wait for the backend. */
  declare readonly queueFull?: true
  /** Time after which the service wants to be asked again, ms; absent if it does not say. */
  declare readonly retryAfterMs?: number

  constructor(code: KvErrorCode, message: string, details: KvErrorDetails) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.code = code
    this.retryable = RETRYABLE.has(code)
    this.operation = details.operation
    if (details.backend !== undefined) this.backend = details.backend
    // Not enumerable, so that what prints an error does not print the key.
    if (details.key !== undefined) Object.defineProperty(this, "key", { value: details.key })
    if (details.limit !== undefined) this.limit = details.limit
    if (details.actual !== undefined) this.actual = details.actual
    if (details.queueFull) this.queueFull = true
    if (details.retryAfterMs !== undefined) this.retryAfterMs = details.retryAfterMs
  }

  get [BRAND](): true {
    return true
  }

  override get name(): string {
    return "KvError"
  }
}

/** Says in a `KvError`, and in those of its keys, which store failed. The first store that says so counts. */
export function locate(error: unknown, place: { readonly store: string; readonly target: string }): void {
  if (!(error instanceof KvError)) return
  if (error.store === undefined) Object.assign(error, place)
  if (error instanceof KvPartialError) for (const failed of error.failed.values()) locate(failed, place)
}

/** `PARTIAL_FAILURE`: some keys of a batch failed. Every key of the call is in `failed` or in `applied`. */
export class KvPartialError extends KvError {
  /** The keys that failed, each with its own error. */
  readonly failed: ReadonlyMap<string, KvError>
  /** The keys whose write or delete was applied. */
  readonly applied: readonly string[]

  constructor(failed: ReadonlyMap<string, KvError>, applied: readonly string[], details: KvErrorDetails) {
    const codes = [...new Set([...failed.values()].map((error) => error.code))].join(", ")
    const first = failed.values().next().value
    super(
      "PARTIAL_FAILURE",
      `${failed.size} of ${failed.size + applied.length} keys failed (${codes}), the first because: ${first?.message}. ` +
        "`failed` holds each key with its error, `applied` the keys that were written",
      { cause: first, ...details },
    )
    this.failed = failed
    this.applied = applied
  }
}
