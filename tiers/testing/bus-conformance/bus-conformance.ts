import type { Bus } from "../../buses/bus.ts"
import { systemRuntime } from "../../runtime.ts"
import { type ConformanceCase, casesOf, type Departures, Skipped } from "../cases.ts"
import { frameCases } from "./frames.ts"
import { lossCases } from "./losses.ts"
import { type BusCaseContext, type BusMember, member } from "./member.ts"
import { lifeCases } from "./openings.ts"

/** The bus under test, and its known departures from the contract. */
export interface BusConformanceSubject {
  /** Makes what the buses of one case have in common: a server, or a part of one. Called once for each case. */
  createPlace(): BusConformancePlace | Promise<BusConformancePlace>
  /**
   * The cases that this bus is known to fail, by name, each with the reason. A declared case that passes, or that does not exist, is a
   * stale departure and fails the suite.
   */
  departures?: Departures
}

/** Where buses of one case meet. The cases of a fault that the place cannot make are skipped. */
export interface BusConformancePlace {
  /** Makes a bus, not yet open. Each call stands for another process. The suite opens and closes the bus. */
  connect(): Bus | Promise<Bus>
  /** Ends every connection; the buses can connect again at once. */
  cut?(): void | Promise<void>
  /** Makes the server unreachable, until {@link resume}. */
  halt?(): void | Promise<void>
  resume?(): void | Promise<void>
  /** Keeps the server from answering although connections stay open, until {@link thaw}. */
  freeze?(): void | Promise<void>
  thaw?(): void | Promise<void>
  /** Sends more to the subscribers of a channel than the server keeps for one that does not read. */
  overflow?(channel: string): void | Promise<void>
  /** Removes the place after the case, also after a failure. Its buses are closed then. */
  dispose?(): void | Promise<void>
}

const CASES = { ...frameCases, ...lifeCases, ...lossCases }

/**
 * The contract of {@link Bus} as cases, for any test runner. Make a test of each case:
 *
 * ```ts
 * for (const { name, run } of busConformance({ createPlace })) test(name, async () => void (await run()))
 * ```
 *
 * A case throws an `AssertionError` of `node:assert`. The cases use real time, and share no state but what their places share.
 */
export function busConformance(subject: BusConformanceSubject): ConformanceCase[] {
  return casesOf(CASES, subject.departures ?? {}, (use) => inNewPlace(subject, use))
}

async function inNewPlace(
  subject: BusConformanceSubject,
  use: (context: BusCaseContext) => Promise<void>,
): Promise<void> {
  const place = await subject.createPlace()
  const channel = `tiered-kv:test:${systemRuntime.id()}`
  const members: BusMember[] = []
  const connect = async (onChannel = channel) => {
    const one = member(await place.connect(), onChannel)
    members.push(one)
    return one
  }
  const fault = (name: Exclude<keyof BusConformancePlace, "connect">) => async () => {
    const make: ((channel: string) => void | Promise<void>) | undefined = place[name]?.bind(place)
    if (make === undefined) throw new Skipped(`the place has no ${name}`)
    await make(channel)
  }
  try {
    await use({
      connect,
      async join(onChannel) {
        const one = await connect(onChannel)
        await one.open()
        return one
      },
      cut: fault("cut"),
      halt: fault("halt"),
      resume: fault("resume"),
      freeze: fault("freeze"),
      thaw: fault("thaw"),
      overflow: fault("overflow"),
    })
  } finally {
    await Promise.allSettled(members.map(({ bus }) => bus.close()))
    await place.dispose?.()
  }
}
