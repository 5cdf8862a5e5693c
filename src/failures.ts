import { isKvError, locate } from "../tiers/errors.ts"
import type { OperationName } from "./listener.ts"

/** The failures of one kind. */
export interface ErrorStats {
  /** The operation: `get`, `getMany`, …; `refresh` for a load in the background. */
  operation: FailedOperation
  /** What failed: `l2`, or a `loader` of the caller. */
  tier: "l2" | "loader"
  /** Code of a `KvError`, or name of another error; `PARTIAL_FAILURE` for a batch in which keys failed. */
  type: string
  count: number
  /** Time of the first one after a minute without any, Unix ms. */
  sinceAt: number
  /** Time of the latest one, Unix ms. */
  lastAt: number
}

export type FailedOperation = OperationName | "refresh"

/** Time without a failure after which the next one begins another series, ms. */
const QUIET_MS = 60_000
/** `type` of errors without a name of their own. */
const OTHER = "_OTHER"
/** Maximum number of distinct names of foreign errors. They come from loaders, so nothing else bounds their number. */
const MAX_NAMES = 64
const NAME = /^[A-Za-z_$][\w$.]{0,63}$/

const names = new Set<string>()
/** What loaders have thrown, and what was thrown because of what they returned. */
const ofLoaders = new WeakSet<object>()

/** The code of a `KvError`, the name of any other error. It has few values, because it is an attribute of metrics. */
export function errorType(error: unknown): string {
  if (!(error instanceof Error)) return OTHER
  if (isKvError(error)) return error.code
  if (names.has(error.name)) return error.name
  if (names.size >= MAX_NAMES || !NAME.test(error.name)) return OTHER
  names.add(error.name)
  return error.name
}

/** Marks the error of a loader, so that it is not taken for one of the backend. */
export function blameLoader(error: unknown): void {
  if (typeof error === "object" && error !== null) ofLoaders.add(error)
}

/** What failed with `error`. A primitive can only come from a loader. */
function failedTier(error: unknown): ErrorStats["tier"] {
  return typeof error !== "object" || error === null || ofLoaders.has(error) ? "loader" : "l2"
}

/** The failures of the operations of one store, counted by kind, and the operations that were aborted. */
export class Failures {
  aborted = 0
  readonly #now: () => number
  readonly #place: { store: string; target: string }
  readonly #kinds = new Map<string, ErrorStats>()

  /** @param now wall clock, Unix ms */
  constructor(now: () => number, store: string, target: string) {
    this.#now = now
    this.#place = { store, target }
  }

  /** Counts the end of an operation, and says in its error which store failed. Returns its kind; `undefined` if `signal`, that of the caller, ended it. */
  add(operation: FailedOperation, error: unknown, signal?: AbortSignal): ErrorStats | undefined {
    if (signal?.aborted && error === signal.reason) {
      this.aborted++
      return undefined
    }
    const tier = failedTier(error)
    if (tier === "l2") locate(error, this.#place)
    const type = errorType(error)
    const id = `${operation} ${tier} ${type}`
    const known = this.#kinds.get(id)
    const count = (known?.count ?? 0) + 1
    const lastAt = this.#now()
    const goesOn = known !== undefined && lastAt - known.lastAt < QUIET_MS
    const kind = { operation, tier, type, count, sinceAt: goesOn ? known.sinceAt : lastAt, lastAt }
    this.#kinds.set(id, kind)
    return kind
  }

  list(): ErrorStats[] {
    return [...this.#kinds.values()].map((kind) => ({ ...kind }))
  }
}
