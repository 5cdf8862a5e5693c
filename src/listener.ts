import type { MaybePromise } from "../tiers/backend.ts"
import type { L1Entry } from "../tiers/l1/entry.ts"

/** The operations of a store, as a listener tells them apart. Text, JSON and entry variants are one. */
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

/** What an operation came to. */
export interface Outcome {
  /** The tier that had the last word. */
  tier: "l1" | "l2" | "loader"
  /** Of a read. `bypass`: it was told to bypass L1; `hit` then says whether something was there. */
  result?: "hit" | "stale" | "negative" | "miss" | "bypass"
  /** Of a read: whether L1 or L2 held the value. */
  hit?: boolean
  /** Bytes of the value. */
  size?: number | undefined
  /** Of a conditional write: whether its condition held. */
  applied?: boolean
  keys?: KeyCounts
}

/** Keys of a batch or a page, by what became of them. */
export interface KeyCounts {
  /** Found in L1. */
  l1?: number
  /** Found in, or written to, the backend. */
  l2: number
  absent?: number
}

/** What a listener knows a caller by. The store does not look at it; it hands it on to the backend. */
export type Caller = unknown

/** Told of an answer from L1; `entry` is `undefined` for a negative entry. A batch gives `keys` instead. */
export type HitListener = (
  operation: OperationName,
  key: string | undefined,
  entry: L1Entry | undefined,
  keys?: KeyCounts,
) => void

/** An operation that has begun. */
export interface BegunOperation {
  readonly caller: Caller
  /** Learns what came of it from `answer`, and returns `answer` itself. */
  ends<T>(answer: MaybePromise<T>, describe: (value: T) => Outcome): MaybePromise<T>
}

/**
 * What a store tells of its work. The store does not know which listener is attached, if any. No method throws, and none
 * changes what passes through it.
 */
export interface Listener {
  /** Set only while somebody may want to know, so that otherwise a hit pays for one look at this field. */
  readonly onHit: HitListener | undefined
  /**
   * An operation begins that L1 cannot answer. For the one that matters most, a read of one key: it costs no stack
   * frame. {@link Listener.operation} does the same around a callback.
   */
  begin(name: OperationName, key: string | undefined): BegunOperation
  /** Runs an operation that L1 cannot answer, in the context of its span. */
  operation<T>(
    name: OperationName,
    key: string | undefined,
    run: (caller: Caller) => MaybePromise<T>,
    describe: (value: T) => Outcome,
  ): MaybePromise<T>
  /** Runs a load, in the context of its span; one in the background is part of no operation. */
  load<T>(
    key: string,
    background: boolean,
    run: (caller: Caller) => Promise<T>,
    describe: (value: T) => Outcome,
  ): Promise<T>
  /** `caller` waits for what `other` has under way. */
  joined(caller: Caller, other: Caller): void
  /** Takes the duration of one L1 hit in 256, ms. */
  sampled(ms: number): void
}

const UNHEARD: BegunOperation = { caller: undefined, ends: (answer) => answer }

/** No listener is attached. */
export const silent: Listener = {
  onHit: undefined,
  begin: () => UNHEARD,
  operation: (_name, _key, run) => run(undefined),
  load: (_key, _background, run) => run(undefined),
  joined() {},
  sampled() {},
}
