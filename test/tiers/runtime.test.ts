import { mock } from "node:test"
import { afterEach, beforeEach, expect, test, vi } from "vitest"
import { kv } from "../../src/index.ts"
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

test("fake timers move the expiry of an entry, whenever they were installed", async () => {
  vi.useRealTimers()
  const store = await kv("fake", { backend: "memory:" })
  vi.useFakeTimers()
  await store.set("a", "1", { ttlMs: 1_000 })
  expect(await store.getText("a")).toBe("1")
  vi.advanceTimersByTime(999)
  expect(await store.getText("a")).toBe("1")
  vi.advanceTimersByTime(1)
  expect(await store.getText("a", { consistency: "strong" })).toBeUndefined()
  expect(await store.getText("a")).toBeUndefined()
  vi.useRealTimers()
  await store.close()
})

test("the mocked clock of node:test moves the expiry of an entry", async () => {
  vi.useRealTimers()
  const store = await kv("fake", { backend: "memory:", l1: false })
  mock.timers.enable({ apis: ["Date", "setTimeout"], now: 0 })
  try {
    await store.set("a", "1", { ttlMs: 1_000 })
    mock.timers.tick(999)
    expect(await store.getText("a")).toBe("1")
    mock.timers.tick(1)
    expect(await store.getText("a")).toBeUndefined()
  } finally {
    mock.timers.reset()
    await store.close()
  }
})
