import type {
  Backend,
  MaybePromise,
  RequestOptions,
  ScanRequest,
  ServiceTime,
  Write,
  WriteResult,
} from "../../backend.ts"
import { abortable } from "../../util/abort.ts"
import { writeId } from "../../util/write-id.ts"
import { forward } from "../forward.ts"
import { settleWrite } from "./ambiguous-write.ts"
import { first, firstRequest, second } from "./arguments.ts"
import { isIncomplete, readMany, writeMany } from "./batch.ts"
import { type Found, found, foundRemoval, foundWrite, foundWrites, headOf } from "./beside.ts"
import { Call, type Method } from "./call.ts"
import { READ, SCAN, WRITE } from "./kinds.ts"
import type { CallObserver, Subject } from "./observer.ts"
import type { ResilienceOptions } from "./options.ts"
import { policyOf } from "./policy.ts"

/**
 * Gives every call to `backend` a deadline, bounds what is sent at once, and sends a call again after retryable errors.
 *
 * - A call ends within `timeoutMs`, whatever the backend does: with `TIMEOUT` for a read, `OUTCOME_UNKNOWN` for a write. A request gets the
 *   time that its attempt has, so that it never outlives the attempt. `open` and `close` have no deadline.
 * - After a retryable error the call is sent again, with full-jitter back-off and within the retry budget of the store; of a batch, only
 *   the keys that failed. Answers (a condition that does not hold, not found, access denied, not valid, corrupt) are passed on at once and
 *   unchanged. The error that ends a call has the code of its last attempt, and the error of that attempt as its `cause`.
 * - A slow read is joined by a second one, within the retry budget, and the first answer counts. A write is never open twice: beside a slow
 *   one its row is read.
 * - A write without an answer is settled before the call ends, if that is possible: see {@link settleWrite}. Its result then has
 *   `mayLandLate`.
 * - With `maxConcurrency` requests open, further calls wait, at most `maxQueue` of them.
 *
 * An answer without a promise is passed on without a promise.
 *
 * @throws {KvError} `INVALID_OPTION` if an option is unknown or has no legal value
 */
