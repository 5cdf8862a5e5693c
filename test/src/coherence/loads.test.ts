import { describe, expect, test } from "vitest"
import type { Kv, LoadContext } from "../../../src/api.ts"
import { gatedStore } from "../../support/gated-store.ts"
import { heldLoader } from "../../support/held-loader.ts"
import { settle } from "../../support/runtime.ts"

/** Whether the loads that a loader waits for are known even if it does not pass its signal on. */
const TRACKS_LOADERS = Number(process.versions.node.split(".")[0]) >= 24

const text = { as: "text", ttlMs: 1_000 } as const

describe("a refresh whose entry expires while it runs", () => {
  test("stores its value for the callers who joined it", async () => {
    const { client, runtime, elsewhere } = await gatedStore()
    const held = heldLoader()
    const ahead = { ...text, refreshAheadMs: 500 }
    await client.getOrSet("a", () => "1", ahead)
    await runtime.advance(600)
    expect(await client.getOrSet("a", held.load, ahead)).toBe("1")
    await runtime.advance(500)
    const joined = client.getOrSet("a", () => "not called", ahead)
    await settle()
    held.end("2")
    expect(await joined).toBe("2")
    expect(await elsewhere.text("a")).toBe("2")
  })

  test("does not store its value over what another process wrote meanwhile", async () => {
    const { client, runtime, elsewhere } = await gatedStore()
    const held = heldLoader()
    const ahead = { ...text, refreshAheadMs: 500 }
    await client.getOrSet("a", () => "1", ahead)
    await runtime.advance(600)
    await client.getOrSet("a", held.load, ahead)
    await runtime.advance(500)
    await elsewhere.put("a", "theirs")
    held.end("2")
    await settle()
    expect(await elsewhere.text("a")).toBe("theirs")
  })
})

describe("a load that its callers gave up", () => {
  test("is the only one of its key while a loader that ignores its signal runs", async () => {
    const { client, elsewhere } = await gatedStore()
    const held = heldLoader()
    for (let caller = 0; caller < 10; caller++) {
      const controller = new AbortController()
      const given = client.getOrSet("a", held.load, { ...text, signal: controller.signal })
      await settle()
      controller.abort("too late")
      await expect(given).rejects.toBe("too late")
    }
    const last = client.getOrSet("a", held.load, text)
    await settle()
    expect(held.most).toBe(1)
    held.end("value")
    expect(await last).toBe("value")
    expect(await elsewhere.text("a")).toBe("value")
  })

  test("is followed by a new one if it stops as it was told", async () => {
    const { client } = await gatedStore()
    const stops = ({ signal }: LoadContext) =>
      new Promise<string>((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)))
    const controller = new AbortController()
    const given = client.getOrSet("a", stops, { ...text, signal: controller.signal })
    await settle()
    controller.abort("too late")
    await expect(given).rejects.toBe("too late")
    expect(await client.getOrSet("a", () => "anew", text)).toBe("anew")
  })

  test("is not stored once the key was written", async () => {
    const { client, elsewhere } = await gatedStore()
    const held = heldLoader()
    const controller = new AbortController()
    const given = client.getOrSet("a", held.load, { ...text, signal: controller.signal })
    await settle()
    controller.abort("too late")
    await expect(given).rejects.toBe("too late")
    await client.set("a", "written")
    await client.delete("a")
    held.end("old")
    await settle()
    expect(await elsewhere.text("a")).toBeUndefined()
  })
})

