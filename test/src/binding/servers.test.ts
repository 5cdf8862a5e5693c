import { afterEach, describe, expect, test, vi } from "vitest"
import { type Kv, KvError, type KvOptions, kv } from "../../../src/index.ts"
import { azuriteConnectionString, startAzurite } from "../../servers/azurite.ts"
import { localTables, startDynamodbLocal } from "../../servers/dynamodb.ts"
import { startRedisServer } from "../../servers/redis.ts"
import { requireServer } from "../../servers/require-server.ts"
import { freePort } from "../../servers/server.ts"
import { GrpcFailure, grpcServer } from "../../support/grpc-server.ts"

/** The error of a store with a wrong binding: its code, and a message that says what to do. */

/** No key, value or credential may be in a message; these are what the tests use. */
const SECRETS = ["personal-key", "personal value", "s3cret"]

async function failureOf(backend: string, call?: (store: Kv) => unknown, options: KvOptions = {}) {
  const store = await kv("store", { backend, ...options }).catch(asKvError)
  if (store instanceof KvError) return store
  try {
    await (call ?? ((open: Kv) => open.get("personal-key")))(store)
  } catch (error) {
    return asKvError(error)
  } finally {
    await store.close()
  }
  throw new Error("the call was answered")
}

function asKvError(error: unknown): KvError {
  if (error instanceof KvError) return error
  throw error
}

/** `expected` is matched against the code and the message, which shows both where it does not match. */
function expectFailure(error: KvError, expected: RegExp): void {
  const shown = `${error.code}: ${error.message}`
  expect(shown).toMatch(expected)
  for (const secret of SECRETS) expect(shown).not.toContain(secret)
}

const onLoopback = (port: number, path = "") => encodeURIComponent(`http://127.0.0.1:${port}${path}`)
const write = (store: Kv) => store.set("personal-key", "personal value")

const nobody = await freePort()
/** Waits for a first connection for five seconds; meanwhile the servers of the other tests start. */
const redisUnreachable = failureOf(`redis://:s3cret@127.0.0.1:${nobody}`)
redisUnreachable.catch(() => {})

afterEach(() => vi.unstubAllEnvs())

