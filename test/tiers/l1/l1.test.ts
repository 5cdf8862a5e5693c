import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { ENTRY_OVERHEAD_BYTES, L1Entry, sizeOf } from "../../../tiers/l1/entry.ts"
import { L1 } from "../../../tiers/l1/l1.ts"
import { NONE } from "../../../tiers/l1/lru-slots.ts"
import type { L1Settings } from "../../../tiers/l1/settings.ts"
import { MAX_L1_ENTRIES } from "../../../tiers/limits.ts"
import { systemRuntime } from "../../../tiers/runtime.ts"
import { gatedStore } from "../../support/gated-store.ts"
import { testRuntime } from "../../support/runtime.ts"

const SETTINGS: L1Settings = { maxEntries: 3, maxBytes: 1e6, ttlMs: 1_000, negativeTtlMs: 100, jitter: 0 }

function entry(text: string, version = "v", expiresAt?: number): L1Entry {
  return new L1Entry(Buffer.from(text), version, expiresAt)
}

function newL1(settings: Partial<L1Settings> = {}) {
  const runtime = testRuntime()
  return { l1: new L1({ ...SETTINGS, ...settings }, runtime), runtime }
}

function sizeHeld(l1: L1, key: string): number {
  const hit = l1.get(key)
  return hit === undefined ? 0 : sizeOf(key, hit.bytes, hit.text, hit.json)
}

const held = (l1: L1, keys: string) => [...keys].filter((key) => l1.versionOf(key) !== undefined).join("")

