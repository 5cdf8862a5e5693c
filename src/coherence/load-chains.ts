import { AsyncLocalStorage } from "node:async_hooks"

/** A load that may wait for others: its loader asks the store for other keys. */
export interface ChainedLoad {
  /** The loads that its loader waits for. */
  readonly waitsFor: Set<ChainedLoad>
  readonly signal: AbortSignal
}

/** The first release of Node whose `AsyncLocalStorage` makes `await` no slower; before it, any use triples its cost. */
const FREE_SINCE_NODE = 24

const [major] = process.versions.node.split(".")
const running = Number(major) >= FREE_SINCE_NODE ? new AsyncLocalStorage<ChainedLoad>() : undefined
/** Which load a signal was given to. */
const bySignal = new WeakMap<AbortSignal, ChainedLoad>()
/** The load whose loader has been called and has not yet returned. */
let calling: ChainedLoad | undefined

/**
 * Runs a loader as part of `load`, so that the loads it waits for are known: before its first `await`, by the signal that
 * it passes on, and on Node 24 and later in any case.
 */
export function runInChain<T>(load: ChainedLoad, loader: () => T): T {
  bySignal.set(load.signal, load)
  const before = calling
  calling = load
  try {
    return running === undefined ? loader() : running.run(load, loader)
  } finally {
    calling = before
  }
}

/** The load whose loader makes the call that was given `signal`, if that can be known. */
export function callingLoad(signal: AbortSignal | undefined): ChainedLoad | undefined {
  return (signal && bySignal.get(signal)) ?? running?.getStore() ?? calling
}

/** Whether `load` waits for `other`, or is `other`. */
export function waitsFor(load: ChainedLoad, other: ChainedLoad): boolean {
  const seen = new Set<ChainedLoad>()
  const pending = [load]
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    if (next === other) return true
    if (seen.has(next)) continue
    seen.add(next)
    pending.push(...next.waitsFor)
  }
  return false
}
