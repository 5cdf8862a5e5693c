import { copyFile, mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { kv } from "../../src/index.ts"
import { provisionAzureTables } from "../../tiers/azure-tables/provisioning.ts"
import { provisionDynamodb } from "../../tiers/dynamodb/provisioning.ts"
import { startAzurite } from "../servers/azurite.ts"
import { localSettings, startDynamodbLocal } from "../servers/dynamodb.ts"
import { startFirestoreEmulator } from "../servers/firestore.ts"
import { startRedisServer } from "../servers/redis.ts"
import { reportServer } from "../servers/report.ts"
import { requireServer } from "../servers/require-server.ts"
import { type Built, build } from "../support/built.ts"
import { type Ended, ended } from "../support/ended.ts"

/**
 * One program, written for the embedded store, runs unchanged over every backend. Only one environment variable differs
 * between the runs. The output has to be the same everywhere, to the byte.
 */
const PROGRAM = fileURLToPath(new URL("../support/children/portable-program.mjs", import.meta.url))

let built: Built
let scratch: string
/** What the program prints over LMDB. */
let reference: string

beforeAll(async () => {
  built = await build()
  scratch = await mkdtemp(join(tmpdir(), "tiered-kv-portable-"))
  await copyFile(PROGRAM, join(built.folder, "program.mjs"))
  reference = (await run({ KV_SHOP_URL: `lmdb:${join(scratch, "reference")}` })).stdout
  expect(JSON.parse(reference)).toMatchObject({ orders: "20", listed: [250, 250], left: 50, scanned: 50 })
})
afterAll(async () => {
  await built.remove()
  await rm(scratch, { recursive: true })
})

/** Runs the program with only these environment variables, beside those of any shell. */
function run(variables: Record<string, string>): Promise<Ended> {
  const nothing = Object.fromEntries(Object.keys(process.env).map((name) => [name, undefined]))
  const { PATH, HOME, TMPDIR } = process.env
  const plain = { PATH, HOME, TMPDIR, NODE_ENV: "production", NODE_NO_WARNINGS: "1" }
  const environment = { ...nothing, ...plain, ...variables }
  return ended(process.execPath, ["program.mjs"], built.folder, environment)
}

function expectReference(ended: Ended): void {
  expect(ended).toEqual({ code: 0, signal: null, stdout: reference, stderr: "" })
}

/** Declares the runs over one backend, with the environment of each. In turn: several at once are too much for a server on a busy machine. */
function testRuns(runs: Record<string, () => Record<string, string>>): void {
  test.each(Object.entries(runs))(
    "the portable program prints the same, configured by %s",
    async (_, variables) => expectReference(await run(variables())),
  )
}

reportServer({ backend: "lmdb", server: "itself, on disk" })
describe("lmdb", () => {
  testRuns({
    "no variable, in development": () => ({ NODE_ENV: "development" }),
    KV_SHOP_URL: () => ({ KV_SHOP_URL: `lmdb:${join(scratch, "url")}` }),
    ALIEN_SHOP_BINDING: () => ({
      ALIEN_SHOP_BINDING: JSON.stringify({ service: "local-kv", dataDir: join(scratch, "binding") }),
    }),
    "ALIEN_SHOP_BINDING with a key prefix": () => ({
      ALIEN_SHOP_BINDING: JSON.stringify({
        service: "local-kv",
        dataDir: join(scratch, "shared"),
        keyPrefix: "tenant-7:",
      }),
    }),
  })
})

await requireServer("dynamodb", startDynamodbLocal, (server) => {
  const keys = { AWS_ACCESS_KEY_ID: "local", AWS_SECRET_ACCESS_KEY: "local" }
  const endpoint = encodeURIComponent(server.url)
  const region = "eu-central-1"

  beforeAll(async () => {
    for (const table of ["shop", "shop-endpoint", "shop-binding", "shop-binding-bare"]) {
      await provisionDynamodb(localSettings(server.port), { table })
    }
  })
  testRuns({
    "KV_SHOP_URL, and the endpoint in the SDK's own variable": () => ({
      ...keys,
      AWS_ENDPOINT_URL_DYNAMODB: server.url,
      KV_SHOP_URL: `dynamodb://${region}/shop`,
    }),
    "KV_SHOP_URL with ?endpoint=": () => ({
      ...keys,
      KV_SHOP_URL: `dynamodb://${region}/shop-endpoint?endpoint=${endpoint}`,
    }),
    ALIEN_SHOP_BINDING: () => ({
      ...keys,
      ALIEN_SHOP_BINDING: JSON.stringify({
        service: "dynamodb",
        tableName: "shop-binding",
        region,
        endpointUrl: server.url,
      }),
    }),
    "ALIEN_SHOP_BINDING, and the rest in the SDK's own variables": () => ({
      ...keys,
      AWS_REGION: region,
      AWS_ENDPOINT_URL_DYNAMODB: server.url,
      ALIEN_SHOP_BINDING: JSON.stringify({ service: "dynamodb", tableName: "shop-binding-bare" }),
    }),
  })
})

await requireServer("firestore", startFirestoreEmulator, (server) => {
  const host = `127.0.0.1:${server.port}`

  // A cold emulator takes seconds for its first write, longer than a store waits.
  beforeAll(async () => {
    const backend = `firestore://demo-shop/(default)/warm-up?endpoint=${host}`
    await using store = await kv("warm-up", { backend, timeoutMs: 30_000 })
    await store.set("key", "value")
  })
  testRuns({
    "KV_SHOP_URL, and the emulator in Google's own variable": () => ({
      FIRESTORE_EMULATOR_HOST: host,
      KV_SHOP_URL: "firestore://demo-shop/(default)/shop",
    }),
    "KV_SHOP_URL with ?endpoint=": () => ({
      KV_SHOP_URL: `firestore://demo-shop/(default)/shop-endpoint?endpoint=${host}`,
    }),
    ALIEN_SHOP_BINDING: () => ({
      FIRESTORE_EMULATOR_HOST: host,
      ALIEN_SHOP_BINDING: JSON.stringify({
        service: "firestore",
        projectId: "demo-shop",
        databaseId: "(default)",
        collectionName: "shop-binding",
      }),
    }),
  })
})

await requireServer("azure-tables", startAzurite, (server) => {
  const AZURE_STORAGE_CONNECTION_STRING = server.connectionString

  beforeAll(async () => {
    const settings = { connectionString: server.connectionString }
    for (const table of ["shop", "shopEndpoint", "shopBinding"]) {
      await provisionAzureTables(settings, { table })
    }
  })
  testRuns({
    "KV_SHOP_URL, and Azurite in Azure's own variable": () => ({
      AZURE_STORAGE_CONNECTION_STRING,
      KV_SHOP_URL: "azure-tables://contoso/shop",
    }),
    "KV_SHOP_URL with ?endpoint=": () => ({
      KV_SHOP_URL: `azure-tables://devstoreaccount1/shopEndpoint?endpoint=${encodeURIComponent(server.url)}`,
    }),
    ALIEN_SHOP_BINDING: () => ({
      AZURE_STORAGE_CONNECTION_STRING,
      ALIEN_SHOP_BINDING: JSON.stringify({
        service: "tablestorage",
        resourceGroupName: "production",
        accountName: "contoso",
        tableName: "shopBinding",
      }),
    }),
  })
})

await requireServer("redis", startRedisServer, (server) => {
  testRuns({
    KV_SHOP_URL: () => ({ KV_SHOP_URL: server.url }),
    "KV_SHOP_URL with a database and a prefix": () => ({ KV_SHOP_URL: `${server.url}/1?prefix=shop:` }),
    ALIEN_SHOP_BINDING: () => ({
      ALIEN_SHOP_BINDING: JSON.stringify({
        service: "redis",
        connectionUrl: server.url,
        keyPrefix: "tenant-7:",
        database: 2,
      }),
    }),
  })
})
