import type { Backend, BackendOperation, Callers, MaybePromise } from "../../backend.ts"
import type { KvError } from "../../errors.ts"

/** A method of the contract that resilience bounds. */
export type Operation = BackendOperation | "wasWrittenBy"

/** What a method is called with, and what it answers. */
export type Arguments<O extends Operation> = Parameters<Backend[O]>
export type Answer<O extends Operation> = Awaited<ReturnType<Backend[O]>>

/** What a call is about: its key, its keys, its writes by key, or the prefix of a scan. */
export type Subject = string | readonly string[] | ReadonlyMap<string, unknown>

/** Is told of the calls through a resilient backend, of their attempts, and of how they end. No method throws. */
export interface CallObserver {
  /** A call begins. What this returns stands for the call from now on; `undefined`: nobody asks what becomes of it. */
  begin(operation: Operation, subject: Subject, callers: Callers | undefined): ObservedCall | undefined
  /** Calls `send` once, with `args`, in `scope`, the {@link ObservedCall.scope} of a call, and returns what `send` returns. */
  run<A extends unknown[], T>(
    scope: unknown,
    send: (...args: A) => MaybePromise<T>,
    self: undefined,
    ...args: A
  ): MaybePromise<T>
  /** Told of every answer to an attempt, also where the attempt has been given up by then; by operation. */
  readonly answered:
    | { readonly [O in Operation]?: (args: Arguments<O>, answer: Answer<O>) => void }
    | undefined
}

/** One call that is observed. */
export interface ObservedCall {
  /** Where the attempts are made, see {@link CallObserver.run}; `undefined`: where the call was made. */
  readonly scope: unknown
  /** Another attempt follows. */
  retried(retry: Retry): void
  /** The caller is about to get this answer. */
  ended(answer: unknown): void
  /** The caller is about to get this error. */
  failed(error: unknown): void
}

/** Told before the wait that precedes another attempt. */
export interface Retry {
  operation: Operation
  /** The attempt that failed; the first is 1. */
  attempt: number
  /** How long the next attempt is put off, ms. */
  delayMs: number
  /** Why it failed. */
  error: KvError
  /** How many keys are tried again; 1 but for batches. */
  keys: number
}
