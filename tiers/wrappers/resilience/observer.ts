import type { Backend, BackendOperation, Callers, MaybePromise } from "../../backend.ts"
import type { KvError } from "../../errors.ts"

/** A method of the contract that gets deadlines and retries. */
export type Operation = BackendOperation | "probe"

/** The arguments of a method, and its answer. */
export type Arguments<O extends Operation> = Parameters<Backend[O]>
export type Answer<O extends Operation> = Awaited<ReturnType<Backend[O]>>

/** The first argument of a call: its key, its keys, its writes by key, or the prefix of a scan. */
export type Subject = string | readonly string[] | ReadonlyMap<string, unknown>

/** Receives the calls through a resilient backend, their attempts and their outcomes. No method throws. */
export interface CallObserver {
  /** A call begins. `isConditional`: it writes or removes one row under a condition. The result represents the call; `undefined` if the call is not observed. */
  begin(
    operation: Operation,
    subject: Subject,
    callers: Callers | undefined,
    isConditional: boolean,
  ): ObservedCall | undefined
  /** Calls `send` once with `args` in `scope`, the {@link ObservedCall.scope} of a call, and returns its result. */
  run<A extends unknown[], T>(
    scope: unknown,
    send: (...args: A) => MaybePromise<T>,
    self: undefined,
    ...args: A
  ): MaybePromise<T>
  /** By operation: is called with every answer to an attempt, including one that comes after the deadline. */
  readonly answered:
    | { readonly [O in Operation]?: (args: Arguments<O>, answer: Answer<O>) => void }
    | undefined
}

/** One call that is observed. */
export interface ObservedCall {
  /** The context in which the attempts run, see {@link CallObserver.run}; `undefined`: the context of the call. */
  readonly scope: unknown
  /** Another attempt follows. */
  retried(retry: Retry): void
  /** The call ends with this answer. */
  ended(answer: unknown): void
  /** The call ends with this error. */
  failed(error: unknown): void
}

/** A retry, reported before its wait. */
export interface Retry {
  operation: Operation
  /** The attempt that failed; the first is 1. */
  attempt: number
  /** Wait before the next attempt, ms. */
  delayMs: number
  /** The error of the failed attempt. */
  error: KvError
  /** Number of keys in the next attempt; 1 unless the call is a batch. */
  keys: number
}
