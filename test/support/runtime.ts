import type { Runtime, Timer } from "../../tiers/runtime.ts"

/** A runtime whose time moves only when the test moves it, and whose random numbers are seeded. */
export interface TestRuntime extends Runtime {
  /** Moves both clocks on and fires the timers that fall due, in order, letting promises settle after each. */
  advance(ms: number): Promise<void>
  /** Moves both clocks on within one turn of the event loop, in which no timer fires. */
  freeze(ms: number): void
  /** Steps the wall clock alone, as an administrator or NTP would. */
  stepWallClock(ms: number): void
}

export function testRuntime(startAt = Date.now(), seed = 1): TestRuntime {
  let elapsed = 0
  let wallStep = 0
  let state = seed >>> 0
  let ids = 0
  const timers = new Set<{ at: number; callback: () => void }>()

  const random = () => {
    // mulberry32
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }

  return {
    now: () => startAt + elapsed + wallStep,
    monotonic: () => 1_000 + elapsed,
    random,
    id: () => (seed.toString(16) + (++ids).toString(16).padStart(24, "0")).padStart(32, "0"),
    setTimer(callback, delayMs): Timer {
      const timer = { at: elapsed + delayMs, callback }
      timers.add(timer)
      return { cancel: () => void timers.delete(timer) }
    },
    freeze(ms) {
      elapsed += ms
    },
    stepWallClock(ms) {
      wallStep += ms
    },
    async advance(ms) {
      const end = elapsed + ms
      for (;;) {
        const due = [...timers].filter((timer) => timer.at <= end).sort((a, b) => a.at - b.at)[0]
        if (due === undefined) break
        timers.delete(due)
        elapsed = Math.max(elapsed, due.at)
        due.callback()
        await settle()
      }
      elapsed = Math.max(elapsed, end)
      await settle()
    },
  }
}

/** Waits until every promise that can settle by itself has settled. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await new Promise<void>((resolve) => setImmediate(resolve))
}

/** Waits for something outside the runtime, such as a request at a proxy. The time limit of the test ends it. */
export async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await settle()
}
