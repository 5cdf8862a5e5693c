import { type Runtime, systemRuntime } from "../../../tiers/runtime.ts"

/** A clock that skips the waiting in a log: it runs as the system's does, and is set forward to the time of the log. */
export interface LogClock {
  readonly runtime: Runtime
  /** Sets the clock forward to `atMs` of the log, unless it is there already. Only while nothing is under way. */
  advanceTo(atMs: number): void
}

/** The first time that it is advanced to is the log's beginning. */
export function logClock(system: Runtime = systemRuntime): LogClock {
  const start = system.monotonic()
  const startWall = system.now()
  let skippedMs = 0
  let logStartMs: number | undefined
  const elapsed = () => system.monotonic() - start + skippedMs
  return {
    runtime: {
      monotonic: elapsed,
      // From the same reading: an L1 that sees the two clocks drift apart takes the wall clock as stepped.
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