describe("bounds", () => {
  test("beyond its entries, the least recently used one gives way", () => {
    const { l1 } = newL1()
    for (const key of "abc") l1.fill(key, entry(key))
    l1.get("a")
    l1.fill("d", entry("d"))
    expect(held(l1, "abcd")).toBe("acd")
    expect(l1.counters().evictions).toEqual({ entries: 1, bytes: 0, oversize: 0, negatives: 0 })
  })

  test("beyond its bytes, as many of the least recently used give way as make room", () => {
    const size = sizeOf("a", "x".repeat(100))
    const { l1 } = newL1({ maxEntries: 100, maxBytes: 3 * size })
    for (const key of "abc") l1.fill(key, entry("x".repeat(100)))
    expect([l1.entries, l1.bytes]).toEqual([3, 3 * size])
    l1.fill("d", entry("x".repeat(200)))
    expect(held(l1, "abcd")).toBe("cd")
    expect(l1.counters().evictions).toMatchObject({ entries: 0, bytes: 2 })
  })

  test("what is larger than all of L1 is not held, and evicts nothing", () => {
    const { l1 } = newL1({ maxBytes: 1_000 })
    l1.fill("a", entry("a"))
    l1.fill("big", entry("x".repeat(1_000)))
    expect(l1.get("big")).toBeUndefined()
    expect(l1.get("a")?.bytes).toBe("a")
    expect(l1.counters().evictions.oversize).toBe(1)
  })

  test("a value too large for L1 replaces the smaller one under its key all the same", () => {
    const { l1 } = newL1({ maxBytes: 1_000 })
    l1.fill("a", entry("old"))
    l1.fill("a", entry("x".repeat(1_000)))
    expect(l1.get("a")).toBeUndefined()
  })

  test("absent keys have a budget of their own, and evict no entry", () => {
    const { l1 } = newL1({ maxEntries: 2_000 })
    l1.fill("a", entry("a"))
    for (let index = 0; index < 1_000; index++) l1.fillAbsent(`absent:${index}`)
    expect([l1.entries, l1.negatives]).toEqual([1, 200])
    expect(l1.counters().evictions).toEqual({ entries: 0, bytes: 0, oversize: 0, negatives: 800 })
  })

  test("decoded forms are charged", async () => {
    const { client } = await gatedStore()
    await client.set("json", { a: "x".repeat(100) })
    await client.set("text", "é".repeat(100))
    await client.getMany(["json", "text"], { fill: true })
    const raw = client.stats().l1.bytes
    await client.getText("text")
    const withText = client.stats().l1.bytes
    expect(withText).toBe(raw + 200)
    const ofJson = 3 * 108 + 56 + 40
    await client.getJson("json")
    expect(client.stats().l1.bytes).toBe(withText + ofJson)
    await client.getJson("json")
    expect(client.stats().l1).toMatchObject({ bytes: withText + ofJson, entries: 2 })
  })

  test("neither bound is ever passed, whatever is filled, decoded and dropped", () => {
    const keys = fc.constantFrom(..."abcdefghij")
    const step = fc.oneof(
      fc.tuple(fc.constant("fill" as const), keys, fc.nat(600)),
      fc.tuple(fc.constant("decode" as const), keys),
      fc.tuple(fc.constant("drop" as const), keys),
      fc.tuple(fc.constant("absent" as const), keys),
      fc.tuple(fc.constant("get" as const), keys),
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const { l1 } = newL1({ maxEntries: 5, maxBytes: 3_000 })
        for (const [what, key, size = 0] of steps) {
          if (what === "fill") l1.fill(key, entry(JSON.stringify("x".repeat(size))))
          else if (what === "drop") l1.drop(key)
          else if (what === "absent") l1.fillAbsent(key)
          else {
            const hit = l1.get(key)
            if (hit !== undefined && what === "decode") {
              hit.decodeJson(hit.decodeText() ?? "")
              l1.keepJson(key, hit)
            }
          }
          expect(l1.entries).toBeLessThanOrEqual(5)
          expect(l1.bytes).toBeLessThanOrEqual(3_000)
        }
        const sizes = [..."abcdefghij"].map((key) => sizeHeld(l1, key))
        expect(l1.bytes).toBe(sizes.reduce((sum, size) => sum + size, 0))
      }),
      { numRuns: 200 },
    )
  })

  test("memory grows with what is held, not with how much may be held", () => {
    const held = () => process.memoryUsage().arrayBuffers
    const before = held()
    const { l1 } = newL1({ maxEntries: MAX_L1_ENTRIES, maxBytes: 1e12 })
    expect(held() - before).toBeLessThan(1_000)
    for (let index = 0; index < 1_000; index++) l1.fill(`k${index}`, entry("x", "ab".repeat(24)))
    expect([l1.entries, l1.get("k7")?.version]).toEqual([1_000, "ab".repeat(24)])
    expect(held() - before).toBeLessThan(200_000)
    l1.clear()
    expect([l1.entries, l1.bytes, l1.get("k7")]).toEqual([0, 0, undefined])
    l1.fill("k7", entry("y"))
    expect(l1.get("k7")?.decodeText()).toBe("y")
  })

  test("the overhead charged for an entry covers what it takes on the heap", () => {
    expect(ENTRY_OVERHEAD_BYTES).toBeGreaterThanOrEqual(150)
    expect(sizeOf("key", "12345")).toBe(ENTRY_OVERHEAD_BYTES + 8)
  })
})

describe("present and absent exclude each other", () => {
  test("the later of two fills holds", () => {
    const { l1 } = newL1()
    l1.fillAbsent("a")
    expect([l1.isAbsent("a"), l1.versionOf("a")]).toEqual([true, null])
    l1.fill("a", entry("1", "v1"))
    expect([l1.isAbsent("a"), l1.versionOf("a")]).toEqual([false, "v1"])
    l1.fillAbsent("a")
    expect([l1.get("a"), l1.isAbsent("a")]).toEqual([undefined, true])
    l1.drop("a")
    expect([l1.isAbsent("a"), l1.versionOf("a")]).toEqual([false, undefined])
  })

  test("negativeTtlMs 0 holds no absent key, but lets go of the entry", () => {
    const { l1 } = newL1({ negativeTtlMs: 0 })
    l1.fill("a", entry("1"))
    l1.fillAbsent("a")
    expect([l1.get("a"), l1.isAbsent("a"), l1.negatives]).toEqual([undefined, false, 0])
  })
})

