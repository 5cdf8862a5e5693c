import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { SpanKind } from "@opentelemetry/api"
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest"
import { kv } from "../../src/index.ts"
import { azureTables } from "../../tiers/azure-tables/backend.ts"
import type { Backend } from "../../tiers/backend.ts"
import { dynamodb } from "../../tiers/dynamodb/backend.ts"
import { firestore } from "../../tiers/firestore/backend.ts"
import { lmdb } from "../../tiers/lmdb/backend.ts"
import { redis } from "../../tiers/redis/backend.ts"
import { newTable, startAzurite } from "../servers/azurite.ts"
import { localSettings, localTables, startDynamodbLocal } from "../servers/dynamodb.ts"
import { startFirestoreEmulator } from "../servers/firestore.ts"
import { startRedis } from "../servers/redis.ts"
import { requireServer } from "../servers/require-server.ts"
import { registerInstrumentations } from "../support/instrumentations.ts"
import {
  inRequest,
  metricsOf,
  numberOf,
  registerTracing,
  shape,
  type TestTracing,
  unregisterAll,
} from "../support/otel.ts"

const TIMEOUT_MS = 60_000
vi.stubEnv("METADATA_SERVER_DETECTION", "none")

/** The name of the call of each operation, and its attributes of the server. */
interface Expected {
  get: string
  getMany: string
  exists: string
  set: string
  setMany: string
  delete: string
  deleteMany: string
  scan: string
  attributes: Record<string, unknown>
  /** Units read and written until the end of the calls, if the backend counts them. */
  capacity?: Record<string, number>
}

let tracing: TestTracing
beforeAll(() => {
  tracing = registerTracing()
  registerInstrumentations(tracing)
})
afterAll(unregisterAll)
afterEach(() => tracing.reset())

/** The scripts of Redis, by operation. */
const PROCEDURES: Readonly<Record<string, string>> = { set: "write", setMany: "write", exists: "exists" }

/** Makes every call once, each in a request of its own, and compares the spans. */
async function everyOperation(backend: Backend, expected: Expected | undefined): Promise<void> {
  const { collect, provider } = metricsOf(undefined, { register: false })
  const store = await kv("store", {
    backend,
    l1: false,
    timeoutMs: TIMEOUT_MS,
    telemetry: { meterProvider: provider },
  })
  const operations: Record<string, () => Promise<unknown>> = {
    set: () => store.set("a", "1"),
    setMany: () =>
      store.setMany([
        ["b", "2"],
        ["c", "3"],
      ]),
    get: () => store.get("a"),
    getMany: () => store.getMany(["a", "b", "c", "absent"]),
    exists: () => store.exists("a"),
    scan: () => store.scanPage(""),
    deleteMany: () => store.deleteMany(["b", "c"]),
    delete: () => store.delete("a"),
  }
  const words = { setMany: "set_many", getMany: "get_many", deleteMany: "delete_many" }
  for (const [name, run] of Object.entries(operations)) {
    tracing.reset()
    await inRequest("request", run)
    const all = tracing.spans()
    const operation = `cache.${{ ...words }[name] ?? name} store`
    const shapes = all.map((span) => shape(span, all))
    expect(shapes).toContainEqual({ name: operation, parent: "request", links: [] })
    const calls = all.filter(({ kind }) => kind === SpanKind.CLIENT)
    expect(all).toHaveLength(calls.length + 2)
    if (expected === undefined) {
      expect(calls).toEqual([])
      continue
    }
    const { attributes } = expected
    const call = Object.entries(expected).find(([key]) => key === name)?.[1]
    const collection = attributes["db.collection.name"]
    const target = collection ?? PROCEDURES[name]
    const spanName = target === undefined ? call : `${call} ${target}`
    expect(calls.length).toBeGreaterThan(0)
    for (const span of calls) {
      expect(shape(span, all)).toEqual({ name: spanName, parent: operation, links: [] })
      expect(span.attributes).toMatchObject({ ...attributes, "db.operation.name": call })
    }
  }
  if (expected?.capacity !== undefined) {
    const points = await collect()
    for (const [unit, units] of Object.entries(expected.capacity)) {
      expect([unit, numberOf(points, "tiered_kv.l2.capacity", { "tiered_kv.capacity.unit": unit })]).toEqual([
        unit,
        units,
      ])
    }
  }
  await store.close()
  await provider.shutdown()
}

const KEY = "canary-key"
const VALUE = "canary-value"

