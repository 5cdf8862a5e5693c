import { type WatchedStore, watchedStores } from "../../src/open-stores.ts"
import type { Runtime } from "../../tiers/runtime.ts"
import { STEP_MS, type StoreReport } from "./report.ts"
import { StoreRecord } from "./store-record.ts"

/**
 * The last 15 minutes of the stores of this process, so that a page that is opened later shows them. It looks at the stores
 * every five seconds; they do not know of it. It takes about 100 kB a store.
 */
export class Recorder {
  /** Steps so far. */
  step = 0
  readonly #runtime: Runtime
  readonly #records = new Map<WatchedStore, StoreRecord>()

  constructor(runtime: Runtime) {
    this.#runtime = runtime
    for (const store of watchedStores())
      this.#records.set(store, StoreRecord.from(store, runtime.monotonic()))
    this.#arm()
  }

  /** Every open store, with its last `steps` points. */
  report(steps: number): StoreReport[] {
    this.#meet()
    const now = this.#runtime.monotonic()
    return Array.from(this.#records.values(), (record) => record.report(now, steps))
  }

  /** Takes up the stores that were opened, which counted from zero, and drops those that were closed. */
  #meet(): void {
    const open = new Set(watchedStores())
    for (const store of this.#records.keys()) if (!open.has(store)) this.#records.delete(store)
    for (const store of open) {
      if (!this.#records.has(store)) {
        this.#records.set(store, StoreRecord.ofNew(store, this.#runtime.monotonic()))
      }
    }
  }

  #arm(): void {
    this.#runtime.setTimer(() => {
      this.#meet()
      const now = this.#runtime.monotonic()
      for (const record of this.#records.values()) record.step(now)
      this.step++
      this.#arm()
    }, STEP_MS)
  }
}

const recorders = new WeakMap<Runtime, Recorder>()

/** The one recorder of this process: handlers may be made many times, and share it. */
export function recorderOf(runtime: Runtime): Recorder {
  const recorder = recorders.get(runtime) ?? new Recorder(runtime)
  recorders.set(runtime, recorder)
  return recorder
}