describe("deadlines", () => {
  test("are the earlier of time to live and expiry, the time to live counted from when the backend was asked", async () => {
    const { l1, runtime } = newL1({ maxEntries: 10 })
    l1.fill("ttl", entry("1"))
    l1.fill("expiry", entry("1", "v", runtime.now() + 300))
    l1.fill("asked", entry("1"), runtime.monotonic() - 400)
    l1.fillAbsent("absent", runtime.monotonic() - 60)
    const fresh = () => [l1.get("ttl"), l1.get("expiry"), l1.get("asked")].map((hit) => hit !== undefined)
    await runtime.advance(39)
    expect(l1.isAbsent("absent")).toBe(true)
    await runtime.advance(1)
    expect(l1.isAbsent("absent")).toBe(false)
    await runtime.advance(259)
    expect(fresh()).toEqual([true, true, true])
    await runtime.advance(1)
    expect(fresh()).toEqual([true, false, true])
    await runtime.advance(300)
    expect(fresh()).toEqual([true, false, false])
    await runtime.advance(400)
    expect(fresh()).toEqual([false, false, false])
    expect(l1.counters()).toMatchObject({ expirations: 4, hits: 6 })
  })

  test("keep out what has expired by now", () => {
    const { l1, runtime } = newL1()
    l1.fill("a", entry("1", "v", runtime.now()))
    expect(l1.entries).toBe(0)
  })
})

describe("fresh until, kept until", () => {
  test("past the first an entry is kept, and L1 no longer answers with it", async () => {
    const { l1, runtime } = newL1({ keptMs: 500 })
    l1.fill("a", entry("1", "v1"))
    expect(l1.kept("a")).toMatchObject({ ageMs: 0, stale: false })
    await runtime.advance(999)
    expect(l1.get("a")).toBeDefined()
    await runtime.advance(1)
    expect([l1.get("a"), l1.find("a")]).toEqual([undefined, NONE])
    expect(l1.versionOf("a")).toBe("v1")
    const kept = l1.kept("a")
    expect(kept).toMatchObject({ ageMs: 1_000, stale: true })
    expect([kept?.entry.version, kept?.entry.decodeText()]).toEqual(["v1", "1"])
    expect(l1.counters()).toMatchObject({ hits: 1, expirations: 0 })
    await runtime.advance(499)
    expect(l1.kept("a")?.stale).toBe(true)
    await runtime.advance(1)
    expect(l1.get("a")).toBeUndefined()
    expect([l1.versionOf("a"), l1.entries, l1.bytes]).toEqual([undefined, 0, 0])
    expect(l1.counters()).toMatchObject({ hits: 1, expirations: 1, invalidations: 0 })
  })

  test("whoever asks for what is kept finds nothing past the second, and removes it", async () => {
    const { l1, runtime } = newL1({ keptMs: 500 })
    l1.fill("a", entry("1"))
    await runtime.advance(1_500)
    expect(l1.kept("a")).toBeUndefined()
    expect([l1.entries, l1.counters().expirations]).toEqual([0, 1])
  })

  test("without an allowance, the first time is the second", async () => {
    const { l1, runtime } = newL1()
    l1.fill("a", entry("1"))
    await runtime.advance(999)
    expect(l1.kept("a")?.stale).toBe(false)
    await runtime.advance(1)
    expect(l1.kept("a")).toBeUndefined()
  })

  test("an entry is kept no longer than until its expiry", async () => {
    const { l1, runtime } = newL1({ keptMs: 10_000 })
    l1.fill("a", entry("1", "v", runtime.now() + 1_200))
    await runtime.advance(1_199)
    expect(l1.kept("a")).toMatchObject({ stale: true })
    await runtime.advance(1)
    expect(l1.kept("a")).toBeUndefined()
  })

  test("a wall clock that is stepped forward expires what is kept", () => {
    const { l1, runtime } = newL1({ keptMs: 10_000 })
    l1.fill("a", entry("1", "v", runtime.now() + 5))
    runtime.stepWallClock(5)
    expect(l1.kept("a")).toBeUndefined()
  })

  test("a new fill makes the key fresh again, with its time counted anew", async () => {
    const { l1, runtime } = newL1({ keptMs: 500 })
    l1.fill("a", entry("1", "v1"))
    await runtime.advance(1_200)
    l1.fill("a", entry("2", "v2"), runtime.monotonic() - 10)
    expect(l1.kept("a")).toMatchObject({ ageMs: 10, stale: false })
    expect([l1.get("a")?.version, l1.entries]).toEqual(["v2", 1])
  })

  test("a write, an absent key and clear remove what is kept", async () => {
    for (const remove of [(l1: L1) => l1.drop("a"), (l1: L1) => l1.fillAbsent("a"), (l1: L1) => l1.clear()]) {
      const { l1, runtime } = newL1({ keptMs: 500 })
      l1.fill("a", entry("1"))
      await runtime.advance(1_200)
      remove(l1)
      expect(l1.kept("a")).toBeUndefined()
      expect(l1.counters().expirations).toBe(0)
    }
  })

  test("to ask for what is kept is a use of it", () => {
    const { l1 } = newL1({ keptMs: 500 })
    for (const key of "abc") l1.fill(key, entry(key))
    l1.kept("a")
    l1.fill("d", entry("d"))
    expect(held(l1, "abcd")).toBe("acd")
  })

  test("an absent key is never stale", async () => {
    const { l1, runtime } = newL1({ keptMs: 500 })
    l1.fillAbsent("a")
    await runtime.advance(100)
    expect([l1.isAbsent("a"), l1.kept("a")]).toEqual([false, undefined])
  })
})

