import { AsyncLocalStorage } from "node:async_hooks"

/** A load that may wait for other loads, because its loader calls the store for other keys. */
export interface ChainedLoad {
  /** The loads that its loader waits for. */
  readonly waitsFor: Set<ChainedLoad>
  readonly signal: AbortSignal
}

/** The first release of Node in which using `AsyncLocalStorage` does not slow `await` down; before it, `await` takes three times as long. */
const FREE_SINCE_NODE = 24

const [major] = process.versions.node.split(".")
const running = Number(major) >= FREE_SINCE_NODE ? new AsyncLocalStorage<ChainedLoad>() : undefined
/** Signal → the load whose loader received it. */
const bySignal = new WeakMap<AbortSignal, ChainedLoad>()
/** The load whose loader is running synchronously, before its first `await`. */
let calling: ChainedLoad | undefined

/**
 * Runs a loader so that its calls of the store can be attributed to `load`: calls before its first `await`, calls that pass its signal
 * on, and on Node 24 and later all calls.
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

/** The load whose loader makes the current call, to which `signal` was passed; `undefined` if there is none or it is not known. */
export function callingLoad(signal: AbortSignal | undefined): ChainedLoad | undefined {
  return (signal && bySignal.get(signal)) ?? running?.getStore() ?? calling
}

/** Whether `load` is `other`, or waits for it, directly or through others. No load waits for `undefined`. */
export function waitsFor(load: ChainedLoad, other: ChainedLoad | undefined): boolean {
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