await requireServer("dynamodb", startDynamodbLocal, (server) => {
  const credentials = (id: string | undefined, key: string | undefined) => {
    vi.stubEnv("AWS_ACCESS_KEY_ID", id).stubEnv("AWS_SECRET_ACCESS_KEY", key)
    vi.stubEnv("AWS_EC2_METADATA_DISABLED", "true").stubEnv("HOME", "/nonexistent")
  }
  const url = (table: string, port = server.port) =>
    `dynamodb://eu-central-1/${table}?endpoint=${onLoopback(port)}`

  test("a table that is not there is never an absent key", async () => {
    credentials("local", "s3cret")
    const missing = /^STORE_NOT_FOUND: there is no table nowhere .*provision it, or check the region/
    for (const call of [undefined, write, (store: Kv) => store.scan("").next()]) {
      expectFailure(await failureOf(url("nowhere"), call), missing)
    }
  })

  test("a table with other keys is BINDING_INVALID", async () => {
    credentials("local", "s3cret")
    const tables = localTables(server)
    const table = await tables.create({
      AttributeDefinitions: [{ AttributeName: "id", AttributeType: "S" }],
      KeySchema: [{ AttributeName: "id", KeyType: "HASH" }],
    })
    tables.client.destroy()
    const wrong = /^BINDING_INVALID: .* needs the partition key pk and the sort key sk/
    for (const call of [undefined, write]) expectFailure(await failureOf(url(table), call), wrong)
  })

  test("wrong credentials, and missing ones, are ACCESS_DENIED", async () => {
    credentials("wrong!", "s3cret")
    expectFailure(await failureOf(url("table")), /^ACCESS_DENIED: .*check the credentials/)
    credentials(undefined, undefined)
    expectFailure(await failureOf(url("table")), /^ACCESS_DENIED: .*set AWS_ACCESS_KEY_ID and/)
  })

  test("an endpoint where nothing listens is UNAVAILABLE, a malformed one BINDING_INVALID", async () => {
    credentials("local", "s3cret")
    const refused = /^UNAVAILABLE: .*\(ECONNREFUSED\); check the region, the endpoint and the network/
    for (const call of [undefined, write]) expectFailure(await failureOf(url("table", nobody), call), refused)
    const none = "dynamodb://eu-central-1/table?endpoint=localhost"
    expectFailure(await failureOf(none), /^BINDING_INVALID: .*give one as http:\/\//)
  })
})

describe("firestore", () => {
  const url = (endpoint: string) => `firestore://some-project/(default)/rows?endpoint=${endpoint}`

  // The emulator has every database and asks for no credentials, so these are the statuses of the service, over gRPC.
  test.each([
    ["a database that is not there", 5, /^STORE_NOT_FOUND: .*create the database in native mode/],
    ["too few permissions", 7, /^ACCESS_DENIED: .*grant them roles\/datastore\.user/],
    ["credentials that are refused", 16, /^ACCESS_DENIED: .*renew or correct them/],
    ["a database in Datastore mode", 9, /^BINDING_INVALID: .*native mode/],
  ])("%s is an error that says what to do", async (_, status, expected) => {
    const fail = () => {
      throw new GrpcFailure(status, "injected")
    }
    await using server = await grpcServer("Firestore", {
      batchGetDocuments: fail,
      commit: fail,
      runQuery: fail,
    })
    for (const call of [undefined, write, (store: Kv) => store.scan("").next()]) {
      expectFailure(await failureOf(url(server.endpoint), call), expected)
    }
  })

  test("an endpoint where nothing listens is UNAVAILABLE, a malformed one BINDING_INVALID", async () => {
    for (const call of [undefined, write]) {
      expectFailure(await failureOf(url(`127.0.0.1:${nobody}`), call), /^UNAVAILABLE: .*Firestore/)
    }
    expectFailure(await failureOf(url(onLoopback(nobody, "/v1"))), /^BINDING_INVALID: .*host:port/)
  })

  test("missing credentials are ACCESS_DENIED", async () => {
    vi.stubEnv("METADATA_SERVER_DETECTION", "none").stubEnv("FIRESTORE_EMULATOR_HOST", undefined)
    vi.stubEnv("HOME", "/nonexistent").stubEnv("GOOGLE_APPLICATION_CREDENTIALS", undefined)
    const error = await failureOf("firestore://some-project/(default)/rows")
    expectFailure(error, /^ACCESS_DENIED: .*set GOOGLE_APPLICATION_CREDENTIALS/)
  })
})

await requireServer("azure-tables", startAzurite, (server) => {
  const url = (table: string, port = server.port) =>
    `azure-tables://devstoreaccount1/${table}?endpoint=${onLoopback(port, "/devstoreaccount1")}`

  test("a table that is not there is never an absent key", async () => {
    const missing = /^STORE_NOT_FOUND: .*TableNotFound.*create the table, or check both names/
    for (const call of [undefined, write, (store: Kv) => store.scan("").next()]) {
      expectFailure(await failureOf(url("nowhere"), call), missing)
    }
  })

  test("a wrong key is ACCESS_DENIED, a malformed connection string BINDING_INVALID", async () => {
    const wrongKey = Buffer.from("s3cret").toString("base64")
    const connectionString = azuriteConnectionString(server.port).replace(
      /AccountKey=[^;]*/,
      `AccountKey=${wrongKey}`,
    )
    vi.stubEnv("AZURE_STORAGE_CONNECTION_STRING", connectionString)
    expectFailure(
      await failureOf(url("table")),
      /^ACCESS_DENIED: .*403.*check the key, or give the identity the role/,
    )
    vi.stubEnv("AZURE_STORAGE_CONNECTION_STRING", "s3cret")
    expectFailure(await failureOf(url("table")), /^BINDING_INVALID: .*has to hold AccountName and AccountKey/)
  })

  test("an endpoint where nothing listens is UNAVAILABLE; one without TLS, and an illegal table name, are BINDING_INVALID", async () => {
    for (const call of [undefined, write]) {
      expectFailure(
        await failureOf(url("table", nobody), call),
        /^UNAVAILABLE: .*Azure Tables \(ECONNREFUSED\)/,
      )
    }
    const plain = `azure-tables://contoso/table?endpoint=${encodeURIComponent("http://contoso.example")}`
    expectFailure(await failureOf(plain), /^BINDING_INVALID: .*has to be https/)
    expectFailure(await failureOf(url("a-table")), /^BINDING_INVALID: .*3 to 63 letters and digits/)
  })
})

const startLockedRedis = () => startRedisServer(["--requirepass", "s3cret"])
await requireServer("redis", startLockedRedis, (server) => {
  const address = `127.0.0.1:${server.port}`
  test.each([
    ["no password", "", "", /^ACCESS_DENIED: .*put it in the URL, redis:\/\/USER:PASSWORD@HOST/],
    ["a wrong password", ":wrong@", "", /^ACCESS_DENIED: .*refused the user name or the password/],
    ["a wrong user", "bob:s3cret@", "", /^ACCESS_DENIED: .*refused the user name or the password/],
    ["a database that is not there", ":s3cret@", "/99", /^STORE_NOT_FOUND: .*no database of this number/],
    ["a cluster that is none", ":s3cret@", "?cluster", /^BINDING_INVALID: .*leave \?cluster out/],
  ])("%s is an error that says what to do", async (_, login, rest, expected) => {
    expectFailure(await failureOf(`redis://${login}${address}${rest}`), expected)
  })

  test("a host where nothing listens is UNAVAILABLE", async () => {
    expectFailure(await redisUnreachable, /^UNAVAILABLE: .*\(ECONNREFUSED\); nothing was sent/)
  })
})
