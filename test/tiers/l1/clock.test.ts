import { afterEach, describe, expect, test, vi } from "vitest"
import { kv } from "../../../src/index.ts"
import { L1Entry } from "../../../tiers/l1/entry.ts"
import { L1 } from "../../../tiers/l1/l1.ts"
import type { L1Settings } from "../../../tiers/l1/settings.ts"
import { systemRuntime } from "../../../tiers/runtime.ts"

afterEach(() => void vi.restoreAllMocks())

const SETTINGS: L1Settings = {
  maxEntries: 10,
  maxBytes: 1e6,
  ttlMs: 10_000,
  negativeTtlMs: 10_000,
  jitter: 0,
}

function entry(text: string, expiresAt?: number): L1Entry {
  return new L1Entry(Buffer.from(text), "v", expiresAt)
}

/** L1 over the system's runtime, whose clocks and timers the test moves. */
function onSystemRuntime(settings: Partial<L1Settings> = {}) {
  const clock = { ms: 1_000, wallStep: 0, timers: new Set<() => void>() }
  const monotonic = vi.spyOn(systemRuntime, "monotonic").mockImplementation(() => clock.ms)
  const now = vi
    .spyOn(systemRuntime, "now")
    .mockImplementation(() => Math.floor(1_000_000 + clock.ms + clock.wallStep))
  vi.spyOn(systemRuntime, "setTimer").mockImplementation((callback) => {
    clock.timers.add(callback)
    return { cancel: () => void clock.timers.delete(callback) }
  })
  const l1 = new L1({ ...SETTINGS, ...settings }, systemRuntime)
  const turn = () => {
    for (const callback of clock.timers) callback()
    clock.timers.clear()
  }
  return { l1, clock, monotonic, now, turn }
}

describe("what a hit pays for the clock", () => {
  test("far from its deadline: a glance at the wall clock in 8 look-ups, a reading in 64", () => {
    const { l1, monotonic, now } = onSystemRuntime()
    l1.fill("a", entry("1"))
    // The first hit takes a reading, which the 8th glance after it renews.
    for (let hit = 0; hit < 8; hit++) l1.get("a")
    monotonic.mockClear()
    now.mockClear()
    for (let hit = 0; hit < 6 * 8; hit++) l1.get("a")
    expect([monotonic.mock.calls.length, now.mock.calls.length]).toEqual([0, 6])
    for (let hit = 0; hit < 8; hit++) l1.get("a")
    expect([monotonic.mock.calls.length, now.mock.calls.length]).toEqual([1, 8])
  })

  test("within 250 ms of the deadline: a reading for each, so that it is met exactly", () => {
    const { l1, clock, turn } = onSystemRuntime()
    l1.fill("a", entry("1"))
    clock.ms += 9_800
    turn()
    expect(l1.get("a")).toBeDefined()
    clock.ms += 199
    expect(l1.get("a")).toBeDefined()
    clock.ms += 1
    expect(l1.get("a")).toBeUndefined()
  })

  test("once the event loop has turned for 50 ms, the next hit takes a reading", () => {
    const { l1, clock, turn } = onSystemRuntime()
    l1.fill("a", entry("1"))
    expect(l1.get("a")).toBeDefined()
    clock.ms += 20_000
    turn()
    expect(l1.get("a")).toBeUndefined()
  })

  test("close cancels the timer", () => {
    const { l1, clock } = onSystemRuntime()
    l1.fill("a", entry("1"))
    l1.get("a")
    expect(clock.timers.size).toBe(1)
    l1.close()
    expect([clock.timers.size, l1.entries]).toEqual([0, 0])
  })
})

describe("within a turn of the event loop that takes its time", () => {
  for (const betweenMs of [1, 7, 30, 150, 199, 200, 250, 1_000, 12_000]) {
    test(`with ${betweenMs} ms between two hits, at most 8 are late`, () => {
      for (let warm = 0; warm < 16; warm++) {
        const { l1, clock } = onSystemRuntime({ ttlMs: 2_000 })
        l1.fill("a", entry("1"))
        for (let hit = 0; hit < warm; hit++) l1.get("a")
        const deadline = clock.ms + 2_000
        let late = 0
        while (clock.ms < deadline + 100 * betweenMs) {
          clock.ms += betweenMs
          const hit = l1.get("a")
          if (hit !== undefined && clock.ms >= deadline) late++
          if (clock.ms < deadline) expect(hit).toBeDefined()
        }
        expect(late).toBeLessThan(8)
        vi.restoreAllMocks()
      }
    })
  }

  test("an absent key is trusted no longer than an entry", () => {
    const { l1, clock } = onSystemRuntime()
    l1.fillAbsent("a")
    let late = 0
    for (let look = 0; look < 100; look++) {
      clock.ms += 12_000
      if (l1.get("a") === undefined && l1.isAbsent("a")) late++
    }
    expect(late).toBeLessThan(8)
  })

  test("misses count: a hit among them trusts no older reading", () => {
    const { l1, clock } = onSystemRuntime()
    l1.fill("a", entry("1"))
    expect(l1.get("a")).toBeDefined()
    clock.ms += 12_000
    for (let look = 0; look < 7; look++) l1.get("not there")
    expect(l1.get("a")).toBeUndefined()
  })

  test("a busy chain of awaits on the real clock: at most 8 hits past the expiry", async () => {
    const client = await kv("busy", { backend: "memory:", l1: { ttlMs: 60_000 } })
    const { expiresAt = 0 } = await client.put("a", "1", { ttlMs: 600 })
    let late = 0
    for (let hit = 0; hit < 60; hit++) {
      const text = await client.getText("a")
      if (text !== undefined && Date.now() >= expiresAt) late++
      for (const end = performance.now() + 25; performance.now() < end; );
    }
    expect(Date.now()).toBeGreaterThan(expiresAt + 500)
    expect(late).toBeLessThanOrEqual(8)
    expect(client.peekText("a")).toBeUndefined()
    await client.close()
  })
})

