import type { AttributeValue } from "@aws-sdk/client-dynamodb"
import { beforeEach, describe, expect, test } from "vitest"
import type { Backend } from "../../../tiers/backend.ts"
import { dynamodb } from "../../../tiers/dynamodb/backend.ts"
import { KvError } from "../../../tiers/errors.ts"
import { systemRuntime } from "../../../tiers/runtime.ts"
import { localSettings } from "../../servers/dynamodb.ts"
import { requireServer } from "../../servers/require-server.ts"
import { startProxiedDynamodb } from "../../support/dynamodb-fixture.ts"
import { settle, type TestRuntime, testRuntime, until } from "../../support/runtime.ts"

const text = (value: string) => new TextEncoder().encode(value)
const { id: newId } = systemRuntime

await requireServer("dynamodb", startProxiedDynamodb, ({ proxy, tables, ...at }) => {
  let table: string
  let runtime: TestRuntime
  let backend: Backend

  beforeEach(async () => {
    proxy.clear()
    table = await tables.create()
    runtime = testRuntime(1_800_000_000_000)
    backend = dynamodb(localSettings(proxy.port), { table, runtime })
    await backend.open()
    return () => backend.close()
  })

  const storeRow = (key: string, attributes: Record<string, AttributeValue>) =>
    at.storeRow(key, attributes, table)
  const rowOf = (key: string) => at.rowOf(key, table)

  async function versionOf(key: string): Promise<string> {
    const entry = await backend.get(key)
    if (entry === undefined) throw new Error("there is no entry")
    return entry.version
  }

  describe("a row written here", () => {
    test("has no attribute for an expiry that it does not have", async () => {
      const id = newId()
      await backend.put("user:123", { value: text("Alice"), id })
      expect(await rowOf("user:123")).toEqual({
        pk: { S: "bucket_2" },
        sk: { S: "user:123" },
        value: { B: text("Alice") },
        version: { S: id },
      })
    })

    test.each([
      [1_800_000_100_000, "1800000100"],
      [1_800_000_100_001, "1800000101"],
      [1_800_000_100_999, "1800000101"],
    ])("an expiry of %d ms is %s seconds to others, and exact for us", async (expiresAt, ttl) => {
      await backend.put("key", { value: text("v"), id: newId(), expiresAt })
      expect(await rowOf("key")).toMatchObject({ ttl: { N: ttl }, exp: { N: String(expiresAt) } })
    })

    test("a delete under a condition leaves an expired row, for the table's TTL to take away", async () => {
      await backend.put("key", { value: text("v"), id: newId() })
      const id = newId()
      await backend.delete("key", { id, condition: { version: await versionOf("key") } })
      const row = await rowOf("key")
      expect(row).toMatchObject({ value: { B: new Uint8Array() }, version: { S: id } })
      const ttl = Number(row?.ttl?.N) * 1_000
      expect(ttl).toBeLessThan(runtime.now() - 3_600_000)
      expect(ttl, "what expired five years ago is never swept").toBeGreaterThan(
        runtime.now() - 4 * 365 * 86_400_000,
      )
    })

    test("a plain delete leaves nothing", async () => {
      await backend.put("key", { value: text("v"), id: newId() })
      await backend.delete("key", { id: newId() })
      expect(await rowOf("key")).toBeUndefined()
    })
  })

  test("every read is strongly consistent, and what needs no value asks for none", async () => {
    const requests = new Map<string, string[]>()
    let method = ""
    proxy.observe((request) => requests.set(method, [...(requests.get(method) ?? []), request.toString()]))
    const reads = {
      get: () => backend.get("key"),
      getMany: () => backend.getMany(["key", "other"]),
      exists: () => backend.exists("key"),
      scan: () => backend.scan("k", { limit: 100 }),
      probe: () => backend.probe(["key", "other"]),
    }
    for (const [name, read] of Object.entries(reads)) {
      method = name
      await read()
    }
    expect([...requests].map(([name, sent]) => [name, sent.length])).toEqual([
      ["get", 1],
      ["getMany", 1],
      ["exists", 1],
      ["scan", 16],
      ["probe", 1],
    ])
    for (const sent of requests.values()) {
      for (const request of sent) expect(request).toContain('"ConsistentRead":true')
    }
    for (const name of ["exists", "probe"]) {
      expect(requests.get(name)?.[0]).toContain("ProjectionExpression")
      expect(requests.get(name)?.[0]).not.toContain('"value"')
    }
  })

  describe("a row of Alien's, without version and exact expiry", () => {
    const ttl = { N: "1800000010" }
    const row = { value: { B: text("theirs") } }

    test("is read by every call", async () => {
      await storeRow("key", { ...row, ttl })
      const entry = await backend.get("key")
      expect(entry).toEqual({
        value: text("theirs"),
        version: expect.stringMatching(/^[\x21-\x7e]{1,120}$/),
        expiresAt: 1_800_000_010_000,
      })
      expect((await backend.getMany(["key"])).get("key")).toEqual(entry)
      expect((await backend.scan("", { limit: 10 })).entries).toEqual([{ key: "key", ...entry }])
      expect(await backend.exists("key")).toBe(true)
    })

    test("expires at the end of its second, and is then taken over", async () => {
      await storeRow("key", { ...row, ttl })
      const create = () =>
        backend.put("key", { value: text("ours"), id: newId(), condition: { absent: true } })
      await runtime.advance(9_999)
      expect(await backend.exists("key")).toBe(true)
      expect(await create()).toEqual({ applied: false })
      await runtime.advance(1)
      expect(await backend.exists("key")).toBe(false)
      expect(await backend.get("key")).toBeUndefined()
      expect(await create()).toMatchObject({ applied: true })
      expect(await rowOf("key")).not.toHaveProperty("ttl")
    })

    test.each([
      ["with an expiry", { ...row, ttl }],
      ["without one", row],
      ["with an empty value", { value: { B: text("") } }],
    ])("is replaced under its version, %s", async (_, attributes) => {
      await storeRow("key", attributes)
      const version = await versionOf("key")
      const swap = { value: text("ours"), id: newId(), condition: { version } }
      expect(await backend.put("key", swap)).toEqual({ applied: true, version: swap.id })
      expect(await backend.put("key", { ...swap, id: newId() })).toEqual({ applied: false })
      expect(await backend.put("key", swap), "sent again").toEqual({ applied: true, version: swap.id })
      expect(await rowOf("key")).toMatchObject({ value: { B: text("ours") } })
    })

    test("is deleted under its version", async () => {
      await storeRow("key", { ...row, ttl })
      const condition = { version: await versionOf("key") }
      expect(await backend.delete("key", { id: newId(), condition })).toEqual({ applied: true })
      expect(await backend.exists("key")).toBe(false)
      expect(await backend.delete("key", { id: newId(), condition })).toEqual({ applied: false })
    })

    test.each([
      ["another value", { value: { B: text("other") }, ttl }],
      ["another expiry", { ...row, ttl: { N: "1800000011" } }],
      ["no expiry", row],
      ["the same content, written by us", { ...row, ttl, version: { S: "0".repeat(32) } }],
      ["the same content, expired", { ...row, ttl: { N: "1799999999" } }],
    ])("does not match once there is %s", async (_, replacement) => {
      await storeRow("key", { ...row, ttl })
      const condition = { version: await versionOf("key") }
      await storeRow("key", replacement)
      expect(await backend.put("key", { value: text("ours"), id: newId(), condition })).toEqual({
        applied: false,
      })
      expect(await backend.delete("key", { id: newId(), condition })).toEqual({ applied: false })
      expect(await rowOf("key")).toMatchObject(replacement)
    })

    test("does not match once it has expired", async () => {
      await storeRow("key", { ...row, ttl })
      const condition = { version: await versionOf("key") }
      await runtime.advance(10_000)
      expect(await backend.put("key", { value: text("ours"), id: newId(), condition })).toEqual({
        applied: false,
      })
      expect(await backend.delete("key", { id: newId(), condition })).toEqual({ applied: false })
      expect(await rowOf("key")).toMatchObject(row)
    })

    test("does not match if it changes between the look and the write", async () => {
      await storeRow("key", { ...row, ttl })
      const condition = { version: await versionOf("key") }
      const late = proxy.inject({ kind: "late", when: (request) => request.includes("PutItem") })
      const write = backend.put("key", { value: text("ours"), id: newId(), condition })
      write.catch(() => {})
      await until(() => late.hits > 0)
      await storeRow("key", { value: { B: text("newer") }, ttl })
      await late.release()
      expect(await rowOf("key")).toMatchObject({ value: { B: text("newer") } })
      await backend.close()
    })
  })

  describe("a row that no client of ours wrote", () => {
    test.each([
      ["a value that is text", { value: { S: "text" } }],
      ["no value", {}],
      ["an expiry that is text", { value: { B: text("v") }, exp: { S: "soon" } }],
      ["a ttl that is text", { value: { B: text("v") }, ttl: { S: "2030-01-01" } }],
      ["a version that is a number", { value: { B: text("v") }, version: { N: "1" } }],
      ["a version too long", { value: { B: text("v") }, version: { S: "x".repeat(121) } }],
    ])("is CORRUPT_ENTRY with %s", async (_, attributes) => {
      await storeRow("secret-key", attributes)
      await storeRow("good", { value: { B: text("v") } })
      const corrupt = expect.objectContaining({ code: "CORRUPT_ENTRY", key: "secret-key" })
      const error: unknown = await Promise.resolve(backend.get("secret-key")).catch((thrown) => thrown)
      expect(error).toEqual(corrupt)
      expect(error instanceof KvError && error.message).not.toContain("secret-key")
      const found = await backend.getMany(["secret-key", "good"])
      expect(found.get("secret-key")).toEqual(corrupt)
      expect(found.get("good")).toMatchObject({ value: text("v") })
      await expect(backend.scan("", { limit: 10 })).rejects.toEqual(corrupt)
      expect(await backend.put("secret-key", { value: text("new"), id: newId() })).toMatchObject({
        applied: true,
      })
    })
  })

  describe("scans", () => {
    test("a page of expired rows alone does not end the search", async () => {
      for (let n = 0; n < 40; n++) await storeRow(`key:${n}`, { value: { B: text("") }, ttl: { N: "1" } })
      await storeRow("key:live", { value: { B: text("v") } })
      const { entries } = await backend.scan("key:", { limit: 1 })
      expect(entries.map(({ key }) => key)).toEqual(["key:live"])
    })

    test("live rows behind expired ones come once each, whatever the page", async () => {
      const live: string[] = []
      for (let n = 0; n < 60; n++) {
        await storeRow(`key:0:${n}`, { value: { B: text("") }, ttl: { N: "1" } })
        await storeRow(`key:1:${n}`, { value: { B: text("v") } })
        live.push(`key:1:${n}`)
      }
      for (const limit of [1, 3, 20]) {
        const found: string[] = []
        let cursor: string | undefined
        do {
          const page = await backend.scan("key:", { limit, ...(cursor && { cursor }) })
          expect(page.entries.length).toBeLessThanOrEqual(limit)
          found.push(...page.entries.map(({ key }) => key))
          cursor = page.next
        } while (cursor !== undefined)
        expect(found.sort()).toEqual([...live].sort())
      }
    })

    test("a cursor leaves out the prefix and the buckets that are through", async () => {
      const prefix = "a-long-prefix-that-all-of-the-keys-have:"
      for (let n = 0; n < 64; n++) await storeRow(`${prefix}${n}`, { value: { B: text("v") } })
      const { next } = await backend.scan(prefix, { limit: 32 })
      expect(next?.length).toBeLessThan(150)
    })

    test("an aborted signal ends the queries under way", async () => {
      proxy.inject({ kind: "black-hole", times: 16 })
      const before = proxy.requests
      const controller = new AbortController()
      const page = backend.scan("", { limit: 100, signal: controller.signal })
      await until(() => proxy.requests > before)
      controller.abort(new Error("enough"))
      await expect(page).rejects.toThrow("enough")
      await settle()
      expect(proxy.requests - before).toBeLessThan(16)
    })
  })
})
