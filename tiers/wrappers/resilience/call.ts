import type { MaybePromise, RequestOptions } from "../../backend.ts"
import { KvError, type KvErrorCode, type KvErrorDetails } from "../../errors.ts"
import { callersIn, isConditional } from "./arguments.ts"
import type { Found } from "./beside.ts"
import type { ObservedCall, Operation, Subject } from "./observer.ts"
import type { CallPolicy, Limits } from "./policy.ts"

/** A kind of call, and what it may have changed if it is not answered. */
export interface CallKind {
  readonly operation: Operation
  readonly effect: "read" | "write"
  /** The limits that it is under. */
  readonly limits: "read" | "write" | "scan"
}

/** A method of the backend. */
export interface Method<A extends unknown[], T> {
  readonly kind: CallKind
  /** Sends one request. */
  readonly send: (...args: A) => MaybePromise<T>
  /** The arguments of one request, with its options. */
  readonly with: (args: A, request: RequestOptions) => A
  /** Is called with every answer, including one that comes after the deadline. */
  readonly answered: ((args: A, answer: T) => void) | undefined
}

/** One call: sends its requests, bounds them in time, waits between them, and makes the error that ends the call. */
export class Call {
  /** Number of requests so far. */
  attempts = 1
  readonly #policy: CallPolicy
  readonly #kind: CallKind
  readonly #limits: Limits
  readonly #key: string | undefined
  readonly #startedAt: number
  readonly #observed: ObservedCall | undefined
  #budgetIsSpent = false
  /** The error of an attempt that was not sent, because its time was over in the queue. */
  #refused: KvError | undefined

  constructor(policy: CallPolicy, kind: CallKind, args: readonly [Subject, ...unknown[]]) {
    const [subject] = args
    this.#policy = policy
    this.#kind = kind
    this.#limits = policy.limits[kind.limits]
    this.#key = typeof subject === "string" && kind.operation !== "scan" ? subject : undefined
    this.#startedAt = policy.runtime.monotonic()
    policy.budget.count(this.#startedAt)
    this.#observed = policy.observer?.begin(kind.operation, subject, callersIn(args), isConditional(args))
  }

  /** The context in which its requests are sent, see `CallObserver.run`; `undefined`: the current one. */
  get scope(): unknown {
    return this.#observed?.scope
  }

  /** Sends one request of the call, as soon as the limiter allows it and if that is within the time of the call. */
  async attempt<A extends unknown[], T>(method: Method<A, T>, args: A, beside?: () => Found<T>): Promise<T> {
    const { limiter, observer } = this.#policy
    if (!limiter.tryEnter()) await this.#queue()
    const limitMs = Math.min(this.#leftMs(), this.#limits.attemptMs)
    if (limitMs <= 0) {
      limiter.leave()
      throw this.#error("TIMEOUT", `its time of ${this.#limits.timeoutMs} ms was over before it was sent`)
    }
    const { scope } = this
    const sent = method.with(args, { timeoutMs: limitMs })
    let answer: MaybePromise<T>
    try {
      answer =
        scope === undefined || observer === undefined
          ? method.send(...sent)
          : observer.run(scope, method.send, undefined, ...sent)
    } catch (error) {
      limiter.leave()
      throw error
    }
    return this.answered(answer, method, args, limitMs, beside)
  }

  /** Waits in the queue of the limiter. */
  async #queue(): Promise<void> {
    const { limiter, runtime } = this.#policy
    if (limiter.isFull) {
      throw this.#error("THROTTLED", "too many calls of this store wait for the backend; nothing was sent", {
        queueFull: true,
      })
    }
    if (await limiter.enter(runtime, this.#leftMs())) return
    this.#refused = this.#error(
      "TIMEOUT",
      `it waited ${Math.round(this.#limits.timeoutMs)} ms for other requests of this store to end, and was not sent`,
    )
    throw this.#refused
  }

