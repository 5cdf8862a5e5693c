import type { TableClient } from "@azure/data-tables"
import fc from "fast-check"
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest"
import { azureTables } from "../../../tiers/azure-tables/backend.ts"
import { leaseClient } from "../../../tiers/azure-tables/client.ts"
import { compareVersions, partitionOf, versionOf } from "../../../tiers/azure-tables/row.ts"
import type { Backend, StoredEntry } from "../../../tiers/backend.ts"
import { systemRuntime } from "../../../tiers/runtime.ts"
import { newTable, startAzurite } from "../../servers/azurite.ts"
import { requireServer } from "../../servers/require-server.ts"

const newId = systemRuntime.id
const bytes = (text: string) => new TextEncoder().encode(text)
const base64 = (text: string) => Buffer.from(text).toString("base64")

describe("versions", () => {
  const ids = fc.stringMatching(/^[0-9a-f]{32}$/)
  /** Ticks of 100 ns, as the service counts; it may leave out zeros at the end. */
  const times = fc.record({
    ms: fc.integer({ min: 0, max: 4e12 }),
    ticks: fc.integer({ min: 0, max: 9_999 }),
  })
  const etagOf = ({ ms, ticks }: { ms: number; ticks: number }, trimmed: boolean) => {
    const exact = `${new Date(ms).toISOString().slice(0, -1)}${String(ticks).padStart(4, "0")}`
    const text = trimmed ? exact.replace(/\.?0+$/, "") : exact
    return `W/"datetime'${encodeURIComponent(`${text}Z`)}'"`
  }

  test("order as the service's times do, and fit their bound", () => {
    fc.assert(
      fc.property(times, times, ids, ids, fc.boolean(), fc.boolean(), (a, b, idA, idB, trimA, trimB) => {
        const versionA = versionOf({ etag: etagOf(a, trimA), Version: idA })
        const versionB = versionOf({ etag: etagOf(b, trimB), Version: idB })
        expect(versionA).toMatch(/^[\x21-\x7e]{1,120}$/)
        expect(compareVersions(versionA, versionA)).toBe(0)
        const order = a.ms - b.ms || a.ticks - b.ticks
        if (order !== 0 && trimA === trimB) expect(compareVersions(versionA, versionB)).toBe(Math.sign(order))
      }),
    )
  })

  test("that cannot be ordered count as older, either way", () => {
    const id = newId()
    const etag = etagOf({ ms: 0, ticks: 0 }, false)
    for (const other of [
      { etag, Version: newId() },
      { etag: `W/"1"`, Version: id },
    ]) {
      const [a, b] = [versionOf({ etag, Version: id }), versionOf(other)]
      expect([compareVersions(a, b), compareVersions(b, a)]).toEqual([-1, -1])
    }
  })
})