describe("everything suspect", () => {
  test("nothing is answered with and nothing dropped but the absent keys, until it is filled again", async () => {
    const { l1, runtime } = newL1({ keptMs: 500 })
    for (const key of "ab") l1.fill(key, entry(key, `v${key}`))
    l1.fillAbsent("absent")
    await runtime.advance(300)
    l1.suspectAll()
    expect([l1.get("a"), l1.get("b"), l1.isAbsent("absent")]).toEqual([undefined, undefined, false])
    expect(l1.kept("a")).toMatchObject({ ageMs: 300, stale: true })
    expect(l1.versionOf("b")).toBe("vb")
    l1.fill("a", entry("a", "vb"), runtime.monotonic())
    expect(l1.kept("a")).toMatchObject({ entry: { version: "vb" }, ageMs: 0, stale: true })
    await runtime.advance(1)
    l1.fill("a", entry("a", "va"))
    expect(l1.get("a")).toBeDefined()
    await runtime.advance(498)
    expect(l1.kept("b")).toMatchObject({ stale: true })
    await runtime.advance(1)
    expect(l1.kept("b")).toBeUndefined()
    expect(l1.counters()).toMatchObject({ expirations: 1, invalidations: 1 })
  })

  test("absent keys that were asked for before are not held", async () => {
    const { l1, runtime } = newL1({ keptMs: 500 })
    l1.suspectAll()
    l1.fillAbsent("before")
    await runtime.advance(1)
    l1.fillAbsent("after")
    expect([l1.isAbsent("before"), l1.isAbsent("after")]).toEqual([false, true])
  })

  test("what was stale for longer is not made younger, and free slots stay free", async () => {
    const { l1, runtime } = newL1({ keptMs: 500 })
    for (const key of "abc") l1.fill(key, entry(key))
    l1.drop("b")
    await runtime.advance(1_400)
    l1.suspectAll()
    await runtime.advance(100)
    expect([l1.kept("a"), l1.kept("c")]).toEqual([undefined, undefined])
    for (const key of "defg") l1.fill(key, entry(key))
    expect([l1.entries, held(l1, "defg")]).toEqual([3, "efg"])
  })
})

