import { describe, expect, test } from "vitest"
import { seededRandom, zipf } from "../../../examples/start/popularity.ts"
import { L1Entry } from "../../../tiers/l1/entry.ts"
import { Ghosts } from "../../../tiers/l1/ghosts.ts"
import { L1 } from "../../../tiers/l1/l1.ts"
import { NONE } from "../../../tiers/l1/lru-slots.ts"
import type { L1Settings } from "../../../tiers/l1/settings.ts"
import { testRuntime } from "../../support/runtime.ts"

const SETTINGS: L1Settings = { maxEntries: 2, maxBytes: 1e9, ttlMs: 10_000, negativeTtlMs: 0, jitter: 0 }
const ENTRY = new L1Entry(Buffer.from("value"), "v", undefined)

function newL1(settings: Partial<L1Settings> = {}) {
  const runtime = testRuntime()
  return { l1: new L1({ ...SETTINGS, ...settings }, runtime), runtime }
}

/** Reads `key`, and fills it if it is not there. */
function read(l1: L1, key: string): void {
  if (l1.find(key) === NONE && !l1.isAbsent(key)) l1.fill(key, ENTRY)
}

const doubled = (l1: L1) => l1.counters().doubledHits

describe("hits that twice the room would bring", () => {
  test.each([
    [200, 4_000],
    [3_000, 40_000],
  ])(
    "are those that an L1 of twice %i entries has, over %i keys of Zipf's popularity",
    (maxEntries, keys) => {
      const [{ l1 }, { l1: twice }] = [newL1({ maxEntries }), newL1({ maxEntries: 2 * maxEntries })]
      const pick = zipf(
        Array.from({ length: keys }, (_, key) => `product:${key}`),
        0.9,
        seededRandom(7),
      )
      const reads = 100_000
      for (let n = 0; n < reads; n++) {
        const key = pick()
        read(l1, key)
        read(twice, key)
      }
      const gain = (twice.counters().hits - l1.counters().hits) / reads
      expect(gain).toBeGreaterThan(0.05)
      expect(Math.abs(doubled(l1) / reads - gain)).toBeLessThan(0.01)
    },
  )

  test("do not count a key that was written, invalidated or past its time since it was evicted", async () => {
    for (const happens of ["nothing", "write", "clear", "suspicion", "time"] as const) {
      const { l1, runtime } = newL1()
      for (const key of "abc") read(l1, key)
      if (happens === "write") l1.drop("a")
      if (happens === "clear") l1.clear()
      if (happens === "suspicion") l1.suspectAll()
      if (happens === "time") await runtime.advance(10_001)
      l1.isAbsent("a")
      l1.isAbsent("a")
      expect(doubled(l1), happens).toBe(happens === "nothing" ? 1 : 0)
    }
  })

  test("are counted where bytes are the bound, over as many keys as L1 holds", () => {
    const { l1 } = newL1({ maxEntries: 1_000, maxBytes: 1_000 })
    for (let key = 0; key < 100; key++) read(l1, `k${key}`)
    const held = l1.entries
    expect(held).toBeLessThan(50)
    for (let key = 99; key >= 0; key--) l1.isAbsent(`k${key}`)
    expect(doubled(l1)).toBe(held)
  })

  test("are none where nothing is evicted", () => {
    const { l1 } = newL1()
    read(l1, "a")
    l1.isAbsent("b")
    expect(doubled(l1)).toBe(0)
  })
})

test("at most 1,024 ghosts are held, of however many entries, and never more than the entries held", () => {
  for (const [maxEntries, most] of [
    [10, 10],
    [1_024, 1_024],
    [1_025, 513],
    [1_000_000, 1_024],
  ] as const) {
    const ghosts = new Ghosts(maxEntries)
    for (let key = 0; key < 2_000_000 && key < maxEntries * 3; key++) ghosts.evicted(`k${key}`, 1, maxEntries)
    expect(ghosts.size).toBeLessThanOrEqual(most)
    expect(ghosts.size).toBeGreaterThan(most * 0.9)
  }
})
