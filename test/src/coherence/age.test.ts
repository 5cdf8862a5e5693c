import { describe, expect, test } from "vitest"
import { type GatedStore, gatedStore } from "../../support/gated-store.ts"
import { settle } from "../../support/runtime.ts"

describe("a read that others may join", () => {
  test("is not joined once its answer may be older than what L1 may hold", async () => {
    const { client, gate, runtime, elsewhere } = await gatedStore({ l1: { ttlMs: 100 } })
    await elsewhere.put("a", "old")
    gate.script("get", { hold: "reply" })
    const first = client.getText("a")
    await settle()
    await elsewhere.put("a", "new")
    await runtime.advance(100)
    const joined = client.getText("a")
    await runtime.advance(1)
    expect(await client.getText("a")).toBe("new")
    gate.releaseAll()
    expect(await first).toBe("old")
    expect(await joined).toBe("old")
    expect(client.peekText("a")).not.toBe("old")
    expect(await client.getText("a")).toBe("new")
  })

  test("without L1 is joined by the reads of its own turn alone", async () => {
    const { client, gate, elsewhere } = await gatedStore({ l1: false })
    await elsewhere.put("a", "old")
    gate.script("get", { hold: "reply" })
    const together = Promise.all([client.getText("a"), client.getText("a")])
    await settle()
    expect(gate.count("get")).toBe(1)
    await elsewhere.put("a", "new")
    expect(await client.getText("a")).toBe("new")
    gate.releaseAll()
    expect(await together).toEqual(["old", "old"])
  })
})

describe("a key whose every read overlaps with another one", () => {
  /** Reads of `a` that wait with their answers: the first was overtaken by `change`, the second began after it. */
  const overlapping = async (change: (store: GatedStore) => unknown) => {
    const store = await gatedStore({
      behind: (table) => ({ ...table, traits: { ...table.traits, ordered: false } }),
    })
    const { client, gate } = store
    await client.set("a", "1")
    gate.hold("get", "reply")
    const reads: Promise<unknown>[] = []
    const read = async () => {
      reads.push(client.getText("a"))
      await settle()
    }
    /** Answers the oldest read. */
    const answer = async () => {
      gate.take("get").release()
      await settle()
    }
    await read()
    await change(store)
    await read()
    const end = async () => {
      gate.releaseAll()
      await Promise.all(reads)
    }
    return { ...store, read, answer, end }
  }

  test.each<[string, (store: GatedStore) => unknown]>([
    ["a write", ({ client }) => client.set("a", "2")],
    ["an invalidation", ({ client }) => client.invalidate("a")],
  ])("is held by L1 again after %s, as soon as two reads agree", async (_, change) => {
    const { client, elsewhere, read, answer, end } = await overlapping(change)
    for (let round = 0; round < 3; round++) {
      await read()
      await answer()
    }
    expect(client.peekText("a")).toBe(await elsewhere.text("a"))
    await end()
  })

  test("is not filled by a read that another one overtook with a newer value", async () => {
    const { client, elsewhere, answer, end } = await overlapping(({ client }) => client.invalidate("a"))
    await elsewhere.put("a", "2")
    expect(await client.exists("a", { consistency: "strong" })).toBe(true)
    await answer()
    await answer()
    expect(client.peekText("a")).toBeUndefined()
    await end()
    expect(await client.getText("a")).toBe("2")
  })

  test("is not filled by what was read before a write that began after another read had overtaken it", async () => {
    const { client, answer, end } = await overlapping(({ client }) => client.invalidate("a"))
    await answer()
    await client.set("a", "2")
    await answer()
    expect(client.peekText("a")).toBeUndefined()
    await end()
  })

  test("nor by what was read before everything was invalidated", async () => {
    const { client, answer, end } = await overlapping(({ client }) => client.invalidate("a"))
    await answer()
    client.invalidate()
    await answer()
    expect(client.peekText("a")).toBeUndefined()
    await end()
  })

  test("does not go back to a read that began before the one that filled L1", async () => {
    const { client, gate, elsewhere, read, answer, end } = await overlapping(({ client }) =>
      client.invalidate("a"),
    )
    await answer()
    await elsewhere.put("a", "2")
    await read()
    const [before, after] = gate.held("get")
    after?.release()
    await settle()
    expect(client.peekText("a")).toBe("2")
    before?.release()
    await settle()
    expect(client.peekText("a")).not.toBe("1")
    await end()
  })
})

describe("cached exists", () => {
  test("once it said that a key is there, no later read joins an older one that says it is not", async () => {
    const { client, gate, elsewhere } = await gatedStore()
    gate.hold("exists")
    const asked = client.exists("a")
    await settle()
    gate.script("get", { hold: "reply" })
    const reading = client.getText("a")
    await settle()
    await elsewhere.put("a", "created")
    gate.releaseAll("exists")
    expect(await asked).toBe(true)
    const later = client.getText("a")
    await settle()
    gate.releaseAll()
    expect(await later).toBe("created")
    expect(await client.exists("a")).toBe(true)
    await reading
    expect(await client.exists("a")).toBe(true)
    expect(await client.getText("a")).toBe("created")
  })

  test("once it said that a key is gone, L1 does not show it", async () => {
    const { client, gate, elsewhere } = await gatedStore()
    await elsewhere.put("a", "there")
    gate.hold("exists")
    const asked = client.exists("a")
    await settle()
    await client.getText("a")
    await elsewhere.delete("a")
    gate.releaseAll()
    expect(await asked).toBe(false)
    expect(client.peekText("a")).toBeUndefined()
    expect(await client.exists("a")).toBe(false)
  })
})

describe("a version floor", () => {
  const restarted = async () => {
    const store = await gatedStore()
    const { client, gate } = store
    await client.set("a", "1")
    await client.set("a", "2")
    // A new life of the backend, whose versions start lower.
    const lower = { value: Buffer.from("restored"), version: "0".repeat(48) }
    gate.get = async () => ({ ...lower })
    return store
  }

  test("is given up when a strong read shows that the order has restarted lower", async () => {
    const { client, gate } = await restarted()
    expect(await client.getText("a", { consistency: "strong" })).toBe("restored")
    expect(await client.getText("a")).toBe("restored")
    expect(client.peekText("a")).toBe("restored")
    gate.get = () => Promise.reject(new Error("not asked"))
    expect(await client.getText("a")).toBe("restored")
  })

  test("lasts no longer than a read may lag, so L1 refuses no key for good", async () => {
    const { client, runtime } = await restarted()
    expect(await client.getText("a")).toBe("restored")
    expect(client.peekText("a")).toBeUndefined()
    await runtime.advance(30_000)
    expect(await client.getText("a")).toBe("restored")
    expect(client.peekText("a")).toBe("restored")
  })
})
