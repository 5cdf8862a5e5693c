import type { Backend, MaybePromise } from "../../backend.ts"
import { type Runtime, systemRuntime } from "../../runtime.ts"
import { abortable } from "../../util/abort.ts"
import { sendWrite } from "./ambiguous-write.ts"
import { type AttemptPolicy, Call, type CallKind, type Retry, start } from "./attempts.ts"
import { isIncomplete, readMany, writeMany } from "./batch.ts"

export type { Retry } from "./attempts.ts"

export interface ResilienceOptions {
  /** Time a call may take in all: every attempt, every wait and every question asked in between, ms. @default 5_000 */
  timeoutMs?: number
  /**
   * Time one attempt may take before it counts as unanswered, ms; more than `timeoutMs` is `timeoutMs`. A page of a scan
   * is not bound by it, because a page may be large.
   * @default half of `timeoutMs`, so that one lost packet leaves time to try again
   */
  attemptTimeoutMs?: number
  /** Attempts a call may take in all. @default 6 */
  maxAttempts?: number
  /** The wait before the second attempt is uniform in [0, this), ms; the bound doubles with every further attempt. @default 50 */
  backoffBaseMs?: number
  /** What that bound grows to at most, ms. @default 1_000 */
  backoffMaxMs?: number
  /** Told of every further attempt before it is made. Must not throw. */
  onRetry?: (retry: Retry) => void
  /** Clock, timers and chance. @default the system's */
  runtime?: Runtime
}

/** The defaults of {@link ResilienceOptions}. With them a call waits 0.8 s between its attempts on average, 1.6 s at most. */
export const RESILIENCE_DEFAULTS = {
  timeoutMs: 5_000,
  maxAttempts: 6,
  backoffBaseMs: 50,
  backoffMaxMs: 1_000,
} as const

/**
 * Bounds every call to `backend` in time, and tries again what may succeed another time.
 *
 * - A call ends within `timeoutMs`, whatever the backend does: `TIMEOUT` for a read, `OUTCOME_UNKNOWN` for a write. Only
 *   `open` and `close` are left alone.
 * - Retryable errors are tried again with full-jitter back-off; of a batch, only the keys that failed so. Answers (a
 *   condition that does not hold, not found, not allowed, not valid, corrupt) are passed on at once, as they are. The
 *   error that ends a call has the code of the last attempt's, and that error as its `cause`.
 * - A write that was left without an answer is settled before the call ends, where it can be: see {@link sendWrite}.
 *   Its result then says `mayLandLate`.
 *
 * An answer given without a promise is passed on without one.
 */
export function resilient(backend: Backend, options: ResilienceOptions = {}): Backend {
  const policy = policyOf(backend, options)

  const read = <T>(kind: CallKind, key: string | undefined, ask: () => MaybePromise<T>): MaybePromise<T> => {
    const answer = start(ask)
    return answer instanceof Promise ? finishRead(new Call(policy, kind, key), answer, ask) : answer
  }

  const { compareVersions } = backend
  return {
    traits: backend.traits,
    open: () => backend.open(),
    close: () => backend.close(),
    ...(compareVersions === undefined ? {} : { compareVersions: compareVersions.bind(backend) }),

    get: (key) => read(GET, key, () => backend.get(key)),
    exists: (key) => read(EXISTS, key, () => backend.exists(key)),
    wasWrittenBy: async (key, id) => read(WAS_WRITTEN_BY, key, () => backend.wasWrittenBy(key, id)),
    getMany(keys) {
      const first = start(() => backend.getMany(keys))
      if (!(first instanceof Promise) && !isIncomplete(first)) return first
      return readMany(new Call(policy, GET_MANY), keys, first, (pending) => backend.getMany(pending))
    },

    scan(prefix, page) {
      const { signal } = page
      const ask = async () => {
        signal?.throwIfAborted()
        return backend.scan(prefix, page)
      }
      return abortable(finishRead(new Call(policy, SCAN), ask(), ask), signal)
    },

    put: (key, write) =>
      sendWrite(new Call(policy, PUT, key), {
        send: () => backend.put(key, write),
        wasWrittenBy: () => backend.wasWrittenBy(key, write.id),
        asksFirst: write.condition === undefined,
      }),

    delete: (key, removal) =>
      sendWrite(new Call(policy, DELETE, key), {
        send: () => backend.delete(key, removal),
        wasWrittenBy: () => backend.wasWrittenBy(key, removal.id),
        asksFirst: false,
      }),

    putMany: (writes) =>
      writeMany(
        new Call(policy, PUT_MANY),
        writes,
        (pending) => backend.putMany(pending),
        (key, id) => backend.wasWrittenBy(key, id),
      ),

    deleteMany: (removals) =>
      writeMany(new Call(policy, DELETE_MANY), removals, (pending) => backend.deleteMany(pending)),
  }
}

const GET: CallKind = { operation: "get", effect: "read" }
const GET_MANY: CallKind = { operation: "getMany", effect: "read" }
const EXISTS: CallKind = { operation: "exists", effect: "read" }
const WAS_WRITTEN_BY: CallKind = { operation: "wasWrittenBy", effect: "read" }
const SCAN: CallKind = { operation: "scan", effect: "read", unhurried: true }
const PUT: CallKind = { operation: "put", effect: "write" }
const PUT_MANY: CallKind = { operation: "putMany", effect: "write" }
const DELETE: CallKind = { operation: "delete", effect: "write" }
const DELETE_MANY: CallKind = { operation: "deleteMany", effect: "write" }

async function finishRead<T>(call: Call, first: Promise<T>, ask: () => MaybePromise<T>): Promise<T> {
  let answer: MaybePromise<T> = first
  for (;;) {
    try {
      return await call.bound(answer)
    } catch (error) {
      await call.retry(error)
    }
    answer = start(ask)
  }
}

function policyOf(backend: Backend, options: ResilienceOptions): AttemptPolicy {
  const timeoutMs = options.timeoutMs ?? RESILIENCE_DEFAULTS.timeoutMs
  return {
    backend: backend.traits.kind,
    timeoutMs,
    attemptTimeoutMs: options.attemptTimeoutMs ?? timeoutMs / 2,
    maxAttempts: options.maxAttempts ?? RESILIENCE_DEFAULTS.maxAttempts,
    backoffBaseMs: options.backoffBaseMs ?? RESILIENCE_DEFAULTS.backoffBaseMs,
    backoffMaxMs: options.backoffMaxMs ?? RESILIENCE_DEFAULTS.backoffMaxMs,
    onRetry: options.onRetry,
    runtime: options.runtime ?? systemRuntime,
  }
}
