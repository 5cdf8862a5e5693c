import { DEFAULTS } from "../../limits.ts"
import type { Runtime } from "../../runtime.ts"
import {
  type Check,
  type Checks,
  checkOptions,
  invalidOption,
  isObject,
  optional,
  rule,
  runtimeOption,
  show,
  wholeNumber,
} from "../../util/checks.ts"
import type { CallObserver } from "./observer.ts"

/** A time for each kind of call, ms, of at least 1; a number is for all kinds. */
export type Timeouts =
  | number
  | { read?: number | undefined; write?: number | undefined; scan?: number | undefined }

/** Counts of requests. */
export interface RequestCounters {
  /** Requests that were sent again, or beside a slow one. */
  retries: number
  /** Requests that the service throttled, in whole or in part. */
  throttles: number
}

/** The options of a store that concern its calls to a backend over a network. */
export interface StoreResilience {
  /**
   * Longest time of a call, ms: its time in the queue, all its attempts, the waits between them, and settling. A read is one `get` or one
   * batch of `getMany`, a write one `put`, one `delete` or one batch, a scan one page. A number is for all three.
   * @default { read: 2_000, write: 5_000, scan: 10_000 }
   */
  timeoutMs?: Timeouts | undefined
  /**
   * Longest time of one attempt of a write, ms; what is left of `timeoutMs` is for settling. An attempt of a read may take all of
   * `timeoutMs`: after this time a second one is sent beside it, and the first answer counts. A page of a scan is one attempt.
   * @default { read: a third, write: three quarters } of `timeoutMs`
   */
  attemptTimeoutMs?: number | { read?: number | undefined; write?: number | undefined } | undefined
  /**
   * Retries within 10 s, at most, as a share of the calls within 10 s, from 0 to 1; one retry a second is always allowed. 0: no retries.
   * @default 0.1
   */
  retryBudget?: number | undefined
  /** Requests that are open at once, at most. @default 256 */
  maxConcurrency?: number | undefined
  /** Calls that wait for one of these, at most; a further one rejects at once with `THROTTLED`. @default 10_000 */
  maxQueue?: number | undefined
}

export interface ResilienceOptions extends StoreResilience {
  /** Is incremented for each request of these kinds. */
  counters?: RequestCounters
  /** Maximum number of attempts of a call. @default 6 */
  maxAttempts?: number
  /** The wait before the second attempt is uniform in [0, this), ms; the bound doubles with every further attempt. @default 50 */
  backoffBaseMs?: number
  /** Largest value of that bound, ms. @default 1_000 */
  backoffMaxMs?: number
  /** Receives every call and its attempts. @default none */
  observer?: CallObserver | undefined
  /** Clock, timers and random numbers. @default those of the system */
  runtime?: Runtime
}

/** Checks a {@link Timeouts} with these kinds. */
function timeouts(name: string, kinds: readonly string[]): Check {
  return (value, operation) => {
    if (typeof value === "number") {
      wholeNumber(name, 1)(value, operation)
      return
    }
    if (!isObject(value)) {
      const allowed = `a number, or an object of ${kinds.join(", ")}`
      throw invalidOption(`${name} is ${allowed}, in milliseconds; got ${show(value)}`, operation)
    }
    const checks = kinds.map((kind) => [kind, optional(wholeNumber(`${name}.${kind}`, 1))])
    checkOptions(value, Object.fromEntries(checks), operation)
  }
}

/** The checks of {@link StoreResilience}. */
export const RESILIENCE_CHECKS: Checks = {
  timeoutMs: optional(timeouts("timeoutMs", ["read", "write", "scan"])),
  attemptTimeoutMs: optional(timeouts("attemptTimeoutMs", ["read", "write"])),
  retryBudget: optional(
    rule(
      "retryBudget",
      (value) => typeof value === "number" && value >= 0 && value <= 1,
      "a number from 0 to 1",
    ),
  ),
  maxConcurrency: optional(wholeNumber("maxConcurrency", 1)),
  maxQueue: optional(wholeNumber("maxQueue", 0)),
}

export const RESILIENCE_OPTIONS: Checks = {
  ...RESILIENCE_CHECKS,
  maxAttempts: optional(wholeNumber("maxAttempts", 1)),
  backoffBaseMs: optional(wholeNumber("backoffBaseMs", 0)),
  backoffMaxMs: optional(wholeNumber("backoffMaxMs", 0)),
  observer: optional(rule("observer", isObject, "an observer")),
  counters: optional(rule("counters", isObject, "an object that counts")),
  runtime: runtimeOption,
}

/** The time of each kind of call, with the defaults. */
export function timeoutsOf(timeoutMs: Timeouts | undefined): { read: number; write: number; scan: number } {
  if (typeof timeoutMs === "number") return { read: timeoutMs, write: timeoutMs, scan: timeoutMs }
  const { read, write, scan } = DEFAULTS.timeoutMs
  return {
    read: timeoutMs?.read ?? read,
    write: timeoutMs?.write ?? write,
    scan: timeoutMs?.scan ?? scan,
  }
}
