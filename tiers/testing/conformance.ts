import type { Backend } from "../backend.ts"
import type { Runtime } from "../runtime.ts"
import { type ConformanceCase, casesOf, type Departures, Skipped } from "./cases.ts"
import { batchCases } from "./conformance/batches.ts"
import { conditionCases } from "./conformance/conditions.ts"
import { type CaseContext, type Cases, conformanceClock } from "./conformance/context.ts"
import { deliveryCases } from "./conformance/delivery.ts"
import { entryCases } from "./conformance/entries.ts"
import { expiryCases } from "./conformance/expiry.ts"
import { scanCases } from "./conformance/scans.ts"
import { versionCases } from "./conformance/versions.ts"

export type {
  BusConformancePlace,
  BusConformanceSubject,
} from "./bus-conformance/bus-conformance.ts"
export { busConformance } from "./bus-conformance/bus-conformance.ts"
export type { ConformanceCase, ConformanceOutcome } from "./cases.ts"

/** The backend under test, and its known departures from the contract. */
export interface ConformanceSubject {
  /**
   * Makes a new, empty store: a table, a file, or a key prefix. Called once for each case. Every backend over the store has to use this
   * `runtime`: the cases move its wall clock forward.
   */
  createStore(runtime: Runtime): ConformanceStore | Promise<ConformanceStore>
  /**
   * The cases that this backend is known to fail, by name, each with the reason. A declared case that passes, or that does not exist, is a
   * stale departure and fails the suite.
   */
  departures?: Departures
}

export interface ConformanceStore {
  /**
   * Makes a backend over this store, not yet open. Each call stands for another process. The suite opens and closes the backend.
   */
  connect(): Backend | Promise<Backend>
  /** Removes the store after the case, also after a failure. Its backends are closed then. */
  dispose?(): void | Promise<void>
}

const CASES: Cases = {
  ...entryCases,
  ...versionCases,
  ...expiryCases,
  ...conditionCases,
  ...deliveryCases,
  ...batchCases,
  ...scanCases,
}

/**
 * The contract of {@link Backend} as cases, for any test runner. Make a test of each case:
 *
 * ```ts
 * for (const { name, run } of conformance({ createStore })) test(name, async () => void (await run()))
 * ```
 *
 * A case throws an `AssertionError` of `node:assert`. The cases share no state, and may run concurrently.
 */
export function conformance(subject: ConformanceSubject): ConformanceCase[] {
  return casesOf(CASES, subject.departures ?? {}, (use) => inNewStore(subject, use))
}

async function inNewStore(
  subject: ConformanceSubject,
  use: (context: CaseContext) => Promise<void>,
): Promise<void> {
  const clock = conformanceClock()
  const store = await subject.createStore(clock)
  const opened: Backend[] = []
  const connect = async () => {
    const backend = await store.connect()
    opened.push(backend)
    await backend.open()
    return backend
  }
  try {
    await use({
      backend: await connect(),
      another: connect,
      clock,
      skip(reason) {
        throw new Skipped(reason)
      },
    })
  } finally {
    await Promise.allSettled(opened.map((backend) => backend.close()))
    await store.dispose?.()
  }
}
