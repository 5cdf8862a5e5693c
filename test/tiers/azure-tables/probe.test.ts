import { TableClient } from "@azure/data-tables"
import { beforeEach, describe, expect, test } from "vitest"
import { azureTables } from "../../../tiers/azure-tables/backend.ts"
import { partitionOf } from "../../../tiers/azure-tables/row.ts"
import type { Backend } from "../../../tiers/backend.ts"
import { KvError } from "../../../tiers/errors.ts"
import { systemRuntime } from "../../../tiers/runtime.ts"
import { azuriteConnectionString } from "../../servers/azurite.ts"
import { httpResponse } from "../../servers/fault-proxy.ts"
import { requireServer } from "../../servers/require-server.ts"
import { keysOfOnePartition, startProxiedAzurite } from "../../support/azure-tables-fixture.ts"
import { codeOf } from "../../support/failures.ts"
import { expectEndAtLimit, LIMITED, limitedCalls } from "../../support/request-limit.ts"
import { type TestRuntime, testRuntime, until } from "../../support/runtime.ts"

const value = new TextEncoder().encode("v")
const newId = systemRuntime.id

await requireServer("azure-tables", startProxiedAzurite, ({ proxy, direct, table }) => {
  let runtime: TestRuntime
  let backend: Backend
  beforeEach(async () => {
    proxy.clear()
    runtime = testRuntime()
    const settings = { connectionString: azuriteConnectionString(proxy.port) }
    backend = azureTables(settings, { table, runtime, sweepIntervalMs: 0 })
    await backend.open()
    return () => backend.close()
  })

  describe("a probe", () => {
    test("gives the rows without their values, live or expired, with the times of their ETags", async () => {
      const [live = "", expired = "", removed = "", absent = ""] = keysOfOnePartition(4)
      const ids = [newId(), newId(), newId()]
      await direct.put(live, { value, id: ids[0] ?? "" })
      await direct.put(expired, { value, id: ids[1] ?? "", expiresAt: runtime.now() - 1 })
      const { version = "" } = await direct.put(removed, { value, id: newId() })
      await direct.delete(removed, { id: ids[2] ?? "", condition: { version } })
      const sent: string[] = []
      proxy.observe((request) => sent.push(request.toString("latin1")))
      const heads = await backend.probe([live, expired, removed, absent])
      expect(sent).toHaveLength(1)
      expect(sent[0]).toMatch(/^GET [^ ]*select=RowKey%2CExpiresAt%2CVersion&/)
      expect([...heads.keys()].sort()).toEqual([live, expired, removed].sort())
      for (const [key, id, isLive] of [
        [live, ids[0], true],
        [expired, ids[1], false],
        [removed, ids[2], false],
      ] as const) {
        const head = heads.get(key)
        if (head === undefined || head instanceof KvError) throw new Error("there is no head")
        expect(head).toMatchObject({ id, live: isLive, version: expect.stringContaining(`/${id}`) })
        expect(head.writtenAt?.earliest).toBe(Date.parse(`${head.version.split("/")[0]}Z`))
        expect(head.writtenAt?.latest).toBe(head.writtenAt?.earliest)
        expect(head.writtenAt?.clock).toBe(backend.serviceTime?.(key)?.clock)
      }
    })

    test("of many keys is a query for each 14 of a partition, and stops at the first that fails", async () => {
      const keys = keysOfOnePartition(50)
      await direct.putMany(new Map(keys.map((key) => [key, { value, id: newId() }])))
      const before = proxy.requests
      expect((await backend.probe(keys)).size).toBe(50)
      expect(proxy.requests - before).toBe(4)

      const failing = proxy.inject({ kind: "respond", response: httpResponse(500, {}, ""), times: 10 })
      await expect(backend.probe(keys)).rejects.toMatchObject({ code: "UNAVAILABLE", operation: "probe" })
      expect(failing.hits).toBe(1)
    })

    test("maps a row that cannot be decoded to its error", async () => {
      const [good = "", bad = ""] = keysOfOnePartition(2)
      await direct.put(good, { value, id: newId() })
      const client = TableClient.fromConnectionString(azuriteConnectionString(proxy.port), table, {
        allowInsecureConnection: true,
      })
      await client.upsertEntity({ partitionKey: partitionOf(bad), rowKey: bad, ExpiresAt: "soon" })
      const heads = await backend.probe([good, bad])
      expect(heads.get(good)).toMatchObject({ live: true })
      expect(heads.get(bad)).toMatchObject({ code: "CORRUPT_ENTRY", key: bad })
    })
  })

  const [key = ""] = keysOfOnePartition(1)
  const pair = keysOfOnePartition(2)
  const writes = () => new Map(pair.map((key) => [key, { value, id: newId() }]))

  describe("the time of the service", () => {
    const learning: Record<string, () => unknown> = {
      "a read": () => backend.get(key),
      "a write": () => backend.put(key, { value, id: newId() }),
      "a transaction": () => backend.putMany(writes()),
      "a page": () => backend.scan("", { limit: 1 }),
    }
    test.each(Object.entries(learning))("is known after %s", async (_, call) => {
      expect(backend.serviceTime?.(key)).toBeUndefined()
      const before = Date.now()
      await call()
      const time = backend.serviceTime?.(key)
      expect(time?.earliest).toBeLessThanOrEqual(Date.now())
      expect(time?.latest).toBeGreaterThanOrEqual(before)
    })
  })

  describe("the limit of a request", () => {
    const request = LIMITED
    test.each(limitedCalls(() => ({ backend, key })))(
      "ends %s, whatever the limit of the backend",
      (name, call) => expectEndAtLimit(proxy, runtime, name, call),
    )

    test("covers the requests of one call together", async () => {
      const { version = "" } = await direct.put(key, { value, id: newId() })
      const isWrite = (request: Buffer) => request.toString("latin1").startsWith("PUT ")
      // The read takes all but the last millisecond.
      proxy.observe((request) => void (isWrite(request) || runtime.advance(499)))
      const hole = proxy.inject({ kind: "black-hole", when: isWrite })
      const code = codeOf(backend.put(key, { value, id: newId(), condition: { version } }, request))
      await until(() => hole.hits === 1)
      await runtime.advance(1)
      expect(await code).toBe("OUTCOME_UNKNOWN")
    })

    test("covers all the transactions of a batch", async () => {
      const keys = Array.from({ length: 40 }, () => newId())
      expect(new Set(keys.map(partitionOf)).size, "more partitions than requests at once").toBeGreaterThan(8)
      const hole = proxy.inject({ kind: "black-hole", times: Number.POSITIVE_INFINITY })
      const results = backend.putMany(new Map(keys.map((key) => [key, { value, id: newId() }])), request)
      await until(() => hole.hits === 8)
      await runtime.advance(500)
      const codes = new Map<string, number>()
      for (const result of (await results).values()) {
        const code = result instanceof KvError ? result.code : "applied"
        codes.set(code, (codes.get(code) ?? 0) + 1)
      }
      expect(hole.hits, "nothing was sent after the limit").toBe(8)
      expect([...codes.keys()].sort()).toEqual(["OUTCOME_UNKNOWN", "UNAVAILABLE"])
    })
  })
})
