import type { Callers, MaybePromise } from "../../backend.ts"
import { KvError, type KvErrorCode } from "../../errors.ts"
import type { Runtime } from "../../runtime.ts"
import type { CallObserver, ObservedCall, Operation, Subject } from "./observer.ts"

/** The limits of every call through `resilient`, with their defaults filled in. */
export interface CallPolicy {
  readonly runtime: Runtime
  /** Kind of the backend, for errors. */
  readonly backend: string
  readonly timeoutMs: number
  readonly attemptTimeoutMs: number
  readonly maxAttempts: number
  readonly backoffBaseMs: number
  readonly backoffMaxMs: number
  readonly observer: CallObserver | undefined
}

/** The kind of a call. `effect` says whether an attempt without an answer may have changed something. */
export interface CallKind {
  readonly operation: Operation
  readonly effect: "read" | "write"
  /** Whether one attempt may take the whole time of the call. */
  readonly unhurried?: true
}

/** A method of the backend that attempts call. */
export interface Method<A extends unknown[], T> {
  readonly send: (...args: A) => MaybePromise<T>
  /** Is called with every answer, including one that comes after the deadline. */
  readonly answered: ((args: A, answer: T) => void) | undefined
}

/** One call: makes its attempts, bounds them in time, waits between them, and makes the error that ends the call. */
export class Call {
  /** Number of the current attempt, from 1. */
  attempts = 1
  readonly #policy: CallPolicy
  readonly #kind: CallKind
  readonly #key: string | undefined
  readonly #startedAt: number
  readonly #observed: ObservedCall | undefined

  constructor(policy: CallPolicy, kind: CallKind, subject: Subject, callers: Callers | undefined) {
    this.#policy = policy
    this.#kind = kind
    this.#key = typeof subject === "string" && kind.operation !== "scan" ? subject : undefined
    this.#startedAt = policy.runtime.monotonic()
    this.#observed = policy.observer?.begin(kind.operation, subject, callers)
  }

  /** The context in which its attempts run, see {@link CallObserver.run}; `undefined`: the current one. */
  get scope(): unknown {
    return this.#observed?.scope
  }

  /** Makes an attempt; rejects if the time of the call is over. */
  attempt<A extends unknown[], T>(method: Method<A, T>, ...args: A): MaybePromise<T> {
    if (this.#leftMs() <= 0) return Promise.reject(this.#unanswered(0))
    const { observer } = this.#policy
    const { scope } = this
    try {
      const answer =
        scope === undefined || observer === undefined
          ? method.send(...args)
          : observer.run(scope, method.send, undefined, ...args)
      return this.bound(answer, method, args)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** The answer to an attempt; after the deadline of the attempt `TIMEOUT` for a read and `OUTCOME_UNKNOWN` for a write. */
  bound<A extends unknown[], T>(
    answer: MaybePromise<T>,
    { answered }: Method<A, T>,
    args: A,
  ): MaybePromise<T> {
    if (!(answer instanceof Promise)) {
      answered?.(args, answer)
      return answer
    }
    const { runtime, timeoutMs, attemptTimeoutMs } = this.#policy
    const leftMs = this.attempts === 1 ? timeoutMs : Math.max(0, this.#leftMs())
    const limitMs = this.#kind.unhurried ? leftMs : Math.min(leftMs, attemptTimeoutMs)
    return new Promise((resolve, reject) => {
      const timer = runtime.setTimer(() => reject(this.#unanswered(limitMs)), limitMs)
      answer.then(
        (value) => {
          timer.cancel()
          answered?.(args, value)
          resolve(value)
        },
        (error: unknown) => {
          timer.cancel()
          reject(error)
        },
      )
    })
  }

  /** Reports the outcome of the call to the observer, and returns it unchanged. The observer is called before the caller. */
  end<T>(outcome: MaybePromise<T>): MaybePromise<T> {
    const observed = this.#observed
    if (observed === undefined) return outcome
    if (!(outcome instanceof Promise)) observed.ended(outcome)
    else {
      outcome.then(
        (answer) => observed.ended(answer),
        (error: unknown) => observed.failed(error),
      )
    }
    return outcome
  }

  /** Waits for the next attempt, or throws the error that ends the call. */
  async retry(error: unknown, inDoubt = false): Promise<void> {
    if (this.mayRetry(error) && (await this.again(error))) return
    throw error instanceof KvError ? this.ending(error, inDoubt) : error
  }

  /** Whether another attempt may succeed after `error`. */
  mayRetry(error: unknown): error is KvError {
    if (!(error instanceof KvError)) return false
    return error.retryable || (error.code === "OUTCOME_UNKNOWN" && this.#kind.effect === "write")
  }

  /**
   * Waits for the next attempt, with full jitter: the wait is uniform up to a bound that doubles from attempt to attempt, so that callers
   * that failed together do not try again together. Returns `false` if no attempt or no time is left.
   */
  async again(error: KvError, keys = 1): Promise<boolean> {
    const { runtime, maxAttempts, backoffBaseMs, backoffMaxMs } = this.#policy
    const { operation } = this.#kind
    const delayMs = runtime.random() * Math.min(backoffMaxMs, backoffBaseMs * 2 ** (this.attempts - 1))
    if (this.attempts >= maxAttempts || delayMs >= this.#leftMs()) return false
    this.#observed?.retried({ operation, attempt: this.attempts, delayMs, error, keys })
    await new Promise<void>((resolve) => void runtime.setTimer(resolve, delayMs))
    if (this.#leftMs() <= 0) return false
    this.attempts++
    return true
  }

  /**
   * The error that ends the call after `error`: an error that is an answer of the service unchanged, any other with the number of attempts.
   * `inDoubt`: an earlier attempt of this write got no answer.
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

  /** The error that ends a write whose outcome cannot be found out. */
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
    return `after ${this.attempts} ${this.attempts === 1 ? "attempt" : "attempts"} in ${tookMs} ms`
  }

  #leftMs(): number {
    return this.#startedAt + this.#policy.timeoutMs - this.#policy.runtime.monotonic()
  }
}
