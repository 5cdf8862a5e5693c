import { TableClient } from "@azure/data-tables"
import { beforeEach, describe, expect, test, vi } from "vitest"
import { azureTables } from "../../../tiers/azure-tables/backend.ts"
import { partitionOf } from "../../../tiers/azure-tables/row.ts"
import type { StoredEntry } from "../../../tiers/backend.ts"
import { systemRuntime } from "../../../tiers/runtime.ts"
import { azuriteConnectionString } from "../../servers/azurite.ts"
import { httpResponse } from "../../servers/fault-proxy.ts"
import { requireServer } from "../../servers/require-server.ts"
import { keysOfOnePartition, startProxiedAzurite } from "../../support/azure-tables-fixture.ts"
import { wasWrittenBy } from "../../support/heads.ts"
import { testRuntime, until } from "../../support/runtime.ts"

const VALUE = new TextEncoder().encode("a secret value")
const newId = systemRuntime.id

await requireServer("azure-tables", startProxiedAzurite, ({ proxy, backend, direct, table }) => {
  let key: string
  beforeEach(() => {
    proxy.clear()
    key = `key:${newId()}`
  })

  const write = (id = newId()) => ({ id, value: VALUE })
  const live = async (): Promise<StoredEntry> => {
    await direct.put(key, write())
    return present()
  }
  const present = async (): Promise<StoredEntry> => {
    const entry = await direct.get(key)
    if (entry === undefined) throw new Error("the key should be there")
    return entry
  }

  describe("a write whose reply is lost", () => {
    test("a create is in doubt, can be asked for, and is applied when sent again", async () => {
      const create = { ...write(), condition: { absent: true } } as const
      const lost = proxy.inject({ kind: "drop-reply" })
      await expect(backend.put(key, create)).rejects.toMatchObject({ code: "OUTCOME_UNKNOWN", key })
      expect(lost.hits).toBe(1)
      expect(await wasWrittenBy(backend, key, create.id)).toBe(true)
      const { version } = await present()
      expect(await backend.put(key, create)).toEqual({ applied: true, version })
      expect((await present()).version).toBe(version)
      expect(await backend.put(key, { ...create, id: newId() })).toEqual({ applied: false })
    })

    test("a create over an expired row is in doubt, and is applied when sent again", async () => {
      await direct.put(key, { ...write(), expiresAt: Date.now() - 1 })
      const create = { ...write(), condition: { absent: true } } as const
      proxy.inject({ kind: "drop-reply", when: (request) => request.toString().startsWith("PUT") })
      await expect(backend.put(key, create)).rejects.toMatchObject({ code: "OUTCOME_UNKNOWN" })
      expect(await backend.put(key, create)).toMatchObject({ applied: true })
    })

    test("a compare-and-set is in doubt, can be asked for, and is applied when sent again", async () => {
      const swap = { ...write(), condition: { version: (await live()).version } }
      proxy.inject({ kind: "drop-reply", when: (request) => request.toString().startsWith("PUT") })
      await expect(backend.put(key, swap)).rejects.toMatchObject({ code: "OUTCOME_UNKNOWN", key })
      expect(await wasWrittenBy(backend, key, swap.id)).toBe(true)
      const { version } = await present()
      expect(await backend.put(key, swap)).toEqual({ applied: true, version })
      expect(await backend.put(key, { ...swap, id: newId() })).toEqual({ applied: false })
    })

    test("a conditional delete is in doubt, can be asked for, and is applied when sent again", async () => {
      const removal = { id: newId(), condition: { version: (await live()).version } }
      proxy.inject({ kind: "drop-reply", when: (request) => request.toString().startsWith("PUT") })
      await expect(backend.delete(key, removal)).rejects.toMatchObject({ code: "OUTCOME_UNKNOWN", key })
      expect(await wasWrittenBy(backend, key, removal.id)).toBe(true)
      expect(await direct.get(key)).toBeUndefined()
      expect(await backend.delete(key, removal)).toEqual({ applied: true })
      expect(await backend.delete(key, { ...removal, id: newId() })).toEqual({ applied: false })
    })

    test("the read before a conditional write is only a read", async () => {
      const { version } = await live()
      proxy.inject({ kind: "drop-reply", times: 2, when: (request) => request.toString().startsWith("GET") })
      await expect(backend.put(key, { ...write(), condition: { version } })).rejects.toMatchObject({
        code: "UNAVAILABLE",
      })
      await expect(backend.delete(key, { id: newId(), condition: { version } })).rejects.toMatchObject({
        code: "UNAVAILABLE",
      })
      expect((await present()).version).toBe(version)
    })

    test("an unconditional put or delete is in doubt", async () => {
      const put = write()
      proxy.inject({ kind: "drop-reply" })
      await expect(backend.put(key, put)).rejects.toMatchObject({ code: "OUTCOME_UNKNOWN" })
      expect(await wasWrittenBy(backend, key, put.id)).toBe(true)
      proxy.inject({ kind: "drop-reply" })
      await expect(backend.delete(key, { id: newId() })).rejects.toMatchObject({ code: "OUTCOME_UNKNOWN" })
      expect(await direct.get(key)).toBeUndefined()
    })

    test("a transaction is in doubt for each of its keys", async () => {
      const [first = "", second = ""] = keysOfOnePartition(2)
      const writes = new Map([
        [first, write()],
        [second, write()],
      ])
      proxy.inject({ kind: "drop-reply" })
      const results = await backend.putMany(writes)
      for (const [key, { id }] of writes) {
        expect(results.get(key)).toMatchObject({ code: "OUTCOME_UNKNOWN", key })
        expect(await wasWrittenBy(backend, key, id)).toBe(true)
      }
      expect(await backend.putMany(writes)).toEqual(
        new Map([...writes.keys()].map((key) => [key, { applied: true, version: expect.any(String) }])),
      )
      proxy.inject({ kind: "drop-reply" })
      const removed = await backend.deleteMany(
        new Map([...writes.keys()].map((key) => [key, { id: newId() }])),
      )
      expect([...removed.values()]).toEqual([first, second].map((key) => expect.objectContaining({ key })))
      expect(await direct.get(first)).toBeUndefined()
    })

    test("is sent once, even over a client of the caller's that retries", async () => {
      const connectionString = azuriteConnectionString(proxy.port)
      const retrying = TableClient.fromConnectionString(connectionString, table, {
        allowInsecureConnection: true,
      })
      const borrowed = azureTables(retrying, { table })
      await borrowed.open()
      for (const [fault, code] of [
        [{ kind: "drop-reply" }, "OUTCOME_UNKNOWN"],
        [{ kind: "respond", response: httpResponse(429, {}, "") }, "THROTTLED"],
      ] as const) {
        const { requests } = proxy
        proxy.inject(fault)
        await expect(borrowed.put(key, write())).rejects.toMatchObject({ code })
        expect(proxy.requests).toBe(requests + 1)
      }
      await borrowed.put(key, write())
      await borrowed.close()
      expect(await retrying.getEntity(partitionOf(key), key)).toMatchObject({ rowKey: key })
    })

    test("a write that the server never got is in doubt, and the row is not written by it", async () => {
      const put = write()
      proxy.inject({ kind: "reset" })
      await expect(backend.put(key, put)).rejects.toMatchObject({ code: "OUTCOME_UNKNOWN" })
      expect(await wasWrittenBy(backend, key, put.id)).toBe(false)
    })

    test("a read whose reply is lost is no miss, and can be tried again", async () => {
      await live()
      for (const read of [
        () => backend.get(key),
        () => backend.exists(key),
        () => wasWrittenBy(backend, key, ""),
      ]) {
        proxy.inject({ kind: "drop-reply" })
        await expect(Promise.resolve(read())).rejects.toMatchObject({ code: "UNAVAILABLE", retryable: true })
      }
      expect(await backend.exists(key)).toBe(true)
    })
  })

  describe("a server that does not answer", () => {
    test("a call ends at its deadline: TIMEOUT for a read, OUTCOME_UNKNOWN for a write", async () => {
      const runtime = testRuntime()
      const { port } = proxy
      const impatient = azureTables(
        { connectionString: azuriteConnectionString(port) },
        { table, runtime, requestTimeoutMs: 700 },
      )
      await impatient.open()
      for (const [call, code] of [
        [() => impatient.get(key), "TIMEOUT"],
        [() => impatient.scan("", { limit: 1 }), "TIMEOUT"],
        [() => impatient.put(key, write()), "OUTCOME_UNKNOWN"],
        [() => impatient.delete(key, { id: newId() }), "OUTCOME_UNKNOWN"],
      ] as const) {
        const hole = proxy.inject({ kind: "black-hole" })
        const ended = vi.fn()
        const answer = Promise.resolve(call()).then(ended, ended)
        await until(() => hole.hits === 1)
        await runtime.advance(699)
        expect(ended).not.toHaveBeenCalled()
        await runtime.advance(1)
        await answer
        expect(ended).toHaveBeenCalledWith(expect.objectContaining({ code }))
      }
      await impatient.close()
    })

    test("a write that lands after its deadline is found by its id", async () => {
      const put = write()
      const runtime = testRuntime()
      const impatient = azureTables(
        { connectionString: azuriteConnectionString(proxy.port) },
        { table, runtime, requestTimeoutMs: 700 },
      )
      await impatient.open()
      const late = proxy.inject({ kind: "late" })
      const answer = impatient.put(key, put)
      answer.catch(() => {})
      await until(() => late.hits === 1)
      await runtime.advance(700)
      await expect(answer).rejects.toMatchObject({ code: "OUTCOME_UNKNOWN" })
      expect(await wasWrittenBy(impatient, key, put.id)).toBe(false)
      await late.release()
      expect(await wasWrittenBy(impatient, key, put.id)).toBe(true)
      await impatient.close()
    })

    test("an aborted scan rejects with the signal's reason", async () => {
      const hole = proxy.inject({ kind: "black-hole" })
      const controller = new AbortController()
      const page = Promise.resolve(backend.scan("", { limit: 1, signal: controller.signal }))
      page.catch(() => {})
      await until(() => hole.hits === 1)
      const reason = new Error("enough")
      controller.abort(reason)
      await expect(page).rejects.toBe(reason)
    })
  })
})
