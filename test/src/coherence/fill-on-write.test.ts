import { describe, expect, test } from "vitest"
import { KvError } from "../../../tiers/errors.ts"
import { gatedStore } from "../../support/gated-store.ts"
import { settle } from "../../support/runtime.ts"

const opened = () => gatedStore({ l1: { fillOnWrite: true } })
const lost = new KvError("OUTCOME_UNKNOWN", "the reply was lost", { operation: "put" })

describe("with fillOnWrite, a write leaves its value in L1", () => {
  test("where L1 held the key, whatever the kind of write, with its expiry, and no more than its time to live from its beginning", async () => {
    const { client, gate, runtime } = await opened()
    await client.set("a", "1")
    expect(client.peekText("a")).toBeUndefined()
    await client.get("a")
    await client.set("a", "2")
    expect(client.peekText("a")).toBe("2")
    const { version = "" } = await client.put("a", "3", { ttlMs: 1_000 })
    expect(client.peekText("a")).toBe("3")
    expect((await client.getEntry("a"))?.version).toBe(version)
    await runtime.advance(1_000)
    expect(client.peekText("a")).toBeUndefined()
    // Known to be absent is held, too.
    await client.get("a")
    await client.set("a", "4", { ifNotExists: true })
    expect(client.peekText("a")).toBe("4")
    await client.setMany([
      ["a", "5"],
      ["b", "5"],
    ])
    expect([client.peekText("a"), client.peekText("b")]).toEqual(["5", undefined])

    gate.hold("put", "reply")
    const slow = client.set("a", "6")
    await runtime.advance(4_000)
    gate.releaseAll()
    await slow
    expect(client.peekText("a")).toBe("6")
    await runtime.advance(1_000)
    expect(client.peekText("a")).toBeUndefined()
  })

  test("in bytes of its own", async () => {
    const { client } = await opened()
    await client.get("a")
    const value = Uint8Array.of(1, 2)
    await client.set("a", value)
    value[0] = 9
    expect(client.peek("a")).toEqual(Uint8Array.of(1, 2))
  })

  test("not after a delete, a refusal, a failure or an unknown outcome", async () => {
    const { client, gate } = await opened()
    const { version = "" } = await client.put("a", "1")
    await client.get("a")
    await client.set("a", "2", { ifNotExists: true })
    expect(client.peekText("a")).toBeUndefined()
    await client.get("a")
    gate.script("put", { fail: new KvError("UNAVAILABLE", "down", { operation: "put" }) })
    await expect(client.set("a", "2")).rejects.toMatchObject({ code: "UNAVAILABLE" })
    expect(client.peekText("a")).toBeUndefined()
    await client.get("a")
    await client.delete("a", { ifVersion: version })
    expect(client.peekText("a")).toBeUndefined()
    await client.get("a")
    gate.script("put", { loseReply: lost })
    await expect(client.set("a", "3")).rejects.toMatchObject({ code: "OUTCOME_UNKNOWN" })
    expect(client.peekText("a")).toBeUndefined()
  })

  const between: Record<string, (store: Awaited<ReturnType<typeof opened>>) => Promise<unknown>> = {
    "another write": async ({ client }) => void client.set("a", "3").catch(() => {}),
    "an invalidation": async ({ client }) => client.invalidate("a"),
    "an invalidation of everything": async ({ client }) => client.invalidate(),
    "a strong read": ({ client }) => client.get("a", { consistency: "strong" }),
    "a cached read": ({ client }) => client.get("a"),
  }
  test.each(Object.entries(between))("not with %s between", async (_, happens) => {
    const store = await opened()
    const { client, gate } = store
    await client.set("a", "1")
    await client.get("a")
    gate.hold("put", "reply")
    const write = client.set("a", "2")
    await settle()
    await happens(store)
    await settle()
    gate.take("put").release()
    await write
    expect(client.peekText("a")).toBeUndefined()
    gate.releaseAll()
    await settle()
    expect(client.peekText("a")).toBeUndefined()
  })
})
