import { createRequire } from "node:module"
import { DynamoDBClient } from "@aws-sdk/client-dynamodb"
import { beforeEach, describe, expect, test, vi } from "vitest"
import type { Backend } from "../../../tiers/backend.ts"
import { dynamodb } from "../../../tiers/dynamodb/backend.ts"
import { toKvError } from "../../../tiers/dynamodb/errors.ts"
import { KvError, type KvErrorCode } from "../../../tiers/errors.ts"
import { systemRuntime } from "../../../tiers/runtime.ts"
import { RequestTimedOut } from "../../../tiers/util/limited-request.ts"
import { awsError, localSettings } from "../../servers/dynamodb.ts"
import { httpResponse } from "../../servers/fault-proxy.ts"
import { requireServer } from "../../servers/require-server.ts"
import { freePort } from "../../servers/server.ts"
import { startProxiedDynamodb } from "../../support/dynamodb-fixture.ts"
import { codeOf } from "../../support/failures.ts"
import { wasWrittenBy } from "../../support/heads.ts"
import { type TestRuntime, testRuntime, until } from "../../support/runtime.ts"

const bytes = Uint8Array.of(1, 2, 3)
const { id: newId } = systemRuntime

const LIMIT_MS = 700
/** Number of connections of a client of the SDK. */
const CONNECTIONS = 50

/** An answer whose body stops in the middle. */
const STOPS_IN_THE_BODY =
  "HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: 1000\r\n\r\n{"

describe("what the SDK throws without an answer", () => {
  const error = (name: string, properties: object = {}) =>
    Object.assign(new Error("of the SDK"), { name }, properties)
  const refused = error("Error", { code: "ECONNREFUSED", syscall: "connect" })
  const lost = error("Error", { code: "ECONNRESET", syscall: "read" })

  test.each<[what: string, error: unknown, read: KvErrorCode, write: KvErrorCode]>([
    [
      "a host without an address",
      error("Error", { code: "ENOTFOUND", syscall: "getaddrinfo" }),
      "UNAVAILABLE",
      "UNAVAILABLE",
    ],
    ["a refused connection", refused, "UNAVAILABLE", "UNAVAILABLE"],
    ["every address refused", new AggregateError([refused, refused]), "UNAVAILABLE", "UNAVAILABLE"],
    ["some address lost", new AggregateError([refused, lost]), "UNAVAILABLE", "OUTCOME_UNKNOWN"],
    ["a reset", lost, "UNAVAILABLE", "OUTCOME_UNKNOWN"],
    [
      "a host unreachable midway",
      error("Error", { code: "EHOSTUNREACH", syscall: "read" }),
      "UNAVAILABLE",
      "OUTCOME_UNKNOWN",
    ],
    ["a timeout", error("TimeoutError", { code: "ETIMEDOUT" }), "TIMEOUT", "OUTCOME_UNKNOWN"],
    [
      "a connection that takes too long",
      error("TimeoutError", {
        message: "@smithy: the request socket did not establish a connection with the server",
      }),
      "UNAVAILABLE",
      "UNAVAILABLE",
    ],
    [
      "a connection that takes too long, of older versions",
      error("TimeoutError", { message: "Socket timed out without establishing a connection within 2000 ms" }),
      "UNAVAILABLE",
      "UNAVAILABLE",
    ],
    ["the end of its time", new RequestTimedOut(10), "TIMEOUT", "OUTCOME_UNKNOWN"],
    ["the end of its time before it was sent", new RequestTimedOut(0), "TIMEOUT", "UNAVAILABLE"],
    ["no credentials", error("CredentialsProviderError"), "ACCESS_DENIED", "ACCESS_DENIED"],
    [
      "a metadata endpoint that does not answer",
      error("ProviderError", { message: "TimeoutError from instance metadata service" }),
      "UNAVAILABLE",
      "UNAVAILABLE",
    ],
    [
      "a metadata endpoint that is overloaded",
      error("CredentialsProviderError", { statusCode: 503 }),
      "UNAVAILABLE",
      "UNAVAILABLE",
    ],
    [
      "a metadata endpoint that denies",
      error("ProviderError", { statusCode: 401 }),
      "ACCESS_DENIED",
      "ACCESS_DENIED",
    ],
    ["something else", "a string", "UNAVAILABLE", "OUTCOME_UNKNOWN"],
  ])("%s", (_, cause, read, write) => {
    const call = { operation: "any", table: "t", key: "k" }
    for (const [effect, code] of [
      ["read", read],
      ["write", write],
    ] as const) {
      const mapped = toKvError(cause, { ...call, effect })
      expect(mapped).toMatchObject({ code, cause, key: "k", backend: "dynamodb", operation: "any" })
      expect(mapped.message).not.toContain("of the SDK")
    }
  })
})

