import { describe, expect, test } from "vitest"
import { KvError, kv } from "../../../src/index.ts"
import { gatedStore } from "../../support/gated-store.ts"

const bytesOf = (text: string) => new Uint8Array(Buffer.from(text))

const openStore = () => kv("cache", { backend: "memory:" })

describe("values", () => {
  const values = {
    "empty text": "",
    "text beyond the BMP": "naïve ☕ 🤷🏽",
    "text with a byte order mark": "\uFEFFhello",
    "text with a NUL": "a\0b",
    "text that looks like a number": "42",
    "text that looks like JSON": '{"a":1}',
    "text of 24,576 bytes": "é".repeat(12_288),
  }
  for (const [name, text] of Object.entries(values)) {
    test(`${name} comes back as it went in, from either tier`, async () => {
      const store = await openStore()
      await store.set("a", text)
      for (const tier of ["l2", "l1"]) {
        expect(await store.getText("a"), tier).toBe(text)
        expect(await store.get("a"), tier).toEqual(bytesOf(text))
      }
      expect(store.peekText("a")).toBe(text)
    })
  }

  const bytes = {
    "no bytes": new Uint8Array(),
    "every byte": Uint8Array.from({ length: 256 }, (_, byte) => byte),
    "bytes that are no UTF-8": new Uint8Array([0xc3, 0x28, 0xff]),
    "a Buffer": Buffer.from("buffer"),
    "a view into something larger": new Uint8Array(bytesOf("0123456789").buffer, 3, 4),
    "24,576 bytes": new Uint8Array(24_576).fill(7),
  }
  for (const [name, value] of Object.entries(bytes)) {
    test(`${name} come back as they went in, from either tier`, async () => {
      const store = await openStore()
      await store.set("a", value)
      for (const tier of ["l2", "l1"]) expect(await store.get("a"), tier).toEqual(new Uint8Array(value))
      expect(store.peek("a")).toEqual(new Uint8Array(value))
    })
  }

  for (const value of [0, -1.5, true, false, null, [], {}, [1, [2]], { a: { b: null } }]) {
    test(`${JSON.stringify(value)} is stored as JSON`, async () => {
      const store = await openStore()
      await store.set("a", value)
      for (const tier of ["l2", "l1", "l1 again"]) expect(await store.getJson("a"), tier).toEqual(value)
      expect(store.peekJson("a")).toEqual(value)
      expect(await store.getText("a")).toBe(JSON.stringify(value))
    })
  }

  test("what is falsy is no miss: it is there, and L1 answers with it", async () => {
    const { client, gate } = await gatedStore()
    await client.setMany([
      ["zero", 0],
      ["no", false],
      ["null", null],
      ["empty", ""],
    ])
    for (const round of [1, 2]) {
      expect(await client.getJson("zero"), `round ${round}`).toBe(0)
      expect(await client.getJson("no")).toBe(false)
      expect(await client.getJson("null")).toBeNull()
      expect(await client.getText("empty")).toBe("")
      expect(await client.exists("null")).toBe(true)
    }
    expect(gate.count("get")).toBe(4)
    expect(await client.getOrSet("null", () => "never loaded")).toBeNull()
  })

  test("a Date is stored as its JSON, and an object by its toJSON", async () => {
    const store = await openStore()
    await store.set("date", new Date(0))
    await store.set("own", { toJSON: () => ({ kept: true }) })
    expect(await store.getJson("date")).toBe("1970-01-01T00:00:00.000Z")
    expect(await store.getJson("own")).toEqual({ kept: true })
  })

  test("fill of a strong read, which bypasses L1, is refused", async () => {
    const store = await openStore()
    await expect(store.getMany(["a"], { consistency: "strong", fill: true })).rejects.toMatchObject({
      code: "INVALID_OPTION",
    })
    expect(await store.getMany(["a"], { consistency: "strong", fill: false })).toEqual(new Map())
  })

  test("bytes that are not UTF-8, or not JSON, are no miss either: INVALID_VALUE says how to read them", async () => {
    const store = await openStore()
    await store.set("bytes", new Uint8Array([0xff]))
    await store.set("text", "{oops")
    for (const tier of ["l2", "l1"]) {
      await expect(store.getText("bytes"), tier).rejects.toMatchObject({
        code: "INVALID_VALUE",
        key: "bytes",
      })
      await expect(store.getJson("bytes"), tier).rejects.toMatchObject({ code: "INVALID_VALUE" })
      await expect(store.getJson("text"), tier).rejects.toThrow(
        /not JSON; read it with getText\(\) or get\(\)/,
      )
      await expect(
        store.getOrSet("text", () => 1),
        tier,
      ).rejects.toThrow('not JSON; pass as: "text"')
      await expect(
        store.getOrSet("bytes", () => "", { as: "text" }),
        tier,
      ).rejects.toThrow('not UTF-8 text; pass as: "bytes"')
      await expect(store.getManyJson(["text"]), tier).rejects.toMatchObject({ code: "INVALID_VALUE" })
    }
    expect(() => store.peekText("bytes")).toThrow(KvError)
    expect(() => store.peekJson("text")).toThrow(KvError)
  })

  test("bytes that cannot be read are INVALID_VALUE, and nothing is written", async () => {
    const { client, elsewhere } = await gatedStore()
    const detached = new Uint8Array(4)
    structuredClone(detached.buffer, { transfer: [detached.buffer] })
    for (const value of [detached, new Proxy(new Uint8Array(4), {})]) {
      const writing = client.set("a", value)
      await expect(writing).rejects.toMatchObject({
        code: "INVALID_VALUE",
        message: expect.stringMatching(/cannot be read/),
      })
    }
    expect(elsewhere.rows()).toBe(0)
  })

  test("JSON nested too deeply is refused for that, not as a cycle", async () => {
    const store = await openStore()
    let value: unknown[] = []
    for (let depth = 0; depth < 100_000; depth++) value = [value]
    await expect(store.set("a", value)).rejects.toMatchObject({
      code: "INVALID_VALUE",
      message: expect.stringMatching(/nested too deeply/),
    })
  })

  test("what JSON would change inside a value is INVALID_VALUE with its path", async () => {
    const { client, elsewhere } = await gatedStore()
    await expect(client.set("a", { prices: [1, Number.NaN] })).rejects.toMatchObject({
      code: "INVALID_VALUE",
      message: expect.stringContaining("The value at .prices[1] is NaN, which JSON would turn into null"),
    })
    await expect(client.getOrSet("a", () => ({ zero: -0 }))).rejects.toMatchObject({ code: "INVALID_VALUE" })
    expect(elsewhere.rows()).toBe(0)
    expect(await client.set("a", { at: new Date(0) })).toBe(true)
  })
})
