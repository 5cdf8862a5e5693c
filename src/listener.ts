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
  /** Of a read. `bypass`: the caller bypassed L1; then `hit` says whether an entry was found. */
  result?: "hit" | "stale" | "negative" | "miss" | "bypass"
  /** Of a read: whether L1 or L2 held the value. */
  hit?: boolean
  /** Bytes of the value. */
  size?: number | undefined
  /** Of a conditional write: whether its condition held. */
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
  /** `undefined` while no consumer is registered, so that a hit then costs one read of this field. */
  readonly onHit: HitListener | undefined
  /**
   * Begins an operation that L1 cannot answer. {@link Listener.operation} does the same around a callback; the read of one key, the
   * most frequent operation, uses this method, which adds no stack frame.
   */
  begin(name: OperationName, key: string | undefined): BegunOperation
  /** Runs an operation that L1 cannot answer, in the context of its span. */
  operation<T>(
    name: OperationName,
    key: string | undefined,
    run: (caller: Caller) => MaybePromise<T>,
    describe: (value: T) => Outcome,
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
  /** Receives the duration of one L1 hit in 256, ms. */
  sampled(ms: number): void
}

const UNHEARD: BegunOperation = { caller: undefined, ends: (answer) => answer }

/** The listener that does nothing. */
export const silent: Listener = {
  onHit: undefined,
  begin: () => UNHEARD,
  operation: (_name, _key, run) => run(undefined),
  load: (_key, _background, run) => run(undefined),
  joined() {},
  sampled() {},
}