await requireServer("dynamodb", startProxiedDynamodb, (server) => {
  const { proxy, tables, table, backend } = server
  beforeEach(() => proxy.clear())

  let keys = 0
  async function storedKey(): Promise<{ key: string; version: string }> {
    const key = `key:${++keys}`
    const { version = "" } = await backend.put(key, { value: bytes, id: newId() })
    return { key, version }
  }

  describe("DynamoDB's errors, over the wire", () => {
    test.each<[name: string, status: number, read: KvErrorCode, write: KvErrorCode]>([
      ["ProvisionedThroughputExceededException", 400, "THROTTLED", "THROTTLED"],
      ["ThrottlingException", 400, "THROTTLED", "THROTTLED"],
      ["RequestLimitExceeded", 400, "THROTTLED", "THROTTLED"],
      ["AnythingAtAll", 429, "THROTTLED", "THROTTLED"],
      ["AccessDeniedException", 400, "ACCESS_DENIED", "ACCESS_DENIED"],
      ["UnrecognizedClientException", 400, "ACCESS_DENIED", "ACCESS_DENIED"],
      ["InvalidSignatureException", 400, "ACCESS_DENIED", "ACCESS_DENIED"],
      ["ExpiredTokenException", 400, "ACCESS_DENIED", "ACCESS_DENIED"],
      ["MissingAuthenticationTokenException", 400, "ACCESS_DENIED", "ACCESS_DENIED"],
      ["AnythingAtAll", 403, "ACCESS_DENIED", "ACCESS_DENIED"],
      ["ResourceNotFoundException", 400, "STORE_NOT_FOUND", "STORE_NOT_FOUND"],
      ["ValidationException", 400, "BINDING_INVALID", "BINDING_INVALID"],
      ["TransactionConflictException", 400, "UNAVAILABLE", "UNAVAILABLE"],
      ["ReplicatedWriteConflictException", 400, "UNAVAILABLE", "UNAVAILABLE"],
      ["AnythingAtAll", 400, "UNAVAILABLE", "UNAVAILABLE"],
      ["AnythingAtAll", 408, "UNAVAILABLE", "OUTCOME_UNKNOWN"],
      ["InternalServerError", 500, "UNAVAILABLE", "OUTCOME_UNKNOWN"],
      ["ServiceUnavailable", 503, "UNAVAILABLE", "OUTCOME_UNKNOWN"],
    ])("%s (%i): %s for a read, %s for a write", async (name, status, read, write) => {
      const { key, version } = await storedKey()
      const id = newId()
      const calls: [call: () => unknown, code: KvErrorCode][] = [
        [() => backend.get(key), read],
        [() => backend.getMany([key]), read],
        [() => backend.exists(key), read],
        [() => wasWrittenBy(backend, key, id), read],
        [() => backend.scan("", { limit: 1 }), read],
        [() => backend.put(key, { value: bytes, id }), write],
        [() => backend.put(key, { value: bytes, id, condition: { absent: true } }), write],
        [() => backend.put(key, { value: bytes, id, condition: { version } }), write],
        [() => backend.delete(key, { id }), write],
        [() => backend.delete(key, { id, condition: { version } }), write],
      ]
      const message = `the key is ${key}`
      const rule = proxy.inject({
        kind: "respond",
        response: awsError(name, { status, message }),
        times: Number.POSITIVE_INFINITY,
      })
      for (const [call, code] of calls) {
        const error: unknown = await Promise.resolve(call()).catch((thrown) => thrown)
        expect(error).toMatchObject({ code, backend: "dynamodb", cause: expect.objectContaining({ name }) })
        expect(error instanceof KvError && error.message).not.toContain(key)
      }
      const batch = new Map([[key, { value: bytes, id }]])
      expect((await backend.putMany(batch)).get(key)).toMatchObject({ code: write, key })
      expect((await backend.deleteMany(batch)).get(key)).toMatchObject({ code: write, key })
      // A scan sends its query again after a retryable error.
      const retries = read === "THROTTLED" || read === "UNAVAILABLE" ? 4 : 0
      expect(rule.hits).toBe(calls.length + 2 + retries)
    })

    test("an answer of another server is an outage of a read, a doubt of a write", async () => {
      const { key } = await storedKey()
      const garbage = httpResponse(200, { "content-type": "text/html" }, "<html>welcome to this hotel</html>")
      proxy.inject({ kind: "respond", response: garbage, times: 2 })
      expect(await codeOf(() => backend.get(key))).toBe("UNAVAILABLE")
      expect(await codeOf(() => backend.put(key, { value: bytes, id: newId() }))).toBe("OUTCOME_UNKNOWN")
    })

    test("a clock that is wrong is UNAVAILABLE once the SDK knows by how much", async () => {
      const inAnHour = new Date(Date.now() + 3_600_000).toUTCString()
      const body = JSON.stringify({ __type: "x#InvalidSignatureException", message: "Signature expired" })
      const response = httpResponse(
        400,
        { "content-type": "application/x-amz-json-1.0", date: inAnHour },
        body,
      )
      const skewed = dynamodb({ ...localSettings(proxy.port), region: "eu-west-1" }, { table })
      await skewed.open()
      proxy.inject({ kind: "respond", response })
      expect(await codeOf(() => skewed.get("key"))).toBe("UNAVAILABLE")
      await skewed.close()
    })
  })

  // Earlier releases do not pass `forceRefresh` on to a source of the caller, so that nothing is renewed.
  describe.runIf(minorOfSdk() >= 840)("temporary credentials", () => {
    let asked = 0
    let fails = false
    /** As a metadata endpoint gives them: new ones, each time that it is asked. */
    const source = async () => {
      if (fails) throw Object.assign(new Error("of the SDK"), { name: "CredentialsProviderError" })
      return {
        accessKeyId: `KEY${++asked}`,
        secretAccessKey: "secret",
        expiration: new Date(Date.now() + 3_600_000),
      }
    }
    const using = async (credentials: object, use: (backend: Backend) => Promise<void>) => {
      const client = new DynamoDBClient({ ...localSettings(proxy.port), ...credentials })
      const backend = dynamodb(client, { table })
      await backend.open()
      await use(backend)
      await backend.close()
      client.destroy()
    }
    const expired = (times = 1) =>
      proxy.inject({ kind: "respond", response: awsError("ExpiredTokenException"), times })

    test("that AWS calls expired are renewed, and the call may be tried again; fixed ones are ACCESS_DENIED", async () => {
      await using({ credentials: source }, async (backend) => {
        expired(2)
        const calls = [backend.get("key"), backend.put("key", { value: bytes, id: newId() })]
        for (const call of calls) {
          await expect(Promise.resolve(call)).rejects.toMatchObject({ code: "UNAVAILABLE", retryable: true })
        }
        const signatures: string[] = []
        proxy.observe((request) => signatures.push(/Credential=(\w+)/.exec(request.toString())?.[1] ?? ""))
        expect(await codeOf(() => backend.get("key"))).toBe("answered")
        expect(signatures).toEqual([`KEY${asked}`])
        expect(asked).toBeGreaterThan(1)
      })
      await using({}, async (backend) => {
        expired()
        expect(await codeOf(() => backend.get("key"))).toBe("ACCESS_DENIED")
      })
    })

    test("that cannot be renewed are UNAVAILABLE, where there were some before", async () => {
      await using({ credentials: source }, async (backend) => {
        fails = true
        expect(await codeOf(() => backend.get("key"))).toBe("ACCESS_DENIED")
        fails = false
        expect(await codeOf(() => backend.get("key"))).toBe("answered")
        fails = true
        expired()
        expect(await codeOf(() => backend.get("key"))).toBe("UNAVAILABLE")
      })
    })
  })

  describe("a service that is not there", () => {
    test("a refused connection is UNAVAILABLE, also for a write, which was not sent", async () => {
      const nobody = dynamodb(localSettings(await freePort()), { table })
      await nobody.open()
      expect(await codeOf(() => nobody.get("key"))).toBe("UNAVAILABLE")
      expect(await codeOf(() => nobody.put("key", { value: bytes, id: newId() }))).toBe("UNAVAILABLE")
      await nobody.close()
    })
  })

  describe.each([
    ["a client made here", () => localSettings(proxy.port)],
    ["a client that was passed in", () => new DynamoDBClient(localSettings(proxy.port))],
  ])("a service that does not answer, with %s", (_, target) => {
    let runtime: TestRuntime
    let waiting: Backend
    beforeEach(async () => {
      runtime = testRuntime()
      const client = target()
      waiting = dynamodb(client, { table, runtime, requestTimeoutMs: LIMIT_MS })
      await waiting.open()
      return async () => {
        await waiting.close()
        if (client instanceof DynamoDBClient) client.destroy()
      }
    })

    test("a request ends at its limit: TIMEOUT for a read, OUTCOME_UNKNOWN for a write", async () => {
      const hole = proxy.inject({ kind: "black-hole", times: 3 })
      const ended = vi.fn()
      const codes = [
        codeOf(() => waiting.get("key")),
        codeOf(() => waiting.put("key", { value: bytes, id: newId() })),
        codeOf(() => waiting.delete("key", { id: newId(), condition: { version: "v" } })),
      ].map((code) => code.finally(ended))
      await until(() => hole.hits === 3)
      await runtime.advance(LIMIT_MS - 1)
      expect(ended).not.toHaveBeenCalled()
      await runtime.advance(1)
      expect(await Promise.all(codes)).toEqual(["TIMEOUT", "OUTCOME_UNKNOWN", "OUTCOME_UNKNOWN"])
    })

    test("an answer whose body stops ends at the limit, and its connection is free again", async () => {
      const stops = proxy.inject({ kind: "respond", response: STOPS_IN_THE_BODY, times: CONNECTIONS })
      const reads = Array.from({ length: CONNECTIONS }, () => codeOf(() => waiting.get("key")))
      await until(() => stops.hits === CONNECTIONS)
      await runtime.advance(LIMIT_MS)
      expect(new Set(await Promise.all(reads))).toEqual(new Set(["TIMEOUT"]))
      expect(await codeOf(() => waiting.get("key"))).toBe("answered")

      const stop = proxy.inject({ kind: "respond", response: STOPS_IN_THE_BODY })
      const write = codeOf(() => waiting.put("key", { value: bytes, id: newId() }))
      await until(() => stop.hits === 1)
      await runtime.advance(LIMIT_MS)
      expect(await write).toBe("OUTCOME_UNKNOWN")
    })
  })

  test("a request does not wait for a connection behind a hundred that get no answer", async () => {
    const runtime = testRuntime()
    const waiting = dynamodb(localSettings(proxy.port), { table, runtime })
    await waiting.open()
    const hole = proxy.inject({ kind: "black-hole", times: 100 })
    const reads = Array.from({ length: 100 }, () => codeOf(() => waiting.get("key")))
    await until(() => hole.hits === 100)
    expect(await codeOf(() => waiting.put("key", { value: bytes, id: newId() }))).toBe("answered")
    await runtime.advance(3_000)
    expect(new Set(await Promise.all(reads))).toEqual(new Set(["TIMEOUT"]))
    await waiting.close()
  })

  describe("a table", () => {
    test("that is not there is STORE_NOT_FOUND", async () => {
      const missing = dynamodb(localSettings(server.port), { table: "missing" })
      await missing.open()
      for (const call of [
        () => missing.get("key"),
        () => missing.getMany(["key"]),
        () => missing.exists("key"),
        () => missing.put("key", { value: bytes, id: newId() }),
        () => missing.delete("key", { id: newId() }),
        () => missing.scan("", { limit: 1 }),
      ]) {
        expect(await codeOf(call)).toBe("STORE_NOT_FOUND")
      }
      await missing.close()
    })

    test("that has other keys is BINDING_INVALID", async () => {
      const other = await tables.create({
        AttributeDefinitions: [{ AttributeName: "id", AttributeType: "S" }],
        KeySchema: [{ AttributeName: "id", KeyType: "HASH" }],
      })
      const wrong = dynamodb(localSettings(server.port), { table: other })
      await wrong.open()
      for (const call of [
        () => wrong.get("key"),
        () => wrong.getMany(["key"]),
        () => wrong.put("key", { value: bytes, id: newId() }),
        () => wrong.put("key", { value: bytes, id: newId(), condition: { absent: true } }),
        () => wrong.delete("key", { id: newId() }),
        () => wrong.scan("", { limit: 1 }),
      ]) {
        await expect((async () => call())()).rejects.toMatchObject({
          code: "BINDING_INVALID",
          message: expect.stringMatching(/partition key pk.*sort key sk/),
        })
      }
      await wrong.close()
    })
  })
})

function minorOfSdk(): number {
  const require = createRequire(import.meta.url)
  const { version }: { version: string } = require("@aws-sdk/client-dynamodb/package.json")
  return Number(version.split(".")[1])
}
