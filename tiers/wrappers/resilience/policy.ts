import type { Backend, RequestOptions } from "../../backend.ts"
import { DEFAULTS } from "../../limits.ts"
import { type Runtime, systemRuntime } from "../../runtime.ts"
import { checkOptions } from "../../util/checks.ts"
import { Limiter } from "./limiter.ts"
import type { CallObserver } from "./observer.ts"
import { RESILIENCE_OPTIONS, type RequestCounters, type ResilienceOptions, timeoutsOf } from "./options.ts"
import { RetryBudget } from "./retry-budget.ts"

/** The times of a kind of call, ms. */
export interface Limits {
  /** Longest time of the call. */
  readonly timeoutMs: number
  /** Longest time of one attempt. */
  readonly attemptMs: number
  /** An attempt that has taken so long is joined by another request, whose answer may come first. `attemptMs`: never. */
  readonly besideMs: number
  /** The request of a first attempt. */
  readonly first: RequestOptions
}

/** The options of `resilient` with their defaults, and the state that its calls share. */
export interface CallPolicy {
  readonly runtime: Runtime
  /** Kind of the backend, for errors. */
  readonly backend: string
  readonly limits: Readonly<Record<"read" | "write" | "scan", Limits>>
  readonly maxAttempts: number
  readonly backoffBaseMs: number
  readonly backoffMaxMs: number
  readonly budget: RetryBudget
  readonly limiter: Limiter
  readonly observer: CallObserver | undefined
  readonly counters: RequestCounters
}

/** Throws `INVALID_OPTION`. */
export function policyOf(backend: Backend, options: ResilienceOptions): CallPolicy {
  checkOptions(options, RESILIENCE_OPTIONS, "open")
  return {
    backend: backend.traits.kind,
    limits: limitsOf(options),
    maxAttempts: options.maxAttempts ?? DEFAULTS.maxAttempts,
    backoffBaseMs: options.backoffBaseMs ?? DEFAULTS.backoffBaseMs,
    backoffMaxMs: options.backoffMaxMs ?? DEFAULTS.backoffMaxMs,
    budget: new RetryBudget(options.retryBudget ?? DEFAULTS.retryBudget),
    limiter: new Limiter(
      options.maxConcurrency ?? DEFAULTS.maxConcurrency,
      options.maxQueue ?? DEFAULTS.maxQueue,
    ),
    observer: options.observer,
    counters: options.counters ?? { retries: 0, throttles: 0 },
    runtime: options.runtime ?? systemRuntime,
  }
}

/** A third of the time of a write's attempt passes before its row is looked at. */
const QUESTION_SHARE = 1 / 3

function limitsOf({ timeoutMs, attemptTimeoutMs }: ResilienceOptions): CallPolicy["limits"] {
  const { read, write, scan } = timeoutsOf(timeoutMs)
  const attempts = typeof attemptTimeoutMs === "number" ? both(attemptTimeoutMs) : attemptTimeoutMs
  const writeAttemptMs = Math.min(write, attempts?.write ?? (write * 3) / 4)
  return {
    read: limits(read, read, Math.min(read, attempts?.read ?? read / 3)),
    write: limits(write, writeAttemptMs, writeAttemptMs * QUESTION_SHARE),
    scan: limits(scan, scan, scan),
  }
}

const both = (ms: number) => ({ read: ms, write: ms })

function limits(timeoutMs: number, attemptMs: number, besideMs: number): Limits {
  return { timeoutMs, attemptMs, besideMs, first: { timeoutMs: attemptMs } }
}