export function resilient(backend: Backend, options: ResilienceOptions = {}): Backend {
  const policy = policyOf(backend, options)
  const { observer, limiter, runtime } = policy
  const answered: NonNullable<CallObserver["answered"]> = observer?.answered ?? {}

  const get = { kind: READ.get, send: backend.get.bind(backend), with: first, answered: answered.get }
  const getMany = {
    kind: READ.getMany,
    send: backend.getMany.bind(backend),
    with: first,
    answered: answered.getMany,
  }
  const exists = {
    kind: READ.exists,
    send: backend.exists.bind(backend),
    with: first,
    answered: answered.exists,
  }
  const probe = { kind: READ.probe, send: backend.probe.bind(backend), with: first, answered: answered.probe }
  const put = { kind: WRITE.put, send: backend.put.bind(backend), with: second, answered: answered.put }
  const remove = {
    kind: WRITE.delete,
    send: backend.delete.bind(backend),
    with: second,
    answered: answered.delete,
  }
  const putMany = {
    kind: WRITE.putMany,
    send: backend.putMany.bind(backend),
    with: first,
    answered: answered.putMany,
  }
  const removeMany = {
    kind: WRITE.deleteMany,
    send: backend.deleteMany.bind(backend),
    with: first,
    answered: answered.deleteMany,
  }
  const scan = {
    kind: SCAN,
    send(prefix: string, page: ScanRequest) {
      page.signal?.throwIfAborted()
      return backend.scan(prefix, page)
    },
    with: ([prefix, page]: [string, ScanRequest], request: RequestOptions): [string, ScanRequest] => [
      prefix,
      { ...page, ...request },
    ],
    answered: answered.scan,
  }

  /**
   * Makes a method of the wrapper. `finish` ends each call, from the answer to its first attempt; `beside` looks for an answer while that
   * attempt is slow. The method makes the first attempt itself, and {@link Call.attempt} the others: most calls have only one
   * attempt, and save a stack frame.
   */
  function calls<A extends [Subject, ...unknown[]], T>(
    method: Method<A, T> & { send: (...args: A) => Promise<T> },
    finish: Finish<NoInfer<A>, NoInfer<T>>,
    beside?: Beside<NoInfer<A>, NoInfer<T>>,
  ): (...args: A) => Promise<T>
  function calls<A extends [Subject, ...unknown[]], T>(
    method: Method<A, T>,
    finish: Finish<NoInfer<A>, NoInfer<T>>,
    beside?: Beside<NoInfer<A>, NoInfer<T>>,
  ): (...args: A) => MaybePromise<T>
  function calls<A extends [Subject, ...unknown[]], T>(
    method: Method<A, T>,
    finish: Finish<NoInfer<A>, NoInfer<T>>,
    beside?: Beside<NoInfer<A>, NoInfer<T>>,
  ) {
    const { kind, send } = method
    const limits = policy.limits[kind.limits]
    return (...args: A): MaybePromise<T> => {
      const call = new Call(policy, kind, args)
      const look = beside === undefined ? undefined : () => beside(call, args)
      if (!limiter.tryEnter()) return call.end(finish(call, call.attempt(method, args, look), args))
      const { scope } = call
      const sent = method.with(args, firstRequest(limits.first, args))
      let answer: MaybePromise<T>
      try {
        answer =
          scope === undefined || observer === undefined
            ? send(...sent)
            : observer.run(scope, send, undefined, ...sent)
      } catch (error) {
        answer = Promise.reject(error)
      }
      const one = call.answered(answer, method, args, limits.attemptMs, look)
      const isFinal = !(one instanceof Promise) && !isIncomplete(one)
      return call.end(isFinal ? one : finish(call, one, args))
    }
  }

  /** How a read ends: it is sent again until it is answered, and joined by another one when it is slow. */
  const endsOf = <A extends [Subject, ...unknown[]], T>(
    method: Method<A, T>,
  ): [Finish<A, T>, Beside<A, T>] => [
    (call, one, args) => finishRead(call, one, method, args),
    (call, args) => found(call.attempt(method, args)),
  ]

  const askFor = (call: Call, keys: readonly string[]) => call.attempt(probe, [keys])

  /** Adds an identity for an attempt under a condition. */
  function newId(ids: Set<string>): string {
    const id = writeId(runtime, true)
    ids.add(id)
    return id
  }

  function sendUnder(key: string, write: Write, call: Call, ids: Set<string>) {
    return (condition: NonNullable<Write["condition"]>) =>
      call.attempt(put, [key, { ...write, condition, id: newId(ids) }])
  }

  function removeUnder(key: string, call: Call, ids: Set<string>) {
    return (condition: NonNullable<Write["condition"]>): Promise<WriteResult> =>
      // A delete of an absent key is settled, and is never sent again.
      "absent" in condition
        ? Promise.resolve({ applied: true })
        : call.attempt(remove, [key, { condition, id: newId(ids) }])
  }

  const timesOf = (keys: Iterable<string>): Map<string, ServiceTime | undefined> =>
    new Map(Array.from(keys, (key) => [key, backend.serviceTime?.(key)]))

  return forward(backend, {
    get: calls(get, ...endsOf(get)),
    exists: calls(exists, ...endsOf(exists)),
    probe: calls(probe, ...endsOf(probe)),
    getMany: calls(
      getMany,
      (call, one, [keys, request]) =>
        readMany(call, keys, one, (pending) => call.attempt(getMany, [pending]), request?.early),
      (call, [keys]) => found(call.attempt(getMany, [keys])),
    ),

    scan: calls(scan, (call, one, args) => abortable(finishRead(call, one, scan, args), args[1].signal)),

    put: calls(
      put,
      (call, one, [key, write]) => {
        const ids = new Set([write.id])
        return settleWrite(call, one, {
          condition: write.condition,
          removes: false,
          seen: write.seen,
          ids,
          began: backend.serviceTime?.(key),
          send: () => call.attempt(put, [key, write]),
          probe: () => headOf(askFor(call, [key]), key),
          sendUnder: sendUnder(key, write, call, ids),
        })
      },
      (call, [key, write]) => foundWrite(askFor(call, [key]), key, write),
    ),

    delete: calls(
      remove,
      (call, one, [key, removal]) => {
        const ids = new Set([removal.id])
        return settleWrite(call, one, {
          condition: removal.condition,
          removes: true,
          seen: removal.seen,
          ids,
          began: backend.serviceTime?.(key),
          send: () => call.attempt(remove, [key, removal]),
          probe: () => headOf(askFor(call, [key]), key),
          sendUnder: removeUnder(key, call, ids),
        })
      },
      (call, [key, removal]) => foundRemoval(askFor(call, [key]), key, removal),
    ),

    putMany: calls(
      putMany,
      (call, one, [writes]) =>
        writeMany(call, writes, one, {
          removes: false,
          began: timesOf(writes.keys()),
          send: (some) => call.attempt(putMany, [some]),
          probe: (keys) => askFor(call, keys),
          sendUnder: (key, write, condition, ids) => sendUnder(key, write, call, ids)(condition),
        }),
      (call, [writes]) => foundWrites(askFor(call, [...writes.keys()]), writes),
    ),

    deleteMany: calls(removeMany, (call, one, [removals]) =>
      writeMany(call, removals, one, {
        removes: true,
        began: timesOf(removals.keys()),
        send: (some) => call.attempt(removeMany, [some]),
        probe: (keys) => askFor(call, keys),
        sendUnder: (key, _, condition, ids) => removeUnder(key, call, ids)(condition),
      }),
    ),
  })
}

/** Ends a call, from the answer to its first attempt. */
type Finish<A, T> = (call: Call, one: MaybePromise<T>, args: A) => Promise<T>

/** Looks for the answer to a slow attempt. Never rejects. */
type Beside<A, T> = (call: Call, args: A) => Found<T>

async function finishRead<A extends [Subject, ...unknown[]], T>(
  call: Call,
  one: MaybePromise<T>,
  method: Method<A, T>,
  args: A,
): Promise<T> {
  let answer = one
  for (;;) {
    try {
      return await answer
    } catch (error) {
      await call.retry(error)
    }
    answer = call.attempt(method, args)
  }
}
