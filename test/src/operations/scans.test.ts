import { describe, expect, test } from "vitest"
import { type Entry, kv } from "../../../src/index.ts"
import { memory } from "../../../tiers/memory.ts"
import { gatedStore } from "../../support/gated-store.ts"

async function keysOf(entries: AsyncIterable<Entry>): Promise<string[]> {
  const keys: string[] = []
  for await (const { key } of entries) keys.push(key)
  return keys
}

describe("scan", () => {
  test('gives every match, page by page, and "" is every key', async () => {
    const { client, gate } = await gatedStore()
    const keys = Array.from({ length: 25 }, (_, index) => `user:${index}`)
    await client.setMany([...keys, "other"].map((key) => [key, key] as const))
    expect((await keysOf(client.scan("user:", { limit: 10 }))).sort()).toEqual([...keys].sort())
    expect(gate.count("scan")).toBe(3)
    expect(await keysOf(client.scan(""))).toHaveLength(26)
    expect(await keysOf(client.scan("none:"))).toEqual([])
  })

  test("reads a page when the loop gets to it, and none after a break", async () => {
    const { client, gate } = await gatedStore()
    await client.setMany(Array.from({ length: 30 }, (_, index) => [`k${index}`, "v"] as const))
    const iterator = client.scan("k", { limit: 10 })
    expect(gate.count("scan")).toBe(0)
    for await (const { key } of iterator) if (key === "k0") break
    expect(gate.count("scan")).toBe(1)
    expect(await iterator.next()).toEqual({ done: true, value: undefined })
  })

  test("can be read by pages, whose cursors hold in another handle", async () => {
    const backend = memory()
    const one = await kv("one", { backend })
    const other = await kv("other", { backend })
    await one.setMany(["a1", "a2", "a3", "b1"].map((key) => [key, key] as const))
    const first = await one.scanPage("a", { limit: 2 })
    expect(first.entries.map(({ key }) => key)).toEqual(["a1", "a2"])
    const second = await other.scanPage("a", { limit: 2, cursor: first.nextCursor ?? "" })
    expect(second.entries.map(({ key }) => key)).toEqual(["a3"])
    expect(second).not.toHaveProperty("nextCursor")
    expect(await keysOf(one.scan("a", { limit: 1, cursor: first.nextCursor ?? "" }))).toEqual(["a3"])
  })

  test("a cursor of another prefix, a damaged one, or none of ours is INVALID_CURSOR", async () => {
    const { client, gate } = await gatedStore()
    await client.setMany(["a1", "a2", "b1", "b2"].map((key) => [key, key] as const))
    const { nextCursor = "" } = await client.scanPage("a", { limit: 1 })
    const scans = gate.count("scan")
    const damaged = `${nextCursor.slice(0, -2)}${nextCursor.endsWith("A") ? "BB" : "AA"}`
    for (const [prefix, cursor] of [
      ["b", nextCursor],
      ["", nextCursor],
      ["a", damaged],
      ["a", `${nextCursor}.x`],
      ["a", ""],
      ["a", "a1"],
    ] as const) {
      await expect(client.scanPage(prefix, { cursor })).rejects.toMatchObject({ code: "INVALID_CURSOR" })
      await expect(keysOf(client.scan(prefix, { cursor }))).rejects.toMatchObject({ code: "INVALID_CURSOR" })
    }
    expect(gate.count("scan")).toBe(scans)
  })
})
