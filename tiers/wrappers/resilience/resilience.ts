import type { Backend, Callers, MaybePromise, ScanRequest } from "../../backend.ts"
import { KvError } from "../../errors.ts"
import { DEFAULTS } from "../../limits.ts"
import { type Runtime, systemRuntime } from "../../runtime.ts"
import { abortable } from "../../util/abort.ts"
import {
  type Checks,
  checkOptions,
  isObject,
  optional,
  rule,
  runtimeOption,
  wholeNumber,
} from "../../util/checks.ts"
import { forward } from "../forward.ts"
import { settleWrite } from "./ambiguous-write.ts"
import { isIncomplete, readMany, writeMany } from "./batch.ts"
import { Call, type CallKind, type CallPolicy, type Method } from "./call.ts"
import type { CallObserver, Subject } from "./observer.ts"

export interface ResilienceOptions {
  /** Longest time of a call, with all its attempts, waits and `wasWrittenBy` requests, ms. @default 5_000 */
  timeoutMs?: number
  /**
   * Longest time of one attempt, ms, capped at `timeoutMs`; an attempt that takes longer counts as unanswered. It does not apply to a
   * page of a scan, which may be large.
   * @default half of `timeoutMs`, so that one lost packet leaves time to try again
   */
  attemptTimeoutMs?: number
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

const OPTIONS: Checks = {
  timeoutMs: optional(wholeNumber("timeoutMs", 1)),
  attemptTimeoutMs: optional(wholeNumber("attemptTimeoutMs", 1)),
  maxAttempts: optional(wholeNumber("maxAttempts", 1)),
  backoffBaseMs: optional(wholeNumber("backoffBaseMs", 0)),
  backoffMaxMs: optional(wholeNumber("backoffMaxMs", 0)),
  observer: optional(rule("observer", isObject, "an observer")),
  runtime: runtimeOption,
}

/**
 * Gives every call to `backend` a deadline, and sends it again after retryable errors.
 *
 * - A call ends within `timeoutMs`, whatever the backend does: with `TIMEOUT` for a read, `OUTCOME_UNKNOWN` for a write. `open` and `close`
 *   have no deadline.
 * - After a retryable error the call is sent again, with full-jitter back-off; of a batch, only the keys that failed. Answers (a condition
 *   that does not hold, not found, access denied, not valid, corrupt) are passed on at once and unchanged. The error that ends a call
 *   has the code of its last attempt, and the error of that attempt as its `cause`.
 * - A write without an answer is settled before the call ends, if that is possible: see {@link settleWrite}. Its result then has
 *   `mayLandLate`.
 *
 * An answer without a promise is passed on without a promise.
 */
export function resilient(backend: Backend, options: ResilienceOptions = {}): Backend {
  checkOptions(options, OPTIONS, "open")
  const policy = policyOf(backend, options)
  const { observer } = policy
  const answered = observer?.answered ?? {}
  const get = { send: backend.get.bind(backend), answered: answered.get }
  const getMany = { send: backend.getMany.bind(backend), answered: answered.getMany }
  const exists = { send: backend.exists.bind(backend), answered: answered.exists }
  const put = { send: backend.put.bind(backend), answered: answered.put }
  const putMany = { send: backend.putMany.bind(backend), answered: answered.putMany }
  const remove = { send: backend.delete.bind(backend), answered: answered.delete }
  const removeMany = { send: backend.deleteMany.bind(backend), answered: answered.deleteMany }
  const probe = { send: backend.probe.bind(backend), answered: answered.probe }
  const wasWrittenBy = async (call: Call, key: string, id: string): Promise<boolean> => {
    const head = (await call.attempt(probe, [key])).get(key)
    if (head instanceof KvError) throw head
    return head?.id === id
  }
  const scan = {
    send(prefix: string, page: ScanRequest) {
      page.signal?.throwIfAborted()
      return backend.scan(prefix, page)
    },
    answered: answered.scan,
  }

  /**
   * Makes a method of the wrapper. `finish` ends each call, from the answer to its first attempt. The method makes the first attempt
   * itself, and {@link Call.attempt} the others: most calls have only one attempt, and save a stack frame.
   */
  function calls<A extends CallArguments, T>(
    kind: CallKind,
    method: Method<A, T> & { send: (...args: A) => Promise<T> },
    finish: Finish<A, T>,
  ): (...args: A) => Promise<T>
  function calls<A extends CallArguments, T>(
    kind: CallKind,
    method: Method<A, T>,
    finish: Finish<A, T>,
  ): (...args: A) => MaybePromise<T>
  function calls<A extends CallArguments, T>(kind: CallKind, method: Method<A, T>, finish: Finish<A, T>) {
    const { send } = method
    return (...args: A): MaybePromise<T> => {
      const call = new Call(policy, kind, args[0], callersIn(args))
      const { scope } = call
      let answer: MaybePromise<T>
      try {
        answer =
          scope === undefined || observer === undefined
            ? send(...args)
            : observer.run(scope, send, undefined, ...args)
      } catch (error) {
        answer = Promise.reject(error)
      }
      const first = call.bound(answer, method, args)
      const isFinal = !(first instanceof Promise) && !isIncomplete(first)
      return call.end(isFinal ? first : finish(call, first, ...args))
    }
  }

  return forward(backend, {
    get: calls(GET, get, (call, first, ...args) => finishRead(call, first, get, args)),
    exists: calls(EXISTS, exists, (call, first, ...args) => finishRead(call, first, exists, args)),
    probe: calls(PROBE, probe, (call, first, ...args) => finishRead(call, first, probe, args)),
    getMany: calls(GET_MANY, getMany, (call, first, keys, request) =>
      readMany(call, keys, first, (pending) => call.attempt(getMany, pending, request)),
    ),

    scan: calls(SCAN, scan, (call, first, ...args) =>
      abortable(finishRead(call, first, scan, args), args[1].signal),
    ),
    put: calls(PUT, put, (call, first, key, write) =>
      settleWrite(call, first, {
        send: () => call.attempt(put, key, write),
        wasWrittenBy: () => wasWrittenBy(call, key, write.id),
        asksFirst: write.condition === undefined,
      }),
    ),

    delete: calls(DELETE, remove, (call, first, key, removal) =>
      settleWrite(call, first, {
        send: () => call.attempt(remove, key, removal),
        wasWrittenBy: () => wasWrittenBy(call, key, removal.id),
        asksFirst: false,
      }),
    ),

    putMany: calls(PUT_MANY, putMany, (call, first, writes) =>
      writeMany(call, writes, first, {
        send: (pending) => call.attempt(putMany, pending),
        wasWrittenBy: (key, id) => wasWrittenBy(call, key, id),
      }),
    ),

    deleteMany: calls(DELETE_MANY, removeMany, (call, first, removals) =>
      writeMany(call, removals, first, { send: (pending) => call.attempt(removeMany, pending) }),
    ),
  })
}

const GET: CallKind = { operation: "get", effect: "read" }
const GET_MANY: CallKind = { operation: "getMany", effect: "read" }
const EXISTS: CallKind = { operation: "exists", effect: "read" }
const PROBE: CallKind = { operation: "probe", effect: "read" }
const SCAN: CallKind = { operation: "scan", effect: "read", unhurried: true }
const PUT: CallKind = { operation: "put", effect: "write" }
const PUT_MANY: CallKind = { operation: "putMany", effect: "write" }
const DELETE: CallKind = { operation: "delete", effect: "write" }
const DELETE_MANY: CallKind = { operation: "deleteMany", effect: "write" }

type CallArguments = [subject: Subject, ...rest: unknown[]]

/** Ends a call, from the answer to its first attempt. */
type Finish<A extends CallArguments, T> = (call: Call, first: MaybePromise<T>, ...args: A) => Promise<T>

/** The callers of a read: only its second argument is a {@link RequestOptions}. */
function callersIn([, second]: CallArguments): Callers | undefined {
  return isObject(second) && "callers" in second && Array.isArray(second.callers) ? second.callers : undefined
}

async function finishRead<A extends CallArguments, T>(
  call: Call,
  first: MaybePromise<T>,
  method: Method<A, T>,
  args: A,
): Promise<T> {
  let answer = first
  for (;;) {
    try {
      return await answer
    } catch (error) {
      await call.retry(error)
    }
    answer = call.attempt(method, ...args)
  }
}

function policyOf(backend: Backend, options: ResilienceOptions): CallPolicy {
  const timeoutMs = options.timeoutMs ?? DEFAULTS.timeoutMs
  return {
    backend: backend.traits.kind,
    timeoutMs,
    attemptTimeoutMs: options.attemptTimeoutMs ?? timeoutMs / 2,
    maxAttempts: options.maxAttempts ?? DEFAULTS.maxAttempts,
    backoffBaseMs: options.backoffBaseMs ?? DEFAULTS.backoffBaseMs,
    backoffMaxMs: options.backoffMaxMs ?? DEFAULTS.backoffMaxMs,
    observer: options.observer,
    runtime: options.runtime ?? systemRuntime,
  }
}