  /**
   * The answer to a request that has entered the limiter; after `limitMs` the error of one that was not answered. If it is slow,
   * `beside` looks for an answer elsewhere, within the retry budget; the first answer counts.
   */
  answered<A extends unknown[], T>(
    answer: MaybePromise<T>,
    method: Method<A, T>,
    args: A,
    limitMs: number,
    beside?: () => Found<T>,
  ): MaybePromise<T> {
    const { limiter, runtime, counters } = this.#policy
    const { answered } = method
    if (!(answer instanceof Promise)) {
      limiter.leave()
      answered?.(args, answer)
      return answer
    }
    const { besideMs } = this.#limits
    return new Promise((resolve, reject) => {
      let looking = false
      let failure: KvError | undefined
      let isOpen = true
      const end = () => {
        if (isOpen) limiter.leave()
        isOpen = false
      }
      const late = () => {
        end()
        reject(failure ?? this.#unanswered(method.kind, limitMs))
      }
      const look = async (find: () => Found<T>) => {
        looking = true
        const found = await find()
        looking = false
        // The request stays open, and its timer with it.
        if (found !== undefined) resolve(found.answer)
        else if (failure !== undefined) {
          timer.cancel()
          reject(failure)
        }
      }
      let timer =
        beside === undefined || besideMs >= limitMs
          ? runtime.setTimer(late, limitMs)
          : runtime.setTimer(() => {
              timer = runtime.setTimer(late, limitMs - besideMs)
              if (this.#joins()) void look(beside)
            }, besideMs)
      answer.then(
        (value) => {
          end()
          timer.cancel()
          if (isThrottled(value)) counters.throttles++
          answered?.(args, value)
          resolve(value)
        },
        (error: unknown) => {
          end()
          if (isThrottled(error)) counters.throttles++
          if (looking && error instanceof KvError && this.mayRetry(error)) {
            failure = error
            return
          }
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
  async retry(error: unknown): Promise<void> {
    if (!(error instanceof KvError)) throw error
    if (this.mayRetry(error) && (await this.again(error))) return
    throw this.ending(error)
  }

  /** Whether another request may succeed, or tell more, after `error`. */
  mayRetry(error: KvError): boolean {
    if (error.queueFull) return false
    return error.retryable || error.code === "OUTCOME_UNKNOWN"
  }

  /** Takes one request from the retry budget; `false` if none is left. */
  spend(): boolean {
    const { budget, runtime } = this.#policy
    if (budget.spend(runtime.monotonic())) return true
    this.#budgetIsSpent = true
    return false
  }

  /**
   * Waits for the next request, with full jitter: the wait is uniform up to a bound that doubles from request to request, so that callers
   * that failed together do not try again together. It begins after the time that the service asks for. Returns `false` if no attempt, no
   * time or no budget is left. `free`: it is not taken from the budget.
   */
  async again(error: KvError, { keys = 1, free = false } = {}): Promise<boolean> {
    const { runtime, maxAttempts, backoffBaseMs, backoffMaxMs } = this.#policy
    const backoffMs = runtime.random() * Math.min(backoffMaxMs, backoffBaseMs * 2 ** (this.attempts - 1))
    const delayMs = (error.retryAfterMs ?? 0) + backoffMs
    if (this.attempts >= maxAttempts || delayMs >= this.#leftMs()) return false
    if (!free && !this.spend()) return false
    this.#retried(error, delayMs, keys)
    await new Promise<void>((resolve) => void runtime.setTimer(resolve, delayMs))
    if (this.#leftMs() <= 0) return false
    this.attempts++
    return true
  }

  /** Whether a request may join a slow one. */
  #joins(): boolean {
    if (this.attempts >= this.#policy.maxAttempts || !this.spend()) return false
    this.#retried(this.#unanswered(this.#kind, this.#limits.besideMs), 0, 1)
    this.attempts++
    return true
  }

  #retried(error: KvError, delayMs: number, keys: number): void {
    const { operation } = this.#kind
    this.#policy.counters.retries++
    this.#observed?.retried({ operation, attempt: this.attempts, delayMs, error, keys })
  }

  /** The error that ends the call after `error`: an error that is an answer of the service unchanged, any other with the number of attempts. */
  ending(error: KvError, key = this.#key): KvError {
    const wasNeverSent = this.attempts === 1 && error === this.#refused
    if (!error.retryable || error.queueFull || wasNeverSent) return error
    const { operation } = this.#kind
    return this.#error(error.code, `${operation} failed ${this.#effort()}; last: ${error.message}`, {
      key,
      retryAfterMs: error.retryAfterMs,
      cause: error,
    })
  }

  /** The error that ends a write whose outcome cannot be found out. */
  unsettled(why: string, cause?: KvError, key = this.#key): KvError {
    const { operation } = this.#kind
    return this.#error(
      "OUTCOME_UNKNOWN",
      `whether this ${operation} was applied, or may yet be, is not known ${this.#effort()} (${why}); ` +
        "read the key before writing it again",
      { key, cause },
    )
  }

  #unanswered({ effect }: CallKind, limitMs: number): KvError {
    const code = effect === "write" ? "OUTCOME_UNKNOWN" : "TIMEOUT"
    return this.#error(code, `no answer from ${this.#policy.backend} within ${Math.round(limitMs)} ms`)
  }

  #error(code: KvErrorCode, message: string, details: Partial<KvErrorDetails> = {}): KvError {
    const { operation } = this.#kind
    return new KvError(code, message, {
      operation,
      backend: this.#policy.backend,
      key: this.#key,
      ...details,
    })
  }

  #effort(): string {
    const tookMs = Math.round(this.#policy.runtime.monotonic() - this.#startedAt)
    const attempts = `${this.attempts} ${this.attempts === 1 ? "attempt" : "attempts"}`
    return `after ${attempts} in ${tookMs} ms${this.#budgetIsSpent ? ", with the retry budget used up" : ""}`
  }

  #leftMs(): number {
    return this.#startedAt + this.#limits.timeoutMs - this.#policy.runtime.monotonic()
  }
}

/** Whether the service throttled a request: as a whole, or the first failed key of a batch. */
function isThrottled(answer: unknown): boolean {
  const error = answer instanceof Map ? errorIn(answer) : answer
  return error instanceof KvError && error.code === "THROTTLED"
}

function errorIn(answers: ReadonlyMap<string, unknown>): unknown {
  for (const answer of answers.values()) if (answer instanceof KvError) return answer
  return undefined
}
