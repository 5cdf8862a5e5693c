import { inspect } from "node:util"
import { beforeEach, expect, test } from "vitest"
import { azureTables } from "../../../tiers/azure-tables/backend.ts"
import type { Backend } from "../../../tiers/backend.ts"
import type { KvError } from "../../../tiers/errors.ts"
import { systemRuntime } from "../../../tiers/runtime.ts"
import { azuriteConnectionString } from "../../servers/azurite.ts"
import { httpResponse } from "../../servers/fault-proxy.ts"
import { requireServer } from "../../servers/require-server.ts"
import { keysOfOnePartition, startProxiedAzurite } from "../../support/azure-tables-fixture.ts"
import { wasWrittenBy } from "../../support/heads.ts"

const VALUE = new TextEncoder().encode("a secret value")
const ENCODED = Buffer.from(VALUE).toString("base64")
const newId = systemRuntime.id

await requireServer(
  "azure-tables",
  startProxiedAzurite,
  ({ proxy, backend, direct, table, connectionString }) => {
    let key: string
    beforeEach(() => {
      proxy.clear()
      key = `key:${newId()}`
    })
    const write = () => ({ id: newId(), value: VALUE })

    const answers: [status: number, code: string, read: string, write: string][] = [
      [503, "ServerBusy", "THROTTLED", "THROTTLED"],
      [429, "TooManyRequests", "THROTTLED", "THROTTLED"],
      [500, "OperationTimedOut", "THROTTLED", "OUTCOME_UNKNOWN"],
      [500, "InternalError", "UNAVAILABLE", "OUTCOME_UNKNOWN"],
      [503, "", "UNAVAILABLE", "OUTCOME_UNKNOWN"],
      [502, "", "UNAVAILABLE", "OUTCOME_UNKNOWN"],
      [408, "", "UNAVAILABLE", "OUTCOME_UNKNOWN"],
      [403, "AuthenticationFailed", "ACCESS_DENIED", "ACCESS_DENIED"],
      [403, "AuthorizationPermissionMismatch", "ACCESS_DENIED", "ACCESS_DENIED"],
      [403, "AccountIsDisabled", "ACCESS_DENIED", "ACCESS_DENIED"],
      [401, "", "ACCESS_DENIED", "ACCESS_DENIED"],
      [404, "TableNotFound", "STORE_NOT_FOUND", "STORE_NOT_FOUND"],
      [409, "TableBeingDeleted", "STORE_NOT_FOUND", "STORE_NOT_FOUND"],
      [400, "InvalidInput", "BINDING_INVALID", "BINDING_INVALID"],
    ]
    test.each(answers)(
      "the answer %i %s is %s to a read and %s to a write",
      async (status, code, read, written) => {
        const json = JSON.stringify({ "odata.error": { code, message: { lang: "en-US", value: "No." } } })
        const type = { "content-type": "application/json;odata=minimalmetadata" }
        const response = httpResponse(status, type, code === "" ? "" : json)
        const answer = proxy.inject({ kind: "respond", response, times: 6 })
        await expect(Promise.resolve(backend.get(key))).rejects.toMatchObject({ code: read, key })
        await expect(backend.put(key, write())).rejects.toMatchObject({ code: written, key })
        await expect(backend.delete(key, { id: newId() })).rejects.toMatchObject({ code: written, key })
        await expect(
          backend.put(key, { ...write(), condition: { absent: true } as const }),
        ).rejects.toMatchObject({ code: written, key })
        const batch = new Map(keysOfOnePartition(2).map((key) => [key, write()]))
        for (const results of [await backend.putMany(batch), await backend.deleteMany(batch)]) {
          expect([...results.keys()]).toEqual([...batch.keys()])
          for (const [key, result] of results) expect(result).toMatchObject({ code: written, key })
        }
        expect(answer.hits).toBe(6)
        expect(await direct.get(key)).toBeUndefined()
      },
    )

    test.each([
      ["retry-after: 2", { "retry-after": "2" }, 2_000],
      ["x-ms-retry-after-ms: 300", { "x-ms-retry-after-ms": "300", "retry-after": "9" }, 300],
      [
        "a retry-after with a date",
        { "retry-after": "Tue, 24 Nov 2026 10:00:05 GMT", date: "Tue, 24 Nov 2026 10:00:01 GMT" },
        4_000,
      ],
      ["no such header", {}, undefined],
      ["a retry-after that is no time", { "retry-after": "soon" }, undefined],
    ])(
      "a throttled call says when the service wants to be asked again: %s",
      async (_, headers, retryAfterMs) => {
        const type = { "content-type": "application/json;odata=minimalmetadata" }
        const json = JSON.stringify({ "odata.error": { code: "ServerBusy", message: { value: "No." } } })
        const response = httpResponse(503, { ...type, ...headers }, json)
        proxy.inject({ kind: "respond", response, times: 2 })
        for (const call of [() => backend.get(key), () => backend.put(key, write())]) {
          const error = await Promise.resolve(call()).catch((error: unknown) => error)
          expect(error).toMatchObject({ code: "THROTTLED" })
          expect(Reflect.get(Object(error), "retryAfterMs")).toBe(retryAfterMs)
        }
      },
    )

    test("an access token that had expired when it arrived is UNAVAILABLE", async () => {
      const type = { "content-type": "application/json;odata=minimalmetadata" }
      const value =
        "Server failed to authenticate the request. Lifetime validation failed. The token is expired."
      const json = JSON.stringify({
        "odata.error": { code: "InvalidAuthenticationInfo", message: { value } },
      })
      proxy.inject({ kind: "respond", response: httpResponse(401, type, json), times: 2 })
      await expect(Promise.resolve(backend.get(key))).rejects.toMatchObject({ code: "UNAVAILABLE" })
      await expect(backend.put(key, write())).rejects.toMatchObject({ code: "UNAVAILABLE" })
    })

    test("the service answers null for a property that was asked for and that the row does not have", async () => {
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
      expect(await wasWrittenBy(backend, key, "")).toBe(false)
      answers({ value: [row] })
      expect((await backend.scan(key, { limit: 1 })).entries).toEqual([{ key, ...entry }])
    })

    test.each([
      ["503 ServerBusy", "THROTTLED"],
      ["500 OperationTimedOut", "OUTCOME_UNKNOWN"],
      ["500 InternalError", "OUTCOME_UNKNOWN"],
    ])("the answer %s within a transaction is %s for each of its keys", async (answer, expected) => {
      const [status, code] = answer.split(" ")
      const error = `{"odata.error":{"code":"${code}","message":{"lang":"en-US","value":"0:No."}}}`
      const body = [
        "--batchresponse_1\r\nContent-Type: multipart/mixed; boundary=changesetresponse_2\r\n",
        "--changesetresponse_2\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n",
        `HTTP/1.1 ${status} No\r\nContent-Type: application/json\r\n\r\n${error}`,
        "--changesetresponse_2--\r\n--batchresponse_1--\r\n",
      ].join("\r\n")
      const writes = new Map(keysOfOnePartition(2).map((key) => [key, write()]))
      for (const response of [
        httpResponse(202, { "content-type": "multipart/mixed; boundary=batchresponse_1" }, body),
        httpResponse(Number(status), { "content-type": "application/xml", "x-ms-error-code": `${code}` }, ""),
      ]) {
        proxy.inject({ kind: "respond", response })
        const results = await backend.putMany(writes)
        expect([...results.keys()]).toEqual([...writes.keys()])
        for (const [key, result] of results) expect(result).toMatchObject({ code: expected, key })
      }
    })

    test("a 404 of anything but the table service is no absent key", async () => {
      await direct.put(key, write())
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

    test.each([
      ["on a table that is not there", "STORE_NOT_FOUND", connectionString, "nosuchtable"],
      [
        "on an account that is not there",
        "STORE_NOT_FOUND",
        connectionString.replaceAll("devstoreaccount1", "nosuchaccount"),
        table,
      ],
      [
        "with a wrong key",
        "ACCESS_DENIED",
        connectionString.replace(/AccountKey=..../, "AccountKey=AAAA"),
        table,
      ],
      ["to a port that nothing listens on", "UNAVAILABLE", azuriteConnectionString(1), table],
      [
        "to a host that does not resolve",
        "UNAVAILABLE",
        connectionString.replace("http://127.0.0.1", "https://no-such-account.invalid"),
        table,
      ],
    ] as const)("every call %s is %s, writes too", async (_, code, connectionString, table) => {
      const elsewhere = azureTables({ connectionString }, { table })
      await elsewhere.open()
      await expectEveryCall(elsewhere, code)
      await elsewhere.close()
    })

    test("every call before open and after close is CLOSED", async () => {
      const closed = azureTables({ connectionString: connectionString }, { table })
      await expectEveryCall(closed, "CLOSED")
      await closed.open()
      await closed.close()
      await closed.close()
      await expectEveryCall(closed, "CLOSED")
    })

    test("an error has its cause, and neither of them tells a value, a credential or, in a message, a key", async () => {
      await direct.put(key, write())
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

    async function expectEveryCall(backend: Backend, code: KvError["code"]): Promise<void> {
      const [other = "", another = ""] = keysOfOnePartition(2)
      const failed = expect.objectContaining({ code, backend: "azure-tables" })
      const calls = [
        () => backend.get(key),
        () => backend.exists(key),
        () => wasWrittenBy(backend, key, newId()),
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
  },
)
