import type { Backend, MaybePromise } from "../tiers/backend.ts"
import type { L1Entry } from "../tiers/l1/entry.ts"

/** The operations of a store, as they are told apart by whoever listens. Text, JSON and entry variants are one. */
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
  /** Of a read. `bypass`: it was told to pass L1 by; `hit` then says whether something was there. */
  result?: "hit" | "stale" | "negative" | "miss" | "bypass"
  /** Of a read: whether L1 or L2 held the value. */
  hit?: boolean
  /** Bytes of the value. */
  size?: number | undefined
  /** Of a write under a condition: whether it held. */
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

/** Told of an answer from L1; `entry` is `undefined` for a key known to be absent. `keys` stands for them in a batch. */
export type HitListener = (
  operation: OperationName,
  key: string | undefined,
  entry: L1Entry | undefined,
  keys?: KeyCounts,
) => void

/**
 * Who watches a store. All that the store knows of telemetry: it says what it does, and who hears it, and whether
 * anybody does, is no affair of its own. No method throws of its own accord or changes what passes through it.
 */
export interface Listener {
  /** Set only while somebody may want to know, so that otherwise a hit pays for one look at this field. */
  readonly onHit: HitListener | undefined
  /** Runs an operation that L1 cannot answer. `describe` is asked what came of it if somebody listens. */
  operation<T>(
    name: OperationName,
    key: string | undefined,
    run: () => MaybePromise<T>,
    describe: (value: T) => Outcome,
  ): MaybePromise<T>
  /** Runs a load; one in the background is nobody's part. */
  load<T>(
    key: string,
    background: boolean,
    run: () => Promise<T>,
    describe: (value: T) => Outcome,
  ): Promise<T>
  /** What is under way here, for {@link Listener.joined}. */
  capture(): unknown
  /** What is under way here now waits for what was captured there. */
  joined(captured: unknown): void
  /** Takes the duration of one L1 hit in 256, ms. */
  sampled(ms: number): void
}

/** Who watches the calls to a backend over a network. */
export interface CallListener {
  /** `backend` with every attempt watched: goes below what tries again. */
  metered(backend: Backend): Backend
  /** `backend` with every call watched: goes above that, and below what lets calls travel together. */
  observed(backend: Backend): Backend
  /** Another attempt is made of the call under way here. */
  onRetry(): void
  /** What is under way here, for {@link CallListener.run}. */
  capture(): unknown
  /** Sends, by calling `send`, the one call of several callers, of whom this was captured. */
  run<T>(captured: readonly unknown[], send: () => T): T
}

/** Nobody watches. */
export const silent: Listener = {
  onHit: undefined,
  operation: (_name, _key, run) => run(),
  load: (_key, _background, run) => run(),
  capture: () => undefined,
  joined() {},
  sampled() {},
}
