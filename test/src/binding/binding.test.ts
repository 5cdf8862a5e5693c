import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import fc from "fast-check"
import { afterEach, describe, expect, test, vi } from "vitest"
import { parseUrl, resolveBinding } from "../../../src/binding/binding.ts"
import { backendOf } from "../../../src/binding/open-backend.ts"
import { KvError, kv } from "../../../src/index.ts"
import { memory } from "../../../tiers/memory.ts"
import { systemRuntime } from "../../../tiers/runtime.ts"

const PASSWORD = "p4ssw0rd-SECRET"

function errorOf(call: () => unknown): KvError {
  try {
    call()
  } catch (error) {
    if (error instanceof KvError) return error
    throw error
  }
  return expect.unreachable("nothing was thrown")
}

describe("URLs", () => {
  test.each([
    ["memory:", { service: "memory" }],
    ["lmdb:data/store", { service: "lmdb", path: "data/store" }],
    ["lmdb:./with space?and#more", { service: "lmdb", path: "./with space?and#more" }],
    ["lmdb:/var/lib/store", { service: "lmdb", path: "/var/lib/store" }],
    ["lmdb:///var/lib/store", { service: "lmdb", path: "/var/lib/store" }],
    ["dynamodb://eu-west-1/sessions", { service: "dynamodb", region: "eu-west-1", table: "sessions" }],
    [
      "dynamodb://local/sessions?endpoint=http://localhost:8000",
      { service: "dynamodb", region: "local", table: "sessions", endpoint: "http://localhost:8000" },
    ],
    [
      "firestore://my-project/(default)/sessions",
      { service: "firestore", project: "my-project", database: "(default)", collection: "sessions" },
    ],
    [
      "firestore://my-project/%28default%29/s?endpoint=localhost:8080",
      {
        service: "firestore",
        project: "my-project",
        database: "(default)",
        collection: "s",
        endpoint: "localhost:8080",
      },
    ],
    ["azure-tables://account/Sessions", { service: "azure-tables", account: "account", table: "Sessions" }],
    [
      "azure-tables://devstoreaccount1/t?endpoint=http%3A%2F%2F127.0.0.1%3A10002%2Fdevstoreaccount1",
      {
        service: "azure-tables",
        account: "devstoreaccount1",
        table: "t",
        endpoint: "http://127.0.0.1:10002/devstoreaccount1",
      },
    ],
    ["redis://localhost", { service: "redis", url: "redis://localhost" }],
    ["rediss://user:pw@host:6380/2", { service: "redis", url: "rediss://user:pw@host:6380/2" }],
    ["redis://h?prefix=app:&cluster", { service: "redis", url: "redis://h?prefix=app:&cluster" }],
    ["redis://h1:7000,h2:7001", { service: "redis", url: "redis://h1:7000,h2:7001" }],
  ])("%s", (url, binding) => {
    expect(parseUrl(url)).toEqual(binding)
  })

  test.each([
    ["", /is none of dynamodb:\/\/REGION\/TABLE, firestore.*azure-tables.*redis.*lmdb:PATH or memory:/],
    ["sessions", /is none of/],
    ["http://localhost", /is none of/],
    ["dynamo://eu-west-1/t", /is none of/],
    ["memory://x", /is none of/],
    ["constructor://a/b", /is none of/],
    ["lmdb:", /lmdb:PATH/],
    ["lmdb://relative/path", /lmdb:PATH/],
    ["dynamodb:eu-west-1/t", /of the form dynamodb:\/\/REGION\/TABLE/],
    ["dynamodb://eu-west-1", /of the form dynamodb:\/\/REGION\/TABLE/],
    ["dynamodb:///t", /of the form/],
    ["dynamodb://eu-west-1/", /of the form/],
    ["dynamodb://eu-west-1/a/b", /of the form/],
    ["dynamodb://eu west/t", /well-formed|of the form/],
    ["dynamodb://eu-west-1/%zz", /% that is not followed by two hexadecimal digits/],
    ["dynamodb://eu-west-1/t?region=x", /unknown parameter "region"; known are endpoint/],
    ["dynamodb://eu-west-1/t#x", /fragment/],
    ["firestore://project/collection", /of the form firestore:\/\/PROJECT\/DATABASE\/COLLECTION/],
    ["azure-tables://account", /of the form azure-tables:\/\/ACCOUNT\/TABLE/],
    ["redis:", /redis:\/\//],
    ["redis:localhost:6379", /redis:\/\//],
    ["redis://", /redis:\/\//],
    ["redis://host:0", /HOST:PORT/],
    ["redis://host/zero", /number/],
    ["redis://host?database=1", /unknown parameter "database"; allowed are cluster and prefix/],
  ])("%s is BINDING_INVALID", (url, message) => {
    const error = errorOf(() => parseUrl(url))
    expect(error).toMatchObject({ code: "BINDING_INVALID", retryable: false, operation: "open" })
    expect(error.message).toMatch(/^The backend URL /)
    expect(error.message).toMatch(message)
  })

  test.each([
    `dynamodb://key:${PASSWORD}@eu-west-1/t`,
    `azure-tables://account:${PASSWORD}@t`,
    `azure-tables://a/t?SharedAccessSignature=${PASSWORD}`,
    `firestore://${PASSWORD}@p/d`,
    `redis://user:${PASSWORD}@:0/x`,
    `redis://user:${PASSWORD}@host:port`,
    `redis://user:${PASSWORD}%@host`,
    `rediss://user:${PASSWORD}@host/abc`,
    `${PASSWORD}://host`,
    `http://user:${PASSWORD}@host`,
    PASSWORD,
  ])("no message holds a credential: %s", (url) => {
    expect(errorOf(() => parseUrl(url)).message).not.toContain(PASSWORD)
    const json = JSON.stringify({ service: "redis", connectionUrl: url.replace(/^rediss?:/, "tcp:") })
    const environment = { KV_A_URL: url, ALIEN_B_BINDING: json, ALIEN_C_BINDING: `{"connectionUrl":"${url}"` }
    for (const name of ["a", "b", "c"]) {
      const error = errorOf(() => resolveBinding(name, environment))
      expect(`${error.message} ${String(error.cause)}`).not.toContain(PASSWORD)
    }
  })

  test("anything else is BINDING_INVALID, too, and never another error", () => {
    const scheme = fc.constantFrom(
      "dynamodb",
      "firestore",
      "azure-tables",
      "redis",
      "rediss",
      "lmdb",
      "memory",
      "x",
    )
    const url = fc.tuple(scheme, fc.constantFrom(":", "://"), fc.string({ maxLength: 30, unit: "grapheme" }))
    fc.assert(
      fc.property(url, (parts) => {
        try {
          expect(parseUrl(parts.join(""))).toHaveProperty("service")
        } catch (error) {
          expect(error).toMatchObject({ code: "BINDING_INVALID" })
        }
      }),
      { numRuns: 1_000 },
    )
  })
})

describe("the environment", () => {
  const redis = '{"service":"redis","connectionUrl":"redis://from-binding"}'

  test("KV_<NAME>_URL comes before ALIEN_<NAME>_BINDING, and both before the default", () => {
    const both = { KV_CACHE_URL: "redis://from-url", ALIEN_CACHE_BINDING: redis }
    expect(resolveBinding("cache", both)).toEqual({ service: "redis", url: "redis://from-url" })
    expect(resolveBinding("cache", { ALIEN_CACHE_BINDING: redis })).toMatchObject({
      url: "redis://from-binding",
    })
    expect(resolveBinding("cache", {})).toEqual({ service: "lmdb", path: join(".kv", "cache") })
    expect(resolveBinding("cache", { KV_CACHE_URL: "", ALIEN_CACHE_BINDING: "" })).toMatchObject({
      service: "lmdb",
    })
  })

  test("<NAME> is the name in upper case, with - as _", () => {
    const environment = { KV_USER_SESSIONS_2_URL: "memory:" }
    for (const name of ["user-sessions-2", "user_sessions_2", "User-Sessions_2"]) {
      expect(resolveBinding(name, environment)).toEqual({ service: "memory" })
    }
    expect(resolveBinding("user-sessions", environment)).toMatchObject({ service: "lmdb" })
  })

  test("in production a missing binding is an error that names both variables", () => {
    const error = errorOf(() =>
      resolveBinding("my-cache", { NODE_ENV: "production", KV_OTHER_URL: "memory:" }),
    )
    expect(error).toMatchObject({ code: "BINDING_NOT_CONFIGURED", operation: "open", retryable: false })
    expect(error.message).toContain("KV_MY_CACHE_URL")
    expect(error.message).toContain("ALIEN_MY_CACHE_BINDING")
    expect(resolveBinding("other", { NODE_ENV: "production", KV_OTHER_URL: "memory:" })).toBeDefined()
    expect(resolveBinding("a", { NODE_ENV: "development" })).toMatchObject({ service: "lmdb" })
  })

  test("a malformed variable breaks its own name alone, and the message names it", () => {
    const environment = { KV_A_URL: "nonsense", ALIEN_B_BINDING: "{", KV_C_URL: "memory:" }
    expect(errorOf(() => resolveBinding("a", environment)).message).toMatch(
      /^The environment variable KV_A_URL /,
    )
    expect(errorOf(() => resolveBinding("b", environment)).message).toMatch(
      /^The environment variable ALIEN_B_BINDING is not JSON/,
    )
    expect(resolveBinding("c", environment)).toEqual({ service: "memory" })
    expect(resolveBinding("d", environment)).toMatchObject({ service: "lmdb" })
  })
})

describe("ALIEN_<NAME>_BINDING", () => {
  const resolve = (binding: unknown) => resolveBinding("a", { ALIEN_A_BINDING: JSON.stringify(binding) })

  test.each([
    [
      { service: "dynamodb", tableName: "t" },
      { service: "dynamodb", table: "t" },
    ],
    [
      { service: "dynamodb", tableName: "t", region: "eu-west-1", endpointUrl: "http://localhost:8000" },
      { service: "dynamodb", table: "t", region: "eu-west-1", endpoint: "http://localhost:8000" },
    ],
    [
      { service: "dynamodb", tableName: "t", region: null, endpointUrl: null },
      { service: "dynamodb", table: "t" },
    ],
    [
      { service: "firestore", projectId: "p", databaseId: "(default)", collectionName: "c" },
      { service: "firestore", project: "p", database: "(default)", collection: "c" },
    ],
    [
      { service: "tablestorage", resourceGroupName: "g", accountName: "a", tableName: "t" },
      { service: "azure-tables", account: "a", table: "t" },
    ],
    [
      { service: "redis", connectionUrl: "rediss://:pw@host:6380", keyPrefix: "app:", database: 3 },
      { service: "redis", url: "rediss://:pw@host:6380", keyPrefix: "app:", database: 3 },
    ],
    [
      { service: "redis", connectionUrl: "redis://host", keyPrefix: null, database: null },
      { service: "redis", url: "redis://host" },
    ],
    [
      { service: "local-kv", dataDir: "/data" },
      { service: "lmdb", path: "/data" },
    ],
    [
      { service: "local-kv", dataDir: "d", keyPrefix: "a:" },
      { service: "lmdb", path: "d", keyPrefix: "a:" },
    ],
  ])("%j", (binding, resolved) => {
    expect(resolve(binding)).toEqual(resolved)
    expect(resolve({ ...binding, of: "a later release" })).toEqual(resolved)
  })

  test.each([
    ["text", /not a JSON object/],
    [["redis"], /not a JSON object/],
    [null, /not a JSON object/],
    [{}, /has no service; known are dynamodb, firestore, tablestorage, redis, local-kv/],
    [{ service: "mongodb" }, /unknown service; known are dynamodb/],
    [{ service: "toString" }, /unknown service/],
    [{ service: 5 }, /unknown service/],
    [{ service: "dynamodb" }, /lacks the field "tableName" of a dynamodb binding/],
    [{ service: "dynamodb", tableName: "" }, /in "tableName" a string of 0 characters; it is a text/],
    [{ service: "dynamodb", tableName: { ref: "x" } }, /in "tableName" an object/],
    [{ service: "dynamodb", tableName: "t", region: 5 }, /in "region" a number/],
    [{ service: "firestore", projectId: "p", databaseId: "d" }, /lacks the field "collectionName"/],
    [{ service: "tablestorage", accountName: "a", tableName: "t" }, /lacks the field "resourceGroupName"/],
    [
      { service: "tablestorage", resourceGroupName: 1, accountName: "a", tableName: "t" },
      /"resourceGroupName"/,
    ],
    [{ service: "redis" }, /lacks the field "connectionUrl"/],
    [{ service: "redis", connectionUrl: "http://host" }, /"connectionUrl" that is wrong/],
    [
      { service: "redis", connectionUrl: "redis://host", database: -1 },
      /"database".*whole number of at least 0/,
    ],
    [{ service: "redis", connectionUrl: "redis://host", database: "1" }, /"database" a string/],
    [{ service: "local-kv", dataDir: null }, /in "dataDir" null/],
  ])("%j is BINDING_INVALID", (binding, message) => {
    const error = errorOf(() => resolve(binding))
    expect(error).toMatchObject({ code: "BINDING_INVALID", operation: "open" })
    expect(error.message).toMatch(message)
    expect(error.message).toContain("ALIEN_A_BINDING")
  })
})

describe("every binding opens the backend of its kind", () => {
  test.each([
    ["memory:", "memory", "memory"],
    ["lmdb:some/where", "lmdb", "some/where"],
    ["redis://user:p4ssw0rd-SECRET@host:6380/2", "redis", "host:6380/2"],
    ["dynamodb://eu-west-1/sessions", "dynamodb", "sessions"],
    ["firestore://project/(default)/sessions", "firestore", "sessions"],
    ["azure-tables://account/sessions", "azure-tables", "sessions"],
  ])("%s", async (url, kind, target) => {
    const { traits } = await backendOf(parseUrl(url), systemRuntime, 5_000)
    expect(traits.kind).toBe(kind)
    expect(traits.target).toContain(target)
    expect(JSON.stringify(traits)).not.toContain(PASSWORD)
  })
})

describe("kv()", () => {
  afterEach(() => vi.unstubAllEnvs())

  test("two calls with one name and no options are handles over one store and one L1", async () => {
    vi.stubEnv("KV_SHARED_URL", "memory:")
    const [one, other] = await Promise.all([kv("shared"), kv("shared", {})])
    await one.set("a", "1")
    await one.get("a")
    expect(other.peekText("a")).toBe("1")
    await other.set("a", "2")
    expect(one.peek("a")).toBeUndefined()
    expect(await one.getText("a")).toBe("2")

    await one.close()
    await expect(one.get("a")).rejects.toMatchObject({ code: "CLOSED" })
    expect(() => one.peek("a")).toThrow(KvError)
    expect(await other.getText("a")).toBe("2")
    const third = await kv("shared")
    await other.close()
    await one.close()
    expect(await third.getText("a")).toBe("2")
    await third.close()

    const anew = await kv("shared")
    expect(await anew.get("a")).toBeUndefined()
    await anew.close()
  })

  test("another name, or options, make another store", async () => {
    vi.stubEnv("KV_SHARED_URL", "memory:")
    vi.stubEnv("KV_OTHER_URL", "memory:")
    const stores = await Promise.all([kv("shared"), kv("other"), kv("shared", { l1: false })])
    await stores[0].set("a", "1")
    expect(await stores[1].get("a")).toBeUndefined()
    expect(await stores[2].get("a")).toBeUndefined()
    await Promise.all(stores.map((store) => store.close()))
  })

  test("a store that is opened while its last handle closes waits for that", async () => {
    const folder = await mkdtemp(join(tmpdir(), "tiered-kv-binding-"))
    vi.stubEnv("KV_REOPENED_URL", `lmdb:${join(folder, "store")}`)
    try {
      const first = await kv("reopened")
      await first.set("a", "1")
      for (let round = 0; round < 5; round++) {
        const store = await kv("reopened")
        const opening = kv("reopened")
        const closing = Promise.all([first.close(), store.close()])
        const opened = await opening
        expect(await opened.getText("a")).toBe("1")
        await Promise.all([closing, opened.close()])
      }
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  })

  test("a store that failed to open is tried anew by the next call, by each of many", async () => {
    vi.stubEnv("KV_LATER_URL", "lmdb:/dev/null/not-a-directory")
    const attempts = await Promise.allSettled([kv("later"), kv("later")])
    expect(attempts.map(({ status }) => status)).toEqual(["rejected", "rejected"])
    for (const attempt of attempts) {
      if (attempt.status === "rejected") expect(attempt.reason).toBeInstanceOf(KvError)
    }
    vi.stubEnv("KV_LATER_URL", "memory:")
    const store = await kv("later")
    await store.set("a", "1")
    await store.close()
  })

  test("a backend that was passed in stays open on close; one of a URL is closed", async () => {
    let closed = 0
    const backend = { ...memory(), close: async () => void closed++ }
    const [one, other] = await Promise.all([kv("a", { backend }), kv("b", { backend })])
    await one.set("a", "1")
    await one.close()
    expect(await other.getText("a")).toBe("1")
    await other.close()
    expect(closed).toBe(0)
  })

  test("a name without a binding is an error in production, and LMDB elsewhere", async () => {
    vi.stubEnv("NODE_ENV", "production")
    await expect(kv("unbound")).rejects.toMatchObject({ code: "BINDING_NOT_CONFIGURED" })
    await expect(kv("unbound", { l1: false })).rejects.toMatchObject({ code: "BINDING_NOT_CONFIGURED" })
    const given = await kv("unbound", { backend: "memory:" })
    await given.close()

    vi.stubEnv("NODE_ENV", "test")
    const folder = await mkdtemp(join(tmpdir(), "tiered-kv-binding-"))
    vi.spyOn(process, "cwd").mockReturnValue(folder)
    try {
      expect(resolveBinding("unbound", process.env)).toEqual({
        service: "lmdb",
        path: join(".kv", "unbound"),
      })
    } finally {
      vi.restoreAllMocks()
      await rm(folder, { recursive: true, force: true })
    }
  })
})
