import assert from "node:assert/strict"
import type { Bus } from "../../buses/bus.ts"
import { systemRuntime } from "../../runtime.ts"
import { within } from "../../util/deadline.ts"
import type { CaseBodies } from "../cases.ts"

/** The input of a case. */
export interface BusCaseContext {
  /** Another bus, not yet open. @param channel another channel than that of the case */
  connect(channel?: string): Promise<BusMember>
  /** The same, open and alive. */
  join(channel?: string): Promise<BusMember>
  // The faults of the place. Each skips the case if the place cannot make it.
  cut(): Promise<void>
  halt(): Promise<void>
  resume(): Promise<void>
  freeze(): Promise<void>
  thaw(): Promise<void>
  overflow(): Promise<void>
}

export type BusCases = CaseBodies<BusCaseContext>

/** What a subscriber was told: a frame, or a sign. */
export type Told = Uint8Array | "alive" | "lost"

/** A bus and what it has told its subscriber. */
export interface BusMember {
  readonly bus: Bus
  readonly told: readonly Told[]
  open(): Promise<void>
  /** Publishes texts. */
  publish(...texts: string[]): Promise<void>
  /** The frames so far, as texts. */
  texts(): string[]
  /** Resolves once `isSo` of what was told; rejects after {@link PATIENCE_MS}. */
  until(isSo: (told: readonly Told[]) => boolean, what: string): Promise<void>
  /** Resolves once a frame with this text has arrived. */
  received(text: string): Promise<void>
}

/** Longest time that a case waits for what a bus has to tell, ms. */
const PATIENCE_MS = 15_000

export function member(bus: Bus, channel: string): BusMember {
  const told: Told[] = []
  const waiting = new Set<() => void>()
  const tell = (what: Told) => {
    told.push(what)
    for (const check of waiting) check()
  }
  const until = async (isSo: (told: readonly Told[]) => boolean, what: string) => {
    let check = () => {}
    const seen = new Promise<void>((resolve) => {
      check = () => {
        if (isSo(told)) resolve()
      }
      waiting.add(check)
      check()
    })
    // Buses keep no process alive.
    const hold = setInterval(() => {}, PATIENCE_MS)
    const tooLate = () => new assert.AssertionError({ message: `waited in vain: ${what}` })
    try {
      await within(systemRuntime, seen, PATIENCE_MS, tooLate)
    } finally {
      clearInterval(hold)
      waiting.delete(check)
    }
  }
  const texts = () => told.filter((one) => typeof one !== "string").map(textOf)
  return {
    bus,
    told,
    open: () => bus.open({ channel, message: tell, alive: () => tell("alive"), lost: () => tell("lost") }),
    publish: (...texts) => bus.publish(texts.map(frameOf)),
    texts,
    until,
    received: (text) =>
      until((told) => told.some((one) => typeof one !== "string" && textOf(one) === text), `frame ${text}`),
  }
}

export function frameOf(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}

export function textOf(frame: Uint8Array): string {
  return new TextDecoder().decode(frame)
}

/** How many times a sign was told. */
export function count(told: readonly Told[], sign: "alive" | "lost"): number {
  return told.filter((one) => one === sign).length
}

/** Publishes until the bus accepts it: it may be connecting again. */
export async function publishAgain(one: BusMember, text: string): Promise<void> {
  for (const deadline = systemRuntime.monotonic() + PATIENCE_MS; ; ) {
    try {
      return await one.publish(text)
    } catch (error) {
      if (systemRuntime.monotonic() > deadline) throw error
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
}