describe("loaders that would wait for each other", () => {
  const refused = {
    code: "INVALID_OPTION",
    operation: "getOrSet",
    key: "a",
    message: expect.stringMatching(/wait for itself.+ under another key/),
  }
  const pause = () => new Promise<void>((resolve) => setImmediate(resolve))

  test.each([
    ["at once", async () => {}],
    ["after an await, with the signal passed on", pause],
  ])("a loader that asks for its own key %s is refused", async (_, before) => {
    const { client } = await gatedStore()
    const load = async ({ signal }: LoadContext): Promise<string | undefined> => {
      if (before === pause) await before()
      return client.getOrSet("a", () => "inner", { ...text, signal })
    }
    await expect(client.getOrSet("a", load, text)).rejects.toMatchObject(refused)
  })

  test("two loaders that ask for each other's key are refused, and the keys load afterwards", async () => {
    const { client } = await gatedStore()
    const asks = (other: string, more: (client: Kv, signal: AbortSignal) => Promise<unknown>) =>
      async function load({ signal }: LoadContext) {
        await pause()
        await more(client, signal)
        return other
      }
    const a = client.getOrSet(
      "a",
      asks("b", (store, signal) => store.getOrSet("b", () => "", { ...text, signal })),
      text,
    )
    const b = client.getOrSet(
      "b",
      asks("a", (store, signal) => store.getOrSet("a", () => "", { ...text, signal })),
      text,
    )
    const outcomes = await Promise.allSettled([a, b])
    expect(outcomes.map(({ status }) => status)).toEqual(["rejected", "rejected"])
    expect(await client.getOrSet("a", () => "loads", text)).toBe("loads")
  })

  test.runIf(TRACKS_LOADERS)("a loader that asks for its own key without its signal is refused", async () => {
    const { client } = await gatedStore()
    const load = async (): Promise<string | undefined> => {
      await pause()
      return client.getOrSet("a", () => "inner", text)
    }
    await expect(client.getOrSet("a", load, text)).rejects.toMatchObject(refused)
  })

  test("a loader may wait for another key, and several for one", async () => {
    const { client } = await gatedStore()
    const slow = async () => {
      await pause()
      return "s"
    }
    const shared = ({ signal }: LoadContext) => client.getOrSet("shared", slow, { ...text, signal })
    expect(await Promise.all(["a", "b", "c"].map((key) => client.getOrSet(key, shared, text)))).toEqual([
      "s",
      "s",
      "s",
    ])
  })

  test("close ends though a loader never does: its callers get CLOSED", async () => {
    const { client, runtime } = await gatedStore()
    const waiting = client.getOrSet("a", () => new Promise<string>(() => {}), text)
    const rejected = expect(waiting).rejects.toMatchObject({
      code: "CLOSED",
      operation: "getOrSet",
      message: "The store is closing",
    })
    await settle()
    const closing = client.close()
    await runtime.advance(5_000)
    await closing
    await rejected
  })
})

describe("refreshing ahead", () => {
  test.each([1_000, 2_000])(
    "refreshAheadMs of %i with ttlMs of 1,000 is INVALID_OPTION",
    async (refreshAheadMs) => {
      const { client } = await gatedStore()
      await expect(client.getOrSet("a", () => "1", { ...text, refreshAheadMs })).rejects.toMatchObject({
        code: "INVALID_OPTION",
        message: expect.stringMatching(/less than ttlMs, 1000/),
      })
    },
  )

  test("an origin that fails is asked again after a wait that doubles, not with every hit", async () => {
    const { client, runtime } = await gatedStore()
    const ahead = { as: "text", ttlMs: 3_600_000, refreshAheadMs: 3_599_999 } as const
    await client.getOrSet("a", () => "1", ahead)
    await runtime.advance(10)
    let calls = 0
    const fails = () => {
      calls++
      throw new Error("the origin is down")
    }
    const hitFor = async (ms: number) => {
      for (let at = 0; at < ms; at += 50) {
        expect(await client.getOrSet("a", fails, ahead)).toBe("1")
        await runtime.advance(50)
      }
    }
    await hitFor(1_000)
    expect(calls).toBeLessThanOrEqual(2)
    await hitFor(59_000)
    // 1, 2, 4, 8, 16 and 30 s, each shortened by up to a half.
    expect(calls).toBeGreaterThanOrEqual(4)
    expect(calls).toBeLessThanOrEqual(9)
    let healed = 0
    await runtime.advance(31_000)
    await client.getOrSet("a", () => `${++healed}`, ahead)
    await settle()
    expect(healed).toBe(1)
    expect(client.stats().loader.refreshes).toBe(calls + 1)

    // The failures before it count no more: the first wait is short again.
    const failed = calls
    await client.set("a", "1", { ttlMs: 3_600_000 })
    await client.getText("a")
    await runtime.advance(10)
    await hitFor(1_150)
    expect(calls - failed).toBeGreaterThanOrEqual(2)
  })
})

describe("a load and a value that was shown meanwhile", () => {
  test("a caller who comes after the value was shown does not get an older load's", async () => {
    const { client, elsewhere } = await gatedStore()
    const held = heldLoader()
    const first = client.getOrSet("a", held.load, text)
    await settle()
    await elsewhere.put("a", "newer")
    expect(await client.getText("a", { consistency: "strong" })).toBe("newer")
    await elsewhere.delete("a")
    const second = client.getOrSet("a", () => "newest", { ...text, consistency: "strong" })
    await settle()
    held.end("older")
    expect(await second).toBe("newest")
    await first
    expect(await elsewhere.text("a")).toBe("newest")
  })

  test("a refresh is not overtaken by reads that show the version it refreshes", async () => {
    const { client, runtime, elsewhere } = await gatedStore()
    const held = heldLoader()
    const ahead = { ...text, refreshAheadMs: 500 }
    await client.getOrSet("a", () => "1", ahead)
    await runtime.advance(600)
    await client.getOrSet("a", held.load, ahead)
    expect(await client.getText("a", { consistency: "strong" })).toBe("1")
    held.end("2")
    await settle()
    expect(await elsewhere.text("a")).toBe("2")
  })
})
