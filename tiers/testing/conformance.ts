import type { Backend } from "../backend.ts"
import type { Runtime } from "../runtime.ts"
import { batchCases } from "./conformance/batches.ts"
import { conditionCases } from "./conformance/conditions.ts"
import { type CaseContext, type Cases, conformanceClock } from "./conformance/context.ts"
import { deliveryCases } from "./conformance/delivery.ts"
import { entryCases } from "./conformance/entries.ts"
import { expiryCases } from "./conformance/expiry.ts"
import { scanCases } from "./conformance/scans.ts"
import { versionCases } from "./conformance/versions.ts"

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
  departures?: Readonly<Record<string, string>>
}

export interface ConformanceStore {
  /**
   * Makes a backend over this store, not yet open. Each call stands for another process. The suite opens and closes the backend.
   */
  connect(): Backend | Promise<Backend>
  /** Removes the store after the case, also after a failure. Its backends are closed then. */
  dispose?(): void | Promise<void>
}

export interface ConformanceCase {
  /** Unique and stable; departures refer to it. */
  readonly name: string
  /** Runs the case in a new store. A failure rejects. */
  run(): Promise<ConformanceOutcome>
}

/** `departed`: the case failed, as declared. `skipped`: the case does not apply to this backend. */
export type ConformanceOutcome =
  | { outcome: "passed" }
  | { outcome: "departed"; reason: string }
  | { outcome: "skipped"; reason: string }

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
  const departures = subject.departures ?? {}
  return [
    { name: "departures: each names a case of this suite", run: () => checkDepartures(departures) },
    ...Object.entries(CASES).map(([name, body]) => ({
      name,
      run: () => runCase(subject, body, Object.hasOwn(departures, name) ? departures[name] : undefined),
    })),
  ]
}

async function checkDepartures(departures: Readonly<Record<string, string>>): Promise<ConformanceOutcome> {
  const unknown = Object.keys(departures).filter((name) => !Object.hasOwn(CASES, name))
  if (unknown.length > 0) throw new Error(`stale departure, no case has this name: ${unknown.join(" / ")}`)
  return { outcome: "passed" }
}

async function runCase(
  subject: ConformanceSubject,
  body: Cases[string],
  departure: string | undefined,
): Promise<ConformanceOutcome> {
  let failure: { error: unknown } | undefined
  await inNewStore(subject, async (context) => {
    try {
      await body(context)
    } catch (error) {
      failure = { error }
    }
  })
  if (departure !== undefined) {
    if (failure !== undefined && !(failure.error instanceof Skipped))
      return { outcome: "departed", reason: departure }
    throw new Error(`stale departure: the case no longer fails; it was declared because ${departure}`)
  }
  if (failure?.error instanceof Skipped) return { outcome: "skipped", reason: failure.error.message }
  if (failure !== undefined) throw failure.error
  return { outcome: "passed" }
}

class Skipped extends Error {}

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
