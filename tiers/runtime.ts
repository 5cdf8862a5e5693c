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
    const fire = () => {
      leftMs -= LONGEST_TIMER_MS
      if (leftMs <= 0) callback()
      else arm()
    }
    const arm = () => {
      timer = setTimeout(fire, Math.min(leftMs, LONGEST_TIMER_MS)).unref()
    }
    let leftMs = delayMs
    let timer: NodeJS.Timeout | undefined
    arm()
    return { cancel: () => clearTimeout(timer) }
  },
}

/** The longest delay that Node's timers take, ms; they turn a longer one into 1 ms. */
const LONGEST_TIMER_MS = 2 ** 31 - 1
