import { describe, expect, test } from "vitest"
import { InFlight } from "../../../src/coherence/in-flight.ts"
import { Loads, ofLoad } from "../../../src/coherence/loads.ts"
import type { Listener, LoaderEnd } from "../../../src/listener.ts"
import { newCounters } from "../../../src/stats.ts"
import { L1Entry } from "../../../tiers/l1/entry.ts"
import { gatedStore } from "../../support/gated-store.ts"
import { heldLoader } from "../../support/held-loader.ts"
import { settle, testRuntime } from "../../support/runtime.ts"

const text = { as: "text", ttlMs: 1_000 } as const
const ahead = { ...text, refreshAheadMs: 500 }
const strong = { consistency: "strong" } as const

describe("a caller who joins a load that was aborted", () => {
  async function joinedAborted() {
    const store = await gatedStore()
    const held = heldLoader()
    const controller = new AbortController()
    const given = store.client.getOrSet("a", held.load, { ...text, signal: controller.signal })
    await settle()
    controller.abort("too late")
    await expect(given).rejects.toBe("too late")
    const joined = store.client.getOrSet("a", held.load, text)
    await settle()
    expect(held.calls).toBe(1)
    return { ...store, held, joined }
  }

  test.each([
    ["fails", (held: ReturnType<typeof heldLoader>) => held.fail(new Error("aborted"))],
    ["has no value", (held: ReturnType<typeof heldLoader>) => held.end(undefined)],
  ])("starts a new one when its loader %s", async (_, ends) => {
    const { client, held, joined } = await joinedAborted()
    ends(held)
    await settle()
    expect([held.calls, held.most]).toEqual([1, 1])
    held.end("anew")
    expect(await joined).toBe("anew")
    expect(client.stats().loader.coalesced).toBe(0)
  })
})

describe("a load that begins while the store closes", () => {
  test("is aborted at once, and is the only one", async () => {
    const { client, gate } = await gatedStore()
    const held = heldLoader()
    gate.hold("get")
    const reading = client.getOrSet("a", held.load, text)
    await settle()
    const closing = client.close()
    gate.releaseAll()
    await settle()
    expect(held.signals.map(({ reason }) => reason)).toEqual([expect.objectContaining({ code: "CLOSED" })])
    held.fail(new Error("aborted"))
    await expect(reading).rejects.toThrow("aborted")
    await closing
    expect(held.signals).toHaveLength(1)
  })

  test("answers its caller if its loader has no value", async () => {
    const { client, gate } = await gatedStore()
    const held = heldLoader()
    gate.hold("get")
    const reading = client.getOrSet("a", held.load, text)
    await settle()
    const closing = client.close()
    gate.releaseAll()
    await settle()
    held.end(undefined)
    expect(await reading).toBeUndefined()
    await closing
    expect(held.signals).toHaveLength(1)
  })
})

describe("a load is not stored, and not joined,", () => {
  test("once everything was invalidated", async () => {
    const { client, elsewhere } = await gatedStore()
    const held = heldLoader()
    const first = client.getOrSet("a", held.load, text)
    await settle()
    client.invalidate()
    const second = client.getOrSet("a", held.load, text)
    await settle()
    expect(held.calls).toBe(2)
    held.end("older")
    expect(await first).toBe("older")
    expect(await elsewhere.text("a")).toBeUndefined()
    held.end("newer")
    expect(await second).toBe("newer")
    expect(await elsewhere.text("a")).toBe("newer")
  })

  test("once the key was shown to be there", async () => {
    const { client, elsewhere } = await gatedStore()
    const held = heldLoader()
    const loading = client.getOrSet("a", held.load, text)
    await settle()
    await elsewhere.put("a", "newer")
    expect(await client.exists("a", strong)).toBe(true)
    await elsewhere.delete("a")
    held.end("older")
    expect(await loading).toBe("older")
    expect(await elsewhere.text("a")).toBeUndefined()
  })
})

