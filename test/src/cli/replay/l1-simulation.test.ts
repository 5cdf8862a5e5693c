import fc from "fast-check"
import { LRUCache } from "lru-cache"
import { describe, expect, test } from "vitest"
import { L1Simulation, sizesAround } from "../../../../src/cli/replay/l1-simulation.ts"
import { LruStack } from "../../../../src/cli/replay/lru-stack.ts"
import { lruHits, skewedKeys, traceKeys, traceNames } from "../../../support/traces.ts"

describe("the simulation of L1", () => {
  const keyCount = 12
  const steps = fc.array(
    fc.record({
      key: fc.nat(keyCount - 1),
      what: fc.constantFrom("read", "read", "read", "read", "write", "delete", "add"),
      passMs: fc.nat(4),
    }),
    { maxLength: 300, size: "max" },
  )

  test("gives the stack distances of a list kept by hand", () => {
    const stack = new LruStack()
    expect([1, 2, 3, 1, 1, 2].map((key) => stack.touch(key))).toEqual([0, 0, 0, 3, 1, 3])
    stack.drop(1)
    expect([2, 3, 1].map((key) => stack.touch(key))).toEqual([1, 3, 0])
  })

  test("agrees with lru-cache at every size, with writes, deletes, creates, TTL and expiry", () => {
    const sizes = [1, 2, 3, 5, 8, 13, Number.POSITIVE_INFINITY]
    fc.assert(
      fc.property(steps, fc.constantFrom(6, 20, Number.POSITIVE_INFINITY), (accesses, ttlMs) => {
        const simulation = new L1Simulation(sizes, ttlMs)
        const models = sizes.map((size) => tieredModel(size, ttlMs))
        const seen = new Set<number>()
        let now = 0
        for (const { key, what, passMs } of accesses) {
          now += passMs
          const expiresAt = key % 3 === 0 ? now + 9 : Number.POSITIVE_INFINITY
          if (what === "read") simulation.read(key, now)
          else if (what === "write") simulation.write(key, expiresAt)
          else if (what === "add") simulation.add(key, now, expiresAt, seen.has(key))
          else simulation.delete(key)
          for (const model of models) model.access(key, what, now, expiresAt, seen.has(key))
          seen.add(key)
        }
        expect(simulation.result().map(({ hits }) => hits)).toEqual(models.map((model) => model.hits()))
      }),
    )
  })

  test("agrees with lru-cache over thousands of keys, while the stack is compacted time and again", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2 ** 31 - 1 }), (seed) => {
        const keys = skewedKeys(seed, 20_000, 6_000)
        const sizes = [1, 10, 100, 1_000, 3_000]
        const simulation = new L1Simulation(sizes, Number.POSITIVE_INFINITY)
        for (const key of keys) simulation.read(key, 0)
        const names = keys.map(String)
        expect(simulation.result().map(({ hits }) => hits)).toEqual(sizes.map((size) => lruHits(names, size)))
      }),
      { numRuns: 5 },
    )
  })

  test.each(traceNames)("has lru-cache's hit ratio at every size on the trace %s", async (name) => {
    const keys = await traceKeys(name)
    const ids = new Map<string, number>()
    const sizes = [7, 64, 500, 1_000, 2_000, 10_000]
    const simulation = new L1Simulation(sizes, Number.POSITIVE_INFINITY)
    for (const key of keys) {
      const id = ids.get(key) ?? ids.size
      ids.set(key, id)
      simulation.read(id, 0)
    }
    expect(simulation.result().map(({ hits }) => hits)).toEqual(sizes.map((size) => lruHits(keys, size)))
  })

  test("tries sizes around the chosen one", () => {
    expect(sizesAround(10)).toEqual([1, 3, 5, 10, 20, 40, 80, 160, 320, 640, Number.POSITIVE_INFINITY])
    expect(sizesAround(1)).toEqual([1, 2, 4, 8, 16, 32, 64, Number.POSITIVE_INFINITY])
  })
})

/** A reference model with which the simulation must agree: an L1 of one size over a backend, on lru-cache and a map. */
function tieredModel(size: number, ttlMs: number) {
  const l1 = new LRUCache<number, { deadline: number }>({
    max: size === Number.POSITIVE_INFINITY ? 1_000 : size,
  })
  const expiries = new Map<number, number>()
  let hits = 0
  return {
    hits: () => hits,
    access(key: number, what: string, now: number, expiresAt: number, seen: boolean) {
      const expiry = expiries.get(key) ?? (seen ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY)
      if (what === "read") {
        expiries.set(key, expiry)
        const held = l1.get(key)
        if (held !== undefined && now < held.deadline) {
          hits++
          return
        }
        l1.delete(key)
        if (now < expiry) l1.set(key, { deadline: Math.min(now + ttlMs, expiry) })
        return
      }
      l1.delete(key)
      if (what === "delete") expiries.delete(key)
      else if (what === "write" || !seen || expiry <= now) expiries.set(key, expiresAt)
    },
  }
}
