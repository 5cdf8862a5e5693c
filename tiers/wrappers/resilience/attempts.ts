import type { BackendOperation, MaybePromise } from "../../backend.ts"
import { KvError, type KvErrorCode } from "../../errors.ts"
import type { Runtime } from "../../runtime.ts"
import { within } from "../../util/deadline.ts"

/** The limits that every call through {@link resilient} obeys, defaults filled in. */
export interface AttemptPolicy {
  readonly runtime: Runtime
  /** Kind of the backend, for errors. */
  readonly backend: string
  readonly timeoutMs: number
  readonly attemptTimeoutMs: number
  readonly maxAttempts: number
  readonly backoffBaseMs: number
  readonly backoffMaxMs: number
  readonly onRetry: ((retry: Retry) => void) | undefined
}

/** Told before the wait that precedes another attempt. */
export interface Retry {
  operation: AttemptedOperation
  /** The attempt that failed; the first is 1. */
  attempt: number
  /** How long the next attempt is put off, ms. */
  delayMs: number
  /** Why it failed. */
  error: KvError
  /** How many keys are tried again; 1 but for batches. */
  keys: number
}

type AttemptedOperation = BackendOperation | "wasWrittenBy"

/** What a call is, for its errors: `effect` says whether an attempt without an answer may have changed something. */
export interface CallKind {
  readonly operation: AttemptedOperation
  readonly effect: "read" | "write"
  /** Whether one attempt may take all the time of the call. */
  readonly unhurried?: true
}

/** One call under its one deadline: bounds its attempts, waits between them, and words the error that ends it. */
export class Call {
  /** Where it stands, from 1. */
  attempt = 1
  readonly #policy: AttemptPolicy
  readonly #kind: CallKind
  readonly #key: string | undefined
  readonly #startedAt: number

  constructor(policy: AttemptPolicy, kind: CallKind, key?: string) {
    this.#policy = policy
    this.#kind = kind
    this.#key = key
    this.#startedAt = policy.runtime.monotonic()
  }

  /** The answer to what was just sent, or, once the attempt has had its time, TIMEOUT for a read and OUTCOME_UNKNOWN for a write. */
  bound<T>(answer: MaybePromise<T>): MaybePromise<T> {
    if (!(answer instanceof Promise)) return answer
    const { runtime, timeoutMs, attemptTimeoutMs } = this.#policy
    const leftMs = this.attempt === 1 ? timeoutMs : Math.max(0, this.#leftMs())
    const limitMs = this.#kind.unhurried ? leftMs : Math.min(leftMs, attemptTimeoutMs)
    return within(runtime, answer, limitMs, () => this.#unanswered(limitMs))
  }

  /** Sends, unless the time of the call is up, and bounds the answer. */
  async send<T>(ask: () => MaybePromise<T>): Promise<T> {
    if (this.#leftMs() <= 0) throw this.#unanswered(0)
    return this.bound(start(ask))
  }

  /** Waits until it is time for another attempt, or throws the error that ends the call. */
  async retry(error: unknown, inDoubt = false): Promise<void> {
    if (this.mayRetry(error) && (await this.again(error))) return
    throw error instanceof KvError ? this.ending(error, inDoubt) : error
  }

  /** Whether another attempt may fare better. */
  mayRetry(error: unknown): error is KvError {
    if (!(error instanceof KvError)) return false
    return error.retryable || (error.code === "OUTCOME_UNKNOWN" && this.#kind.effect === "write")
  }

  /**
   * Waits until it is time for another attempt, with full jitter: uniformly up to a bound that doubles from attempt to
   * attempt, so that callers turned away together do not come back together. `false` if there is to be none.
   */
  async again(error: KvError, keys = 1): Promise<boolean> {
    const { runtime, maxAttempts, backoffBaseMs, backoffMaxMs, onRetry } = this.#policy
    const delayMs = runtime.random() * Math.min(backoffMaxMs, backoffBaseMs * 2 ** (this.attempt - 1))
    if (this.attempt >= maxAttempts || delayMs >= this.#leftMs()) return false
    onRetry?.({ operation: this.#kind.operation, attempt: this.attempt, delayMs, error, keys })
    await new Promise<void>((resolve) => void runtime.setTimer(resolve, delayMs))
    if (this.#leftMs() <= 0) return false
    this.attempt++
    return true
  }

  /**
   * What the caller is told if `error` was the last word: an answer as it is, and anything else with how often it was tried.
   * `inDoubt`: an earlier attempt of this write was left without an answer.
   */
  ending(error: KvError, inDoubt: boolean, key = this.#key): KvError {
    if (inDoubt || error.code === "OUTCOME_UNKNOWN") return this.unsettled(error.message, error, key)
    if (!error.retryable) return error
    const { operation } = this.#kind
    return this.#error(
      error.code,
      `${operation} failed ${this.#effort()}; last: ${error.message}`,
      key,
      error,
    )
  }

  /** The error that ends a write of which it cannot be told whether it was applied. */
  unsettled(why: string, cause?: KvError, key = this.#key): KvError {
    const { operation } = this.#kind
    return this.#error(
      "OUTCOME_UNKNOWN",
      `whether this ${operation} was applied, or may yet be, is not known ${this.#effort()} (${why}); ` +
        "read the key before writing it again",
      key,
      cause,
    )
  }

  #unanswered(limitMs: number): KvError {
    const code = this.#kind.effect === "write" ? "OUTCOME_UNKNOWN" : "TIMEOUT"
    return this.#error(
      code,
      `no answer from ${this.#policy.backend} within ${Math.round(limitMs)} ms`,
      this.#key,
      undefined,
    )
  }

  #error(code: KvErrorCode, message: string, key: string | undefined, cause: unknown): KvError {
    return new KvError(code, message, {
      operation: this.#kind.operation,
      backend: this.#policy.backend,
      key,
      cause,
    })
  }

  #effort(): string {
    const tookMs = Math.round(this.#policy.runtime.monotonic() - this.#startedAt)
    return `after ${this.attempt} ${this.attempt === 1 ? "attempt" : "attempts"} in ${tookMs} ms`
  }

  #leftMs(): number {
    return this.#startedAt + this.#policy.timeoutMs - this.#policy.runtime.monotonic()
  }
}

/** Asks; what is thrown on the spot becomes a rejection. */
export function start<T>(ask: () => MaybePromise<T>): MaybePromise<T> {
  try {
    return ask()
  } catch (error) {
    return Promise.reject(error)
  }
}