await requireServer("azure-tables", startAzurite, (server) => {
  let client: TableClient
  let backend: Backend
  let keys = 0
  let key: string

  beforeAll(async () => {
    client = await newTable(server)
    backend = azureTables(client, { table: client.tableName })
    await backend.open()
  })
  beforeEach(() => {
    key = `key:${++keys}`
  })
  afterAll(() => backend.close())

  const at = () => ({ partitionKey: partitionOf(key), rowKey: key })
  const present = async (): Promise<StoredEntry> => {
    const entry = await backend.get(key)
    if (entry === undefined) throw new Error("the key should be there")
    return entry
  }

  describe("rows of other clients", () => {
    test("base64 or binary, without a version of ours, are read by every read", async () => {
      for (const Value of [base64("theirs"), bytes("theirs")]) {
        await client.upsertEntity({ ...at(), Value }, "Replace")
        const { value, version, expiresAt } = await present()
        expect(value).toEqual(bytes("theirs"))
        expect(version).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+\/$/)
        expect(expiresAt).toBeUndefined()
        expect((await backend.getMany([key])).get(key)).toEqual({ value, version })
        expect((await backend.scan(key, { limit: 10 })).entries).toEqual([{ key, value, version }])
        expect(await backend.exists(key)).toBe(true)
      }
    })

    test("have the expiry that they say, whatever its offset and precision", async () => {
      const times = {
        "2999-01-02T03:04:05+00:00": Date.UTC(2999, 0, 2, 3, 4, 5),
        "2999-01-02T03:04:05.678901234+00:00": Date.UTC(2999, 0, 2, 3, 4, 5, 678),
        "2999-01-02T03:04:05.6Z": Date.UTC(2999, 0, 2, 3, 4, 5, 600),
        "2999-01-02T05:34:05.678+02:30": Date.UTC(2999, 0, 2, 3, 4, 5, 678),
      }
      for (const [ExpiresAt, expiresAt] of Object.entries(times)) {
        await client.upsertEntity({ ...at(), Value: base64("theirs"), ExpiresAt }, "Replace")
        expect((await present()).expiresAt).toBe(expiresAt)
      }
      for (const ExpiresAt of ["2020-01-02T03:04:05+00:00", new Date(0)]) {
        await client.upsertEntity({ ...at(), Value: base64("theirs"), ExpiresAt }, "Replace")
        expect(await backend.get(key)).toBeUndefined()
        expect(await backend.exists(key)).toBe(false)
        expect(
          await backend.put(key, { value: bytes("ours"), id: newId(), condition: { absent: true } }),
        ).toMatchObject({ applied: true })
      }
    })

    test("are replaced and removed under the version that was read", async () => {
      await client.upsertEntity({ ...at(), Value: base64("one") }, "Replace")
      const one = await present()
      const write = { value: bytes("two"), condition: { version: one.version } }
      expect(await backend.put(key, { ...write, id: newId() })).toMatchObject({ applied: true })
      expect(await backend.put(key, { ...write, id: newId() })).toEqual({ applied: false })
      await client.upsertEntity({ ...at(), Value: base64("three") }, "Replace")
      const { version } = await present()
      expect(await backend.delete(key, { id: newId(), condition: { version } })).toEqual({ applied: true })
      expect(await backend.get(key)).toBeUndefined()
    })

    test("a change that keeps our identity in the row makes its version stale all the same", async () => {
      const { version } = await backend.put(key, { value: bytes("ours"), id: newId() })
      await client.updateEntity({ ...at(), Value: base64("theirs") }, "Merge")
      const entry = await present()
      expect(entry.value).toEqual(bytes("theirs"))
      expect(entry.version).not.toBe(version)
      const condition = { version: version ?? "" }
      expect(await backend.put(key, { value: bytes("x"), id: newId(), condition })).toEqual({
        applied: false,
      })
      expect(await backend.delete(key, { id: newId(), condition })).toEqual({ applied: false })
    })

    test("under keys with a quote in them stop no scan and escape no filter", async () => {
      const rowKey = "it's or RowKey ge 'a"
      await client.upsertEntity({ partitionKey: partitionOf(rowKey), rowKey, Value: base64("v") })
      const { entries } = await backend.scan("it's", { limit: 100 })
      expect(entries.map((entry) => entry.key)).toEqual([rowKey])
    })
  })

  describe("rows of ours", () => {
    test("hold what other clients look for", async () => {
      const id = newId()
      const before = Date.now()
      await backend.put(key, { value: bytes("ours"), id, expiresAt: Date.UTC(2999, 0, 2, 3, 4, 5, 6) })
      const {
        etag,
        timestamp,
        CreatedAt,
        "odata.metadata": _,
        ...row
      } = await client.getEntity(partitionOf(key), key)
      expect(row).toEqual({
        partitionKey: partitionOf(key),
        rowKey: key,
        Value: base64("ours"),
        ExpiresAt: "2999-01-02T03:04:05.006Z",
        Version: id,
      })
      expect(CreatedAt).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
      expect(Date.parse(String(CreatedAt))).toBeGreaterThanOrEqual(before)
    })

    test("do not expire later than RFC 3339 can say", async () => {
      await backend.put(key, { value: bytes("ours"), id: newId(), expiresAt: Number.MAX_SAFE_INTEGER })
      expect((await present()).expiresAt).toBe(Date.parse("9999-12-31T23:59:59.999Z"))
    })

    test("the largest value fills the string property to its last character", async () => {
      const value = new Uint8Array(24_576).fill(0xff)
      await backend.put(key, { value, id: newId() })
      expect((await present()).value).toEqual(value)
      const row = await client.getEntity(partitionOf(key), key)
      expect(String(row.Value)).toHaveLength(32_768)
      await expect(client.upsertEntity({ ...at(), Value: "A".repeat(32_769) })).rejects.toMatchObject({
        statusCode: 400,
      })
    })

    test("a hundred of the largest entries fit one transaction", async () => {
      const largest: string[] = []
      for (let index = 0; largest.length < 100; index++) {
        const key = `${"k".repeat(500)}${String(index).padStart(12, "0")}`
        if (partitionOf(key) === "p7") largest.push(key)
      }
      const value = new Uint8Array(24_576).fill(0xff)
      const expiresAt = Date.now() + 3_600_000
      const results = await backend.putMany(
        new Map(largest.map((key) => [key, { value, expiresAt, id: newId() }])),
      )
      for (const result of results.values()) {
        expect(result).toEqual({ applied: true, version: expect.any(String) })
      }
      await backend.deleteMany(new Map(largest.map((key) => [key, { id: newId() }])))
    })
  })

  describe("rows that cannot be read", () => {
    const good = base64("good")
    test.each([
      ["no Value", {}],
      ["a number as Value", { Value: 7 }],
      ["a Value that is not base64", { Value: "not base64!!" }],
      ["a Value cut short", { Value: good.slice(0, 5) }],
      ["a Value with its end missing", { Value: good.replace("=", "!") }],
      ["an ExpiresAt that is no time", { Value: good, ExpiresAt: "soon" }],
      ["an ExpiresAt without an offset", { Value: good, ExpiresAt: "2999-01-02T03:04:05" }],
      ["an ExpiresAt on no day", { Value: good, ExpiresAt: "2999-13-41T03:04:05Z" }],
      ["a number as ExpiresAt", { Value: good, ExpiresAt: 7 }],
    ])("%s is CORRUPT_ENTRY, until it is written over", async (_, properties) => {
      await client.upsertEntity({ ...at(), ...properties }, "Replace")
      const corrupt = { code: "CORRUPT_ENTRY", backend: "azure-tables", key }
      await expect(Promise.resolve(backend.get(key))).rejects.toMatchObject(corrupt)
      await expect(Promise.resolve(backend.scan(key, { limit: 10 }))).rejects.toMatchObject(corrupt)
      const read = await backend.getMany([key, "absent"])
      expect([...read.keys()]).toEqual([key])
      expect(read.get(key)).toMatchObject(corrupt)
      if ("ExpiresAt" in properties) {
        await expect(Promise.resolve(backend.exists(key))).rejects.toMatchObject(corrupt)
        const create = { value: bytes("new"), id: newId(), condition: { absent: true } } as const
        await expect(backend.put(key, create)).rejects.toMatchObject(corrupt)
      }
      await backend.put(key, { value: bytes("new"), id: newId() })
      expect((await present()).value).toEqual(bytes("new"))
    })
  })

  describe("the client", () => {
    test("that the caller passed in stays open", async () => {
      const other = azureTables(client, { table: client.tableName })
      await other.open()
      await other.put(key, { value: bytes("v"), id: newId() })
      await other.close()
      expect(await client.getEntity(partitionOf(key), key)).toMatchObject({ rowKey: key })
    })

    test("of another table, or a table without a legal name, is BINDING_INVALID", async () => {
      const wrong = { code: "BINDING_INVALID", operation: "open" }
      await expect(azureTables(client, { table: "another" }).open()).rejects.toMatchObject(wrong)
      for (const table of ["", "ab", "1abc", "my-table", "a".repeat(64)]) {
        const { connectionString } = server
        await expect(azureTables({ connectionString }, { table }).open()).rejects.toMatchObject(wrong)
      }
    })

    test("is one for all users of an endpoint and table, until the last is through", async () => {
      const lease = (table: string) => leaseClient({ connectionString: server.connectionString }, table)
      const [one, two, other] = [await lease("shared"), await lease("shared"), await lease("other")]
      expect(one.resource).toBe(two.resource)
      expect(other.resource).not.toBe(one.resource)
      one.release()
      one.release()
      const three = await lease("shared")
      expect(three.resource).toBe(two.resource)
      two.release()
      three.release()
      const four = await lease("shared")
      expect(four.resource).not.toBe(three.resource)
      four.release()
      other.release()
    })
  })
})
