/** Clocks, timers and random numbers as an input, so that a test can move time instead of sleeping. */
export interface Runtime {
  /** Wall clock: Unix ms, a whole number. Expiries are compared with it. */
  now(): number
  /** Monotonic clock, ms. Durations and the deadlines of L1 are measured with it. */
  monotonic(): number
  /** Uniform in [0, 1). */
  random(): number
  /** A new identity: 32 hexadecimal digits, never returned twice. */
  id(): string
  /** Calls back once after `delayMs`, which may be longer than a Node timer allows. Must not keep the process alive. */
  setTimer(callback: () => void, delayMs: number): Timer
}

export interface Timer {
  cancel(): void
}

export const systemRuntime: Runtime = {
  // Looked up when used, so that the fake timers of a test move it.
  now: () => Date.now(),
  monotonic: () => performance.now(),
  random: Math.random,
  id: () => process.getBuiltinModule("node:crypto").randomUUID().replaceAll("-", ""),
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

/** The longest delay of a Node timer, ms. Node replaces a longer one by 1 ms. */
const LONGEST_TIMER_MS = 2 ** 31 - 1