describe("a wall clock that is stepped", () => {
  for (const stepMs of [11, 100, 250, 1_000, 3_600_000]) {
    test(`forward by ${stepMs} ms: at most 8 hits are late, and not the one that notices`, () => {
      for (let warm = 0; warm < 80; warm++) {
        const { l1, clock, now } = onSystemRuntime({ ttlMs: 1e9 })
        l1.fill("a", entry("1", systemRuntime.now() + stepMs))
        for (let hit = 0; hit < warm; hit++) l1.get("a")
        clock.wallStep += stepMs
        let late = 0
        let glanced = false
        for (; late < 100; late++) {
          now.mockClear()
          const hit = l1.get("a")
          glanced = now.mock.calls.length > 0
          if (hit === undefined) break
          expect(glanced).toBe(false)
        }
        expect(glanced).toBe(true)
        expect(late).toBeLessThan(8)
        vi.restoreAllMocks()
      }
    })
  }

  test("forward empties L1 at the next reading", () => {
    const { l1, clock, turn } = onSystemRuntime()
    l1.fill("a", entry("1"))
    l1.fillAbsent("absent")
    l1.get("a")
    clock.wallStep += 3_600_000
    turn()
    expect([l1.get("a"), l1.isAbsent("absent")]).toEqual([undefined, false])
    expect(l1.counters()).toMatchObject({ invalidations: 2, expirations: 0 })
  })

  test("back lets nothing live longer than its time", () => {
    const { l1, clock } = onSystemRuntime()
    l1.fill("a", entry("1", systemRuntime.now() + 1_000))
    l1.get("a")
    clock.wallStep -= 3_600_000
    clock.ms += 999
    for (let hit = 0; hit < 8; hit++) expect(l1.get("a")).toBeDefined()
    clock.ms += 1
    expect(l1.get("a")).toBeUndefined()
  })
})

describe("a reading that empties L1 in the middle of a look-up", () => {
  /** Every look-up from here on may be the one in 8 that glances, or the first that needs a reading. */
  test("finds nothing there, whichever look-up it is", () => {
    for (let warm = 0; warm < 80; warm++) {
      for (const turns of [false, true]) {
        const { l1, clock, turn } = onSystemRuntime()
        for (const key of "abc") l1.fill(key, entry(key))
        l1.fillAbsent("absent")
        for (let hit = 0; hit < warm; hit++) l1.get("abc".charAt(hit % 3))
        clock.wallStep += 500
        if (turns) turn()
        let emptied = false
        for (let look = 0; look < 16; look++) {
          const key = "abc".charAt(look % 3)
          const slot = l1.find(key)
          const isAbsent = l1.isAbsent("absent")
          emptied = l1.entries === 0
          if (!emptied) expect([l1.entryAt(slot).decodeText(), isAbsent]).toEqual([key, true])
          else {
            expect([slot, isAbsent]).toEqual([0, false])
            break
          }
        }
        expect(emptied).toBe(true)
        expect(l1.counters()).toMatchObject({ invalidations: 4, expirations: 0 })
        l1.fill("d", entry("d"))
        expect([l1.get("d")?.decodeText(), l1.get("a")]).toEqual(["d", undefined])
        vi.restoreAllMocks()
      }
    }
  })

  test("and as little of what is kept, or of an absent key", () => {
    const { l1, clock } = onSystemRuntime({ keptMs: 1_000 })
    l1.fill("a", entry("1"))
    l1.fillAbsent("absent")
    clock.wallStep += 500
    expect(l1.isAbsent("absent")).toBe(false)
    expect([l1.kept("a"), l1.entries, l1.negatives]).toEqual([undefined, 0, 0])
  })
})
