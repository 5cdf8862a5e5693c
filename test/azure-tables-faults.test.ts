import { inspect } from "node:util"
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest"
import { azureTables } from "../tiers/azure-tables.ts"
import type { Backend, StoredEntry } from "../tiers/backend.ts"
import { bucketOf } from "../tiers/bucket.ts"
import type { KvError } from "../tiers/errors.ts"
import { systemRuntime } from "../tiers/runtime.ts"
import { testRuntime } from "./runtime.ts"
import { azuriteConnectionString, newTable, startAzurite } from "./servers/azurite.ts"
import { type FaultProxy, faultProxy, httpResponse } from "./servers/fault-proxy.ts"
import { freePort, requireServer } from "./servers/server.ts"

const VALUE = new TextEncoder().encode("a secret value")
const ENCODED = Buffer.from(VALUE).toString("base64")
const newId = systemRuntime.id

await requireServer("azure-tables", startAzurite, (server) => {
  let proxy: FaultProxy
  let table: string
  /** Behind the proxy. */
  let backend: Backend
  /** Straight to the server. */
  let direct: Backend
  let keys = 0
  let key: string

  beforeAll(async () => {
    proxy = await faultProxy(server.port, "http1")
    table = (await newTable(server)).tableName
    direct = azureTables({ connectionString: server.connectionString }, { table })
    backend = azureTables({ connectionString: azuriteConnectionString(proxy.port) }, { table })
    await Promise.all([direct.open(), backend.open()])
  })
  beforeEach(() => {
    proxy.clear()
    key = `key:${++keys}`
  })
  afterAll(async () => {
    await Promise.all([direct.close(), backend.close()])
    await proxy.close()
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
      expect(await backend.carries(key, create.id)).toBe(true)
      const { version } = await present()
      expect(await backend.put(key, create)).toEqual({ applied: true, version })
      expect((await present()).version).toBe(version)
      expect(await backend.put(key, { ...create, id: newId() })).toEqual({ applied: false })
    })

    test("a create over an expired row, too", async () => {
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
      expect(await backend.carries(key, swap.id)).toBe(true)
      const { version } = await present()
      expect(await backend.put(key, swap)).toEqual({ applied: true, version })
      expect(await backend.put(key, { ...swap, id: newId() })).toEqual({ applied: false })
    })

    test("a conditional delete is in doubt, can be asked for, and is applied when sent again", async () => {
      const removal = { id: newId(), condition: { version: (await live()).version } }
      proxy.inject({ kind: "drop-reply", when: (request) => request.toString().startsWith("PUT") })
      await expect(backend.delete(key, removal)).rejects.toMatchObject({ code: "OUTCOME_UNKNOWN", key })
      expect(await backend.carries(key, removal.id)).toBe(true)
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
      expect(await backend.carries(key, put.id)).toBe(true)
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
        expect(await backend.carries(key, id)).toBe(true)
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

    test("one that the server never got is in doubt as well, and not carried", async () => {
      const put = write()
      proxy.inject({ kind: "reset" })
      await expect(backend.put(key, put)).rejects.toMatchObject({ code: "OUTCOME_UNKNOWN" })
      expect(await backend.carries(key, put.id)).toBe(false)
    })

    test("a read whose reply is lost is no miss, and can be tried again", async () => {
      await live()
      for (const read of [
        () => backend.get(key),
        () => backend.exists(key),
        () => backend.carries(key, ""),
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
        { table, runtime, timeoutMs: 700 },
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
        await vi.waitUntil(() => hole.hits === 1)
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
        { table, runtime, timeoutMs: 700 },
      )
      await impatient.open()
      const late = proxy.inject({ kind: "late" })
      const answer = impatient.put(key, put)
      answer.catch(() => {})
      await vi.waitUntil(() => late.hits === 1)
      await runtime.advance(700)
      await expect(answer).rejects.toMatchObject({ code: "OUTCOME_UNKNOWN" })
      expect(await impatient.carries(key, put.id)).toBe(false)
      await late.release()
      expect(await impatient.carries(key, put.id)).toBe(true)
      await impatient.close()
    })

    test("an aborted scan rejects with the signal's reason", async () => {
      const hole = proxy.inject({ kind: "black-hole" })
      const controller = new AbortController()
      const page = Promise.resolve(backend.scan("", { limit: 1, signal: controller.signal }))
      page.catch(() => {})
      await vi.waitUntil(() => hole.hits === 1)
      const reason = new Error("enough")
      controller.abort(reason)
      await expect(page).rejects.toBe(reason)
    })
  })

  describe("what the service answers", () => {
    const answers: [status: number, code: string, read: string, write: string][] = [
      [503, "ServerBusy", "THROTTLED", "THROTTLED"],
      [429, "TooManyRequests", "THROTTLED", "THROTTLED"],
      [500, "OperationTimedOut", "THROTTLED", "OUTCOME_UNKNOWN"],
      [500, "InternalError", "UNAVAILABLE", "OUTCOME_UNKNOWN"],
      [503, "", "UNAVAILABLE", "OUTCOME_UNKNOWN"],
      [502, "", "UNAVAILABLE", "OUTCOME_UNKNOWN"],
      [403, "AuthenticationFailed", "ACCESS_DENIED", "ACCESS_DENIED"],
      [403, "AuthorizationPermissionMismatch", "ACCESS_DENIED", "ACCESS_DENIED"],
      [403, "AccountIsDisabled", "ACCESS_DENIED", "ACCESS_DENIED"],
      [401, "", "ACCESS_DENIED", "ACCESS_DENIED"],
      [404, "TableNotFound", "STORE_NOT_FOUND", "STORE_NOT_FOUND"],
      [409, "TableBeingDeleted", "STORE_NOT_FOUND", "STORE_NOT_FOUND"],
      [400, "InvalidInput", "BINDING_INVALID", "BINDING_INVALID"],
    ]
    test.each(answers)("%i %s: a read %s, a write %s", async (status, code, read, written) => {
      const json = JSON.stringify({ "odata.error": { code, message: { lang: "en-US", value: "No." } } })
      const type = { "content-type": "application/json;odata=minimalmetadata" }
      const response = httpResponse(status, type, code === "" ? "" : json)
      const answer = proxy.inject({ kind: "respond", response, times: 4 })
      await expect(Promise.resolve(backend.get(key))).rejects.toMatchObject({ code: read, key })
      await expect(backend.put(key, write())).rejects.toMatchObject({ code: written, key })
      await expect(backend.delete(key, { id: newId() })).rejects.toMatchObject({ code: written, key })
      await expect(
        backend.put(key, { ...write(), condition: { absent: true } as const }),
      ).rejects.toMatchObject({ code: written, key })
      expect(answer.hits).toBe(4)
      expect(await direct.get(key)).toBeUndefined()
    })

    test("a property that a row does not have, and was asked for, is null", async () => {
      const etag = `W/"datetime'2021-06-09T01%3A17%3A34.17015Z'"`
      const row = { "odata.etag": etag, RowKey: key, Value: ENCODED, ExpiresAt: null, Version: null }
      const type = { "content-type": "application/json;odata=minimalmetadata" }
      const answers = (body: object) =>
        proxy.inject({ kind: "respond", response: httpResponse(200, type, JSON.stringify(body)) })
      const entry = { value: VALUE, version: "2021-06-09T01:17:34.17015/" }
      answers(row)
      expect(await backend.get(key)).toEqual(entry)
      answers(row)
      expect(await backend.exists(key)).toBe(true)
      answers(row)
      expect(await backend.carries(key, "")).toBe(false)
      answers({ value: [row] })
      expect((await backend.scan(key, { limit: 1 })).entries).toEqual([{ key, ...entry }])
    })

    test("a throttled transaction was not applied to any of its keys", async () => {
      const [first = "", second = ""] = keysOfOnePartition(2)
      const error = `{"odata.error":{"code":"ServerBusy","message":{"lang":"en-US","value":"0:The server is busy."}}}`
      const body = [
        "--batchresponse_1\r\nContent-Type: multipart/mixed; boundary=changesetresponse_2\r\n",
        "--changesetresponse_2\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n",
        `HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n\r\n${error}`,
        "--changesetresponse_2--\r\n--batchresponse_1--\r\n",
      ].join("\r\n")
      const type = { "content-type": "multipart/mixed; boundary=batchresponse_1" }
      const writes = new Map([first, second].map((key) => [key, write()]))
      for (const response of [
        httpResponse(202, type, body),
        httpResponse(503, { "content-type": "application/xml", "x-ms-error-code": "ServerBusy" }, ""),
      ]) {
        proxy.inject({ kind: "respond", response })
        for (const [key, result] of await backend.putMany(writes)) {
          expect(result).toMatchObject({ code: "THROTTLED", key })
        }
      }
      expect(await direct.exists(first)).toBe(false)
    })

    test("a 404 of anything but the table service is no absent key", async () => {
      await live()
      const bodies = {
        "text/html": "<h1>Not found</h1>",
        "application/json": `{"error":{"code":"ResourceNotFound","message":"No such account."}}`,
        "application/xml":
          "<?xml version='1.0'?><Error><Code>ResourceNotFound</Code><Message>No.</Message></Error>",
      }
      for (const [type, body] of Object.entries(bodies)) {
        const response = httpResponse(404, { "content-type": type }, body)
        proxy.inject({ kind: "respond", response, times: 3 })
        await expect(Promise.resolve(backend.get(key))).rejects.toMatchObject({ code: "STORE_NOT_FOUND" })
        await expect(Promise.resolve(backend.exists(key))).rejects.toMatchObject({ code: "STORE_NOT_FOUND" })
        await expect(backend.delete(key, { id: newId() })).rejects.toMatchObject({ code: "STORE_NOT_FOUND" })
      }
      proxy.inject({
        kind: "respond",
        response: httpResponse(200, { "content-type": "text/html" }, "Welcome"),
      })
      await expect(Promise.resolve(backend.get(key))).rejects.toMatchObject({ backend: "azure-tables" })
    })

    test("every call on a table that is not there is STORE_NOT_FOUND", async () => {
      const nowhere = azureTables({ connectionString: server.connectionString }, { table: "nosuchtable" })
      await nowhere.open()
      await expectEveryCall(nowhere, "STORE_NOT_FOUND")
      await nowhere.close()
    })

    test("every call on an account that is not there is STORE_NOT_FOUND", async () => {
      const connectionString = server.connectionString.replaceAll("devstoreaccount1", "nosuchaccount")
      const nowhere = azureTables({ connectionString }, { table })
      await nowhere.open()
      await expectEveryCall(nowhere, "STORE_NOT_FOUND")
      await nowhere.close()
    })

    test("every call with a wrong key is ACCESS_DENIED", async () => {
      const connectionString = server.connectionString.replace(/AccountKey=..../, "AccountKey=AAAA")
      const stranger = azureTables({ connectionString }, { table })
      await stranger.open()
      await expectEveryCall(stranger, "ACCESS_DENIED")
      await stranger.close()
    })

    test("every call to a port that nothing listens on is UNAVAILABLE, writes too", async () => {
      const connectionString = azuriteConnectionString(await freePort())
      const gone = azureTables({ connectionString }, { table })
      await gone.open()
      await expectEveryCall(gone, "UNAVAILABLE")
      await gone.close()
    })

    test("every call to a host that does not resolve is UNAVAILABLE, writes too", async () => {
      const connectionString = server.connectionString
        .replace("=http;", "=https;")
        .replace("http://127.0.0.1", "https://no-such-account.invalid")
      const gone = azureTables({ connectionString }, { table })
      await gone.open()
      await expectEveryCall(gone, "UNAVAILABLE")
      await gone.close()
    })

    test("every call before open and after close is CLOSED", async () => {
      const closed = azureTables({ connectionString: server.connectionString }, { table })
      await expectEveryCall(closed, "CLOSED")
      await closed.open()
      await closed.close()
      await closed.close()
      await expectEveryCall(closed, "CLOSED")
    })

    test("an error has its cause, and neither of them tells a value, a credential or, in a message, a key", async () => {
      await live()
      const cut = httpResponse(200, { "content-type": "application/json" }, `{"Value":"${ENCODED}`)
      const calls = [
        () => Promise.resolve(backend.get(key)),
        () => backend.put(key, write()),
        async () => (await backend.putMany(new Map([[key, write()]]))).get(key),
      ]
      for (const fault of [{ kind: "reset" }, { kind: "respond", response: cut }] as const) {
        for (const call of fault.kind === "reset" ? calls : calls.slice(0, 1)) {
          proxy.inject(fault)
          const error = await call().catch((error: unknown) => error)
          expect(error).toMatchObject({ name: "KvError", key, cause: { name: "RestError" } })
          const text = inspect(error, { depth: 20, showHidden: true, getters: true })
          for (const secret of [ENCODED, "SharedKey", "Eby8vdM02"]) expect(text).not.toContain(secret)
          expect(String(error)).not.toContain(key)
        }
      }
    })
  })

  async function expectEveryCall(backend: Backend, code: KvError["code"]): Promise<void> {
    const [other = "", another = ""] = keysOfOnePartition(2)
    const failed = expect.objectContaining({ code, backend: "azure-tables" })
    const calls = [
      () => backend.get(key),
      () => backend.exists(key),
      () => backend.carries(key, newId()),
      () => backend.put(key, write()),
      () => backend.put(key, { ...write(), condition: { absent: true } }),
      () => backend.put(key, { ...write(), condition: { version: "v" } }),
      () => backend.delete(key, { id: newId() }),
      () => backend.delete(key, { id: newId(), condition: { version: "v" } }),
      () => backend.scan("", { limit: 10 }),
    ]
    for (const call of calls) {
      const outcome = await Promise.resolve(call()).catch((error: unknown) => error)
      expect(outcome, `${call}`).toEqual(failed)
    }
    const keys = [key, other, another]
    const writes = new Map(keys.map((key) => [key, write()]))
    for (const results of [
      await backend.getMany(keys),
      await backend.putMany(writes),
      await backend.deleteMany(writes),
    ]) {
      expect([...results.keys()].sort()).toEqual([...keys].sort())
      for (const result of results.values()) expect(result).toEqual(failed)
    }
  }
})

/** New keys that lie in one partition, so that they travel in one transaction. */
function keysOfOnePartition(count: number): string[] {
  const found: string[] = []
  while (found.length < count) {
    const key = newId()
    if (bucketOf(key) === 3) found.push(key)
  }
  return found
}