describe("L1 that may answer only until a moment", () => {
  test("answers until then, holds everything after it, and answers again once the moment has moved on", async () => {
    const { l1, runtime } = newL1({ keptMs: 500 })
    l1.fill("a", entry("a", "va"))
    l1.fillAbsent("absent")
    l1.answerUntil(runtime.monotonic() + 10)
    await runtime.advance(9)
    expect([l1.get("a")?.version, l1.isAbsent("absent")]).toEqual(["va", true])
    await runtime.advance(1)
    expect([l1.get("a"), l1.isAbsent("absent")]).toEqual([undefined, false])
    expect(l1.kept("a")).toMatchObject({ entry: { version: "va" }, stale: true })
    l1.answerUntil(runtime.monotonic() + 10)
    expect([l1.get("a")?.version, l1.isAbsent("absent")]).toEqual(["va", true])
  })

  test("reads the clock in time where it takes shortcuts", () => {
    const l1 = new L1(
      { maxEntries: 10, maxBytes: 1e6, ttlMs: 60_000, negativeTtlMs: 1_000, jitter: 0 },
      systemRuntime,
    )
    l1.fill("a", entry("a"))
    l1.answerUntil(performance.now() + 10_000)
    expect(l1.get("a")).toBeDefined()
    l1.answerUntil(performance.now())
    expect(l1.get("a")).toBeUndefined()
    l1.answerUntil(Number.POSITIVE_INFINITY)
    expect(l1.get("a")).toBeDefined()
    l1.close()
  })
})

describe("L1 that is turned off", () => {
  test("holds nothing, and reads of one key are still coalesced", async () => {
    const { client, gate } = await gatedStore({ l1: false })
    await client.set("a", "1")
    for (let read = 0; read < 3; read++) expect(await client.getText("a")).toBe("1")
    await client.get("absent")
    await client.get("absent")
    for await (const entry of client.scan("", { fill: true })) expect(entry.key).toBe("a")
    expect(client.peek("a")).toBeUndefined()
    expect(client.stats().l1).toMatchObject({ entries: 0, negatives: 0, hits: 0, fills: 0, maxEntries: 0 })
    gate.hold("get")
    const reads = Promise.all([client.getText("a"), client.getText("a")])
    gate.releaseAll()
    expect(await reads).toEqual(["1", "1"])
    expect(gate.count("get")).toBe(6)
  })
})

describe("entries", () => {
  test("bytes, text and JSON of any value are those that went in", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        const held = new L1Entry(bytes, "v", undefined)
        expect(held.copyBytes()).toEqual(new Uint8Array(bytes))
        const text = Buffer.from(bytes).toString()
        expect(held.decodeText()).toBe(Buffer.from(text).equals(Buffer.from(bytes)) ? text : undefined)
      }),
    )
    fc.assert(
      fc.property(fc.json({ maxDepth: 5 }), (json) => {
        expect(entry(json).decodeJson(entry(json).decodeText() ?? "")).toEqual(JSON.parse(json))
      }),
    )
  })

  test("copies are the caller's own: no two overlap", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 6_000 }), { maxLength: 30 }), (sizes) => {
        const values = sizes.map((size, index) => new Uint8Array(size).fill(index + 1))
        const copies = values.map((value) => new L1Entry(value, "v", undefined).copyBytes())
        copies.forEach((copy, index) => {
          expect(copy).toEqual(values[index])
          copy.fill(0)
        })
      }),
      { numRuns: 50 },
    )
  })

  test("JSON nested as deep as 24 KiB allow is frozen to the bottom", () => {
    const text = "[".repeat(12_000) + "]".repeat(12_000)
    let value: unknown = entry(text).decodeJson(text)
    for (let depth = 0; depth < 12_000; depth++) {
      if (!Object.isFrozen(value)) expect.unreachable(`not frozen at depth ${depth}`)
      value = Array.isArray(value) ? value[0] : undefined
    }
    expect(value).toBeUndefined()
  })
})