/** Makes every call under the stock instrumentations: they see the calls of the bare backend, and nothing of those of a store. */
async function nothingElseIsTraced(backend: Backend): Promise<void> {
  await inRequest("bare", async () => {
    await backend.open()
    tracing.reset()
    await backend.get("bare-key")
  })
  expect(tracing.spans().length).toBeGreaterThan(1)

  for (const telemetry of [false, { spans: false }, { spans: false, metrics: false }, {}] as const) {
    tracing.reset()
    const store = await kv("canary", { backend, l1: false, timeoutMs: TIMEOUT_MS, telemetry })
    await inRequest("request", async () => {
      await store.set(KEY, VALUE)
      const version = (await store.getEntry(KEY))?.version ?? ""
      await store.set(KEY, VALUE, { ifVersion: version, ttlMs: 60_000 })
      await store.setMany([[KEY, VALUE]])
      await store.getMany([KEY, "absent"])
      await store.exists(KEY)
      await store.scanPage("canary")
      await store.deleteMany([KEY])
      await store.delete(KEY)
    })
    await store.close()
    const seen = tracing.spans().map(({ name, attributes, events }) => ({ name, attributes, events }))
    const foreign = tracing
      .spans()
      .filter(({ instrumentationScope: { name } }) => name !== "test" && name !== "tiered-kv")
    expect([telemetry, foreign.map(({ name }) => name)]).toEqual([telemetry, []])
    expect(JSON.stringify(seen)).not.toContain("canary-")
  }
}

describe("the calls of an embedded backend", () => {
  test("have no spans and durations of their own", async () => {
    const folder = await mkdtemp(join(tmpdir(), "tiered-kv-telemetry-"))
    const backend = lmdb(join(folder, "store"))
    await everyOperation(backend, undefined)
    await backend.close()
    await rm(folder, { recursive: true })
  })
})

await requireServer("redis", startRedis, (server) => {
  test("every operation has its calls as spans and durations", async () => {
    const backend = redis(`${server.url}/3`, { prefix: "telemetry:" })
    await everyOperation(backend, {
      get: "GET",
      getMany: "MGET",
      exists: "EVALSHA",
      set: "EVALSHA",
      setMany: "EVALSHA",
      delete: "UNLINK",
      deleteMany: "UNLINK",
      scan: "SCAN",
      attributes: {
        "db.system.name": "redis",
        "db.namespace": "3",
        "server.address": "127.0.0.1",
        "server.port": server.port,
      },
    })
    await nothingElseIsTraced(backend)
    // Without suppression, a serializer of commands joins their arguments.
    tracing.reset()
    await inRequest("bare", async () => {
      await backend.put(KEY, { value: Buffer.from(VALUE), id: "0".repeat(32) })
      await backend.getMany([KEY])
      await backend.scan("canary", { limit: 10 })
    })
    const texts = tracing.spans().map(({ attributes }) => JSON.stringify(attributes))
    expect(texts.join()).toMatch(/evalsha \w+ 1 \?/)
    expect(texts.join()).not.toContain("canary")
    await backend.close()
  })
})

await requireServer("dynamodb", startDynamodbLocal, (server) => {
  test("every operation has its calls as spans, durations and billed units", async () => {
    const tables = localTables(server)
    const table = await tables.create()
    const backend = dynamodb(localSettings(server.port), { table })
    await everyOperation(backend, {
      get: "GetItem",
      getMany: "BatchGetItem",
      exists: "GetItem",
      set: "PutItem",
      setMany: "BatchWriteItem",
      delete: "DeleteItem",
      deleteMany: "BatchWriteItem",
      scan: "Query",
      attributes: { "db.system.name": "aws.dynamodb", "db.collection.name": table },
      capacity: { read: 1 + 4 + 1 + 1, write: 1 + 2 + 2 + 1 },
    })
    await nothingElseIsTraced(backend)
    await backend.close()
    tables.client.destroy()
  })
})

await requireServer("azure-tables", startAzurite, (server) => {
  test("every operation has its calls as spans and durations", async () => {
    const { tableName } = await newTable(server)
    const backend = azureTables({ connectionString: server.connectionString }, { table: tableName })
    await everyOperation(backend, {
      get: "QueryEntity",
      getMany: "QueryEntity",
      exists: "QueryEntity",
      set: "InsertOrReplaceEntity",
      setMany: "EntityGroupTransaction",
      delete: "DeleteEntity",
      deleteMany: "EntityGroupTransaction",
      scan: "QueryEntities",
      attributes: { "db.system.name": "azure.table_storage", "db.collection.name": tableName },
    })
    await nothingElseIsTraced(backend)
    await backend.close()
  })
})

await requireServer("firestore", startFirestoreEmulator, (server) => {
  test("every operation has its calls as spans, durations and billed units", async () => {
    const settings = { projectId: "demo-tiered-kv", databaseId: "kv", endpoint: server.url }
    const backend = firestore(settings, { collection: "telemetry", requestTimeoutMs: TIMEOUT_MS })
    await everyOperation(backend, {
      get: "BatchGetDocuments",
      getMany: "BatchGetDocuments",
      exists: "BatchGetDocuments",
      set: "Commit",
      setMany: "Commit",
      delete: "Commit",
      deleteMany: "Commit",
      scan: "RunQuery",
      attributes: {
        "db.system.name": "gcp.firestore",
        "db.collection.name": "telemetry",
        "db.namespace": "demo-tiered-kv/kv",
      },
      capacity: { read: 1 + 4 + 1 + 3, write: 3, delete: 3 },
    })
    await nothingElseIsTraced(backend)
    await backend.close()
  })
})