describe("a refresh under way", () => {
  async function refreshing() {
    const store = await gatedStore()
    const held = heldLoader()
    await store.client.getOrSet("a", () => "1", ahead)
    await store.runtime.advance(600)
    expect(await store.client.getOrSet("a", held.load, ahead)).toBe("1")
    return { ...store, held }
  }

  test("is stored though the key was shown to be there, in whatever version", async () => {
    const { client, elsewhere, held } = await refreshing()
    expect(await client.exists("a", strong)).toBe(true)
    held.end("2")
    await settle()
    expect(await elsewhere.text("a")).toBe("2")
  })

  test("gives way to another when a version was shown that it does not refresh", async () => {
    const { client, elsewhere, held, gate } = await refreshing()
    await elsewhere.put("a", "theirs", 400)
    expect(await client.getText("a", strong)).toBe("theirs")
    expect(await client.getOrSet("a", held.load, ahead)).toBe("theirs")
    expect(held.calls).toBe(2)
    held.end("2")
    await settle()
    expect(gate.count("put")).toBe(1)
    held.end("3")
    await settle()
    expect(await elsewhere.text("a")).toBe("3")
  })

  test("writes nothing more when another process has overwritten the entry", async () => {
    const { elsewhere, held, gate } = await refreshing()
    await elsewhere.put("a", "theirs")
    held.end("2")
    await settle()
    expect(gate.count("put")).toBe(2)
    expect(await elsewhere.text("a")).toBe("theirs")
  })

  test("is stored on absence when the entry has expired, and not if this process has written the key since", async () => {
    const expired = await refreshing()
    await expired.runtime.advance(500)
    expired.held.end("2")
    await settle()
    expect(expired.gate.last("put").writes.get("a")).toMatchObject({ condition: { absent: true } })

    const { client, runtime, elsewhere, held } = await refreshing()
    await runtime.advance(500)
    await client.set("a", "written")
    await client.delete("a")
    held.end("2")
    await settle()
    expect(await elsewhere.text("a")).toBeUndefined()
  })
})

test("a loaded value that another writer came before is written once, though that writer's row is gone again", async () => {
  const { client, gate, elsewhere } = await gatedStore()
  const held = heldLoader()
  const loading = client.getOrSet("a", held.load, text)
  await settle()
  await elsewhere.put("a", "theirs")
  gate.hold("get")
  held.end("loaded")
  await settle()
  await elsewhere.delete("a")
  gate.releaseAll()
  expect(await loading).toBe("loaded")
  expect(gate.count("put")).toBe(1)
  expect(await elsewhere.text("a")).toBeUndefined()
})

describe("what is told of loads", () => {
  test("the outcome has the size of a value, and is no hit of a tier", () => {
    const entry = new L1Entry(Buffer.from("four"), "1", undefined)
    expect(ofLoad(entry)).toEqual({ tier: "loader", result: "hit", hit: false, size: 4 })
    expect(ofLoad(undefined)).toEqual({ tier: "loader", result: "miss", hit: false, size: undefined })
  })

  test("how long its loader took, and what it brought", async () => {
    const runtime = testRuntime()
    const counters = newCounters()
    const ends: (LoaderEnd & { ms: number })[] = []
    const listener: Pick<Listener, "load" | "joined" | "loaded"> = {
      load: (_key, _background, run) => run(undefined),
      joined() {},
      loaded: (ms, end) => void ends.push({ ms, ...end }),
    }
    const loads = new Loads({
      runtime,
      counters,
      listener,
      inFlight: new InFlight(runtime, false),
      read: () => undefined,
      store: async () => ({ applied: true }),
    })
    const failure = new Error("the origin is down")
    const brought = [() => "value", () => "value", () => undefined, () => Promise.reject(failure)]
    for (const brings of brought) {
      const loader = async () => {
        runtime.freeze(40)
        return brings()
      }
      const request = {
        key: "a",
        loader,
        encode: () => ({ value: Buffer.from("value") }),
        condition: { absent: true } as const,
      }
      await loads.join(request, undefined).catch(() => {})
    }
    expect(ends).toEqual([
      { ms: 40, result: "hit" },
      { ms: 40, result: "hit" },
      { ms: 40, result: "miss" },
      { ms: 40, error: failure },
    ])
    expect(counters).toMatchObject({ loads: 4, loadHits: 2, loadMisses: 1, loadErrors: 1 })
    expect(counters.loadLatency.snapshot()).toMatchObject({ count: 4, maxMs: expect.closeTo(40, 0) })
  })
})
