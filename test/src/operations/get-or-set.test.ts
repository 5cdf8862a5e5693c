import { describe, expect, test } from "vitest"
import { kv } from "../../../src/index.ts"
import { gatedStore } from "../../support/gated-store.ts"

const bytesOf = (text: string) => new Uint8Array(Buffer.from(text))

const openStore = () => kv("cache", { backend: "memory:" })

describe("getOrSet", () => {
  test("loads an absent key, stores what was loaded, and does not load again", async () => {
    const { client, elsewhere } = await gatedStore()
    const asked: string[] = []
    const load = async ({ key, signal }: { key: string; signal: AbortSignal }) => {
      asked.push(key)
      expect(signal.aborted).toBe(false)
      return { plan: "pro" }
    }
    for (const round of [1, 2, 3]) {
      expect(await client.getOrSet("user:1", load, { ttlMs: 60_000 }), `${round}`).toEqual({ plan: "pro" })
    }
    expect(asked).toEqual(["user:1"])
    expect(await elsewhere.text("user:1")).toBe('{"plan":"pro"}')
  })

  test.each([
    ["json", "text", '"text"'],
    ["json", { a: [1] }, '{"a":[1]}'],
    ["text", "text", "text"],
    ["bytes", bytesOf("\x00é"), "\x00é"],
  ] as const)("as %s, %j comes back as the loader returned it, on every call", async (as, value, stored) => {
    const { client, elsewhere } = await gatedStore()
    for (const tier of ["loader", "l2", "l1"]) {
      expect(await client.getOrSet<unknown>("a", () => value, { as: as as "json" }), tier).toEqual(value)
    }
    expect(await elsewhere.text("a")).toBe(stored)
  })

  test("what does not fit the form is INVALID_VALUE, and nothing is stored", async () => {
    const { client, elsewhere } = await gatedStore()
    const wrong = [
      ["json", bytesOf("a"), /as: "bytes"/],
      ["text", { a: 1 }, /as: "json"/],
      ["bytes", "text", /as: "json"/],
      ["json", Symbol("none"), /JSON cannot represent/],
      ["text", "x".repeat(24_577), /24576/],
    ] as const
    for (const [as, value, message] of wrong) {
      const call = client.getOrSet<unknown>("a", () => value, { as: as as "json" })
      await expect(call).rejects.toMatchObject({
        code: "INVALID_VALUE",
        message: expect.stringMatching(message),
      })
    }
    expect(elsewhere.rows()).toBe(0)
  })

  test("undefined from the loader means that there is none: nothing is stored", async () => {
    const { client, elsewhere } = await gatedStore()
    expect(await client.getOrSet("a", () => undefined)).toBeUndefined()
    expect(elsewhere.rows()).toBe(0)
    expect(await client.getOrSet("a", () => 1)).toBe(1)
  })

  test("the loader's error passes through untouched, and the next call loads again", async () => {
    const { client } = await gatedStore()
    const failure = new TypeError("the origin is down")
    await expect(client.getOrSet("a", () => Promise.reject(failure))).rejects.toBe(failure)
    const thrown = () => {
      throw failure
    }
    await expect(client.getOrSet("a", thrown)).rejects.toBe(failure)
    expect(await client.getOrSet("a", () => 1)).toBe(1)
  })

  test("loads ahead of the expiry in the background, over the version that was hit", async () => {
    const { client, runtime, elsewhere } = await gatedStore()
    let loads = 0
    const options = { ttlMs: 1_000, refreshAheadMs: 300 }
    const read = () => client.getOrSet("a", () => ++loads, options)
    expect(await read()).toBe(1)
    await runtime.advance(600)
    expect(await read()).toBe(1)
    expect(loads).toBe(1)
    await runtime.advance(150)
    expect(await read()).toBe(1)
    await runtime.advance(0)
    expect(loads).toBe(2)
    expect(await elsewhere.text("a")).toBe("2")
    expect(await read()).toBe(2)
  })

  test("a refresh does not undo what was written meanwhile, and its failure leaves the entry as it is", async () => {
    const { client, runtime } = await gatedStore()
    const options = { ttlMs: 1_000, refreshAheadMs: 999 }
    await client.getOrSet("a", () => "old", options)
    await runtime.advance(10)
    const failing = () => Promise.reject(new Error("down"))
    expect(await client.getOrSet("a", failing, options)).toBe("old")
    await runtime.advance(0)
    expect(await client.getText("a")).toBe('"old"')
    expect(client.stats().loader.errors).toBe(1)

    let finish: (value: string) => void = () => {}
    const slow = () => new Promise<string>((resolve) => (finish = resolve))
    expect(await client.getOrSet("a", slow, options)).toBe("old")
    await client.set("a", '"written"')
    finish("refreshed")
    await runtime.advance(0)
    expect(await client.getText("a")).toBe('"written"')
  })

  test("a loader that asks for its own key on the spot is told so, instead of waiting for itself", async () => {
    const store = await openStore()
    const recursive = () => store.getOrSet("a", () => 1)
    await expect(store.getOrSet("a", recursive)).rejects.toMatchObject({
      code: "INVALID_OPTION",
      message: expect.stringContaining("wait for itself"),
    })
    expect(await store.getOrSet("a", () => 2)).toBe(2)
  })

  test("a load is aborted once nobody waits for it, stores nothing then, and not a moment before", async () => {
    const { client, runtime, elsewhere } = await gatedStore()
    const signals: AbortSignal[] = []
    const finish: ((value: string) => void)[] = []
    const load = ({ signal }: { signal: AbortSignal }) => {
      signals.push(signal)
      return new Promise<string>((resolve) => finish.push(resolve))
    }
    const first = new AbortController()
    const second = new AbortController()
    const one = client.getOrSet("a", load, { signal: first.signal })
    const two = client.getOrSet("a", load, { signal: second.signal })
    await runtime.advance(0)
    first.abort(new Error("one left"))
    await expect(one).rejects.toThrow("one left")
    expect(signals.map((signal) => signal.aborted)).toEqual([false])
    second.abort(new Error("two left"))
    await expect(two).rejects.toThrow("two left")
    expect(signals.map((signal) => signal.aborted)).toEqual([true])
    expect(signals[0]?.reason).toMatchObject({
      name: "AbortError",
      message: expect.stringMatching(/nobody waits/i),
    })

    await client.delete("a")
    finish[0]?.("abandoned")
    await runtime.advance(0)
    expect(elsewhere.rows()).toBe(0)
  })

  test("a load that came to its end is not aborted afterwards", async () => {
    const store = await openStore()
    let kept: AbortSignal | undefined
    await store.getOrSet("a", ({ signal }) => {
      kept = signal
      return 1
    })
    expect(kept?.aborted).toBe(false)
  })
})
