import { describe, expect, test } from "vitest"
import type { Kv } from "../../src/index.ts"
import { gatedStore } from "../support/gated-store.ts"

describe("signal", () => {
  const calls: Record<string, (store: Kv, signal: AbortSignal) => Promise<unknown>> = {
    get: (store, signal) => store.get("a", { signal }),
    getText: (store, signal) => store.getText("a", { signal }),
    getJson: (store, signal) => store.getJson("a", { signal }),
    getEntry: (store, signal) => store.getEntry("a", { signal }),
    getMany: (store, signal) => store.getMany(["a"], { signal }),
    getManyText: (store, signal) => store.getManyText(["a"], { signal }),
    getManyJson: (store, signal) => store.getManyJson(["a"], { signal }),
    exists: (store, signal) => store.exists("a", { signal }),
    set: (store, signal) => store.set("a", "1", { signal }),
    put: (store, signal) => store.put("a", "1", { signal }),
    setMany: (store, signal) => store.setMany([["a", "1"]], { signal }),
    delete: (store, signal) => store.delete("a", { signal }),
    deleteMany: (store, signal) => store.deleteMany(["a"], { signal }),
    scan: (store, signal) => store.scan("", { signal }).next(),
    scanPage: (store, signal) => store.scanPage("", { signal }),
    getOrSet: (store, signal) => store.getOrSet("a", () => 1, { signal }),
  }

  for (const [name, call] of Object.entries(calls)) {
    test(`${name} rejects with the reason, at once, and asks nothing if it was aborted before`, async () => {
      const { client, gate } = await gatedStore()
      const reason = new Error("the request is gone")
      await expect(call(client, AbortSignal.abort(reason))).rejects.toBe(reason)
      expect(gate.count()).toBe(0)

      gate.hold()
      const controller = new AbortController()
      const waiting = call(client, controller.signal)
      await Promise.resolve()
      controller.abort(reason)
      await expect(waiting).rejects.toBe(reason)
      gate.releaseAll()
      await client.close()
    })

    test(`${name} that is not aborted leaves no listener behind`, async () => {
      const { client } = await gatedStore()
      const { signal } = new AbortController()
      let listeners = 0
      const { addEventListener, removeEventListener } = signal
      signal.addEventListener = (...args: Parameters<typeof addEventListener>) => {
        listeners++
        addEventListener.apply(signal, args)
      }
      signal.removeEventListener = (...args: Parameters<typeof removeEventListener>) => {
        listeners--
        removeEventListener.apply(signal, args)
      }
      await call(client, signal)
      expect(listeners).toBe(0)
    })
  }
})

describe("close", () => {
  const calls: Record<string, (store: Kv) => unknown> = {
    get: (store) => store.get("a"),
    getText: (store) => store.getText("a"),
    getJson: (store) => store.getJson("a"),
    getEntry: (store) => store.getEntry("a"),
    getMany: (store) => store.getMany(["a"]),
    getManyText: (store) => store.getManyText(["a"]),
    getManyJson: (store) => store.getManyJson(["a"]),
    exists: (store) => store.exists("a"),
    set: (store) => store.set("a", "1"),
    put: (store) => store.put("a", "1"),
    setMany: (store) => store.setMany([["a", "1"]]),
    delete: (store) => store.delete("a"),
    deleteMany: (store) => store.deleteMany(["a"]),
    scan: (store) => store.scan("").next(),
    scanPage: (store) => store.scanPage(""),
    getOrSet: (store) => store.getOrSet("a", () => 1),
    peek: async (store) => store.peek("a"),
    peekText: async (store) => store.peekText("a"),
    peekJson: async (store) => store.peekJson("a"),
    invalidate: async (store) => store.invalidate(),
  }

  test("rejects every later call with CLOSED, also of what L1 held, and stats still answer", async () => {
    const { client, gate } = await gatedStore()
    await client.set("a", "1")
    await client.get("a")
    const scan = client.scan("", { limit: 1 })
    await client.close()
    const asked = gate.count()
    for (const [name, call] of Object.entries(calls)) {
      await expect(call(client), name).rejects.toMatchObject({ code: "CLOSED", operation: name })
    }
    await expect(scan.next()).rejects.toMatchObject({ code: "CLOSED" })
    expect(gate.count()).toBe(asked)
    expect(client.stats().name).toBe("test")
  })

  test("lets a scan under way end with its page, and then say CLOSED", async () => {
    const { client } = await gatedStore()
    await client.setMany(["a", "b", "c"].map((key) => [key, key] as const))
    const scan = client.scan("", { limit: 2 })
    await scan.next()
    await client.close()
    expect((await scan.next()).value?.key).toBe("b")
    await expect(scan.next()).rejects.toMatchObject({ code: "CLOSED" })
  })

  test("is idempotent, and works as `await using` does", async () => {
    const { client } = await gatedStore()
    const closing = client.close()
    expect(client.close()).toBe(closing)
    expect(client[Symbol.asyncDispose]()).toBe(closing)
    await closing
    await client.close()
  })
})
