import { randomUUID } from "node:crypto"

/** Time and chance, as inputs: a test passes its own and moves time instead of sleeping. */
export interface Runtime {
  /** Wall clock: Unix ms, a whole number. Expiries are counted on it. */
  now(): number
  /** Monotonic clock, ms. Durations and the ages of L1 are counted on it. */
  monotonic(): number
  /** Uniform in [0, 1). */
  random(): number
  /** A new identity: 32 hex digits, never given twice. */
  id(): string
  /** Calls back once after `delayMs`; must not keep the process alive. */
  setTimer(callback: () => void, delayMs: number): Timer
}

export interface Timer {
  cancel(): void
}

export const systemRuntime: Runtime = {
  now: Date.now,
  monotonic: () => performance.now(),
  random: Math.random,
  id: () => randomUUID().replaceAll("-", ""),
  setTimer(callback, delayMs) {
    const timer = setTimeout(callback, delayMs).unref()
    return { cancel: () => clearTimeout(timer) }
  },
}
