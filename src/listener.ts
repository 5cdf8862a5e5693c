import type { MaybePromise } from "../tiers/backend.ts"

/** The operations of a store that a listener distinguishes. The text, JSON and entry variants of one count as that one. */
export type OperationName =
  | "get"
  | "getMany"
  | "exists"
  | "getOrSet"
  | "set"
  | "setMany"
  | "delete"
  | "deleteMany"
  | "scan"

/** The outcome of an operation. */
export interface Outcome {
  /** The tier that answered last. */
  tier: "l1" | "l2" | "loader"
  /** Of a read: what that tier answered. `bypass`: the caller bypassed L1; then `hit` says whether an entry was found. */
  result?: "hit" | "stale" | "negative" | "miss" | "bypass"
  /** Of a read: whether L1 or L2 held the value. */
  hit?: boolean
  /** Bytes of the value. */
  size?: number | undefined
  /** Time to live of the value written, ms. */
  ttlMs?: number | undefined
  /** Of a write: whether it took effect; `false` if its condition did not hold. */
  applied?: boolean
  keys?: KeyCounts
}

/** The keys of a batch or a page, by where they were found. */
export interface KeyCounts {
  /** Found in L1. */
  l1?: number
  /** Found in, or written to, the backend. */
  l2: number
  absent?: number
}

/** Identifies a caller to a listener, for links between spans. The store passes it on to the backend and does not read it. */
export type Caller = unknown

/** Is called for each answer from L1. `size` is `undefined` for an absent key. A batch passes `keys` instead. */
export type HitListener = (
  operation: OperationName,
  key: string | undefined,
  size: number | undefined,
  keys?: KeyCounts,
) => void

/** An operation that has begun. */
export interface BegunOperation {
  readonly caller: Caller
  /** Ends the operation when `answer` settles, and returns `answer` unchanged. */
  ends<T>(answer: MaybePromise<T>, describe: (value: T) => Outcome): MaybePromise<T>
}

/**
 * Receives the events of a store. The store does not know which listener is attached, if any. No method throws, and none
 * changes a value that is passed through it.
 */
export interface Listener {
  /** `undefined` while no consumer is registered, so that a hit then costs one read of this field. {@link HitTimes} replaces it for one hit in 256. */
  onHit: HitListener | undefined
  /** Is called for a hit of `getOrSet`, which is not timed: a call that is compiled into it makes its other hits slower. */
  readonly onUntimedHit: HitListener | undefined
  /** Is called for a hit of `peek`; set only by {@link HitTimes}. */
  onPeek: (() => void) | undefined
  /**
   * Begins an operation that L1 cannot answer. {@link Listener.operation} does the same around a callback; the read of one key, the
   * most frequent operation, uses this method, which adds no stack frame. `signal` is that of the caller.
   */
  begin(name: OperationName, key: string | undefined, signal: AbortSignal | undefined): BegunOperation
  /** Runs an operation that L1 cannot answer, in the context of its span. */
  operation<T>(
    name: OperationName,
    key: string | undefined,
    run: (caller: Caller) => MaybePromise<T>,
    describe: (value: T) => Outcome,
    signal: AbortSignal | undefined,
  ): MaybePromise<T>
  /** Runs a load, in the context of its span. A load in the background is not part of an operation. */
  load<T>(
    key: string,
    background: boolean,
    run: (caller: Caller) => Promise<T>,
    describe: (value: T) => Outcome,
  ): Promise<T>
  /** `caller` joins the read or the load that `other` started. */
  joined(caller: Caller, other: Caller): void
  /** A loader has ended, after `ms`. */
  loaded(ms: number, end: LoaderEnd): void
  /** Receives the duration of one L1 hit in 256, from its look-up to its answer, ms. */
  sampled(ms: number, operation: HitOperation): void
}

/** What a loader brought: a value, nothing, or an error. */
export type LoaderEnd = { result: "hit" | "miss" } | { error: unknown }

export type HitOperation = OperationName | "peek"
