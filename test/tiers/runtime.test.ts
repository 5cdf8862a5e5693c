import { afterEach, beforeEach, expect, test, vi } from "vitest"
import { systemRuntime } from "../../tiers/runtime.ts"

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

const DAY_MS = 86_400_000

test("a timer of more than 2^31 ms fires when it is due, not at once", () => {
  const fired = vi.fn()
  systemRuntime.setTimer(fired, 60 * DAY_MS)
  vi.advanceTimersByTime(60 * DAY_MS - 1)
  expect(fired).not.toHaveBeenCalled()
  vi.advanceTimersByTime(1)
  expect(fired).toHaveBeenCalledOnce()
})

test("a timer of more than 2^31 ms can be cancelled in its second part", () => {
  const fired = vi.fn()
  const timer = systemRuntime.setTimer(fired, 60 * DAY_MS)
  vi.advanceTimersByTime(30 * DAY_MS)
  timer.cancel()
  vi.advanceTimersByTime(60 * DAY_MS)
  expect(fired).not.toHaveBeenCalled()
})
