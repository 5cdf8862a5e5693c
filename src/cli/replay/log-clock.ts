import { type Runtime, systemRuntime } from "../../../tiers/runtime.ts"

/** A clock that runs like the system's and can be set forward to the time of the log, so that a replay need not wait. */
export interface LogClock {
  readonly runtime: Runtime
  /** Sets the clock forward to `atMs` of the log; does nothing if it is later. Call it only while no access is under way. */
  advanceTo(atMs: number): void
}

/** The first call of `advanceTo` sets the beginning of the log. */
export function logClock(system: Runtime = systemRuntime): LogClock {
  const start = system.monotonic()
  const startWall = system.now()
  let skippedMs = 0
  let logStartMs: number | undefined
  const elapsed = () => system.monotonic() - start + skippedMs
  return {
    runtime: {
      monotonic: elapsed,
      // From the same reading: if the clocks drift apart, L1 assumes that the wall clock was stepped.
      now: () => startWall + Math.floor(elapsed()),
      random: () => system.random(),
      id: () => system.id(),
      setTimer: (callback, delayMs) => system.setTimer(callback, delayMs),
    },
    advanceTo(atMs) {
      logStartMs ??= atMs
      skippedMs += Math.max(0, atMs - logStartMs - elapsed())
    },
  }
}
