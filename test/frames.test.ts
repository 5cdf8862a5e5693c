import { DynamoDBClient } from "@aws-sdk/client-dynamodb"
import { AzureNamedKeyCredential, TableClient } from "@azure/data-tables"
import { Firestore, WriteBatch } from "@google-cloud/firestore"
import RedisMock from "ioredis-mock"
import { afterEach, describe, expect, test, vi } from "vitest"
import { type Kv, KvError, kv } from "../src/index.ts"
import { azureTables } from "../tiers/azure-tables/backend.ts"
import type { Backend } from "../tiers/backend.ts"
import { dynamodb } from "../tiers/dynamodb/backend.ts"
import { firestore } from "../tiers/firestore/backend.ts"
import { redis } from "../tiers/redis/backend.ts"
import { type Frame, type FrameWatch, watchFrames } from "./support/frames.ts"
import { inRequest, metricsOf, registerTracing, unregisterAll } from "./support/otel.ts"

/** Frames of the package that a read may pass from the public method to the SDK, telemetry included. */
const MOST = 9
/** How many of them may be behind the tiers: in the wrappers and the backend. */
const MOST_IN_TIERS = 5

/** Each backend over a client of its SDK whose requests call `send`, which throws. */
const BACKENDS: Readonly<Record<string, (send: () => never) => Backend>> = {
  dynamodb(send) {
    const client = new DynamoDBClient({ region: "eu-central-1" })
    client.send = send
    return dynamodb(client, { table: "table" })
  },
  firestore(send) {
    const client = new Firestore({ projectId: "project" })
    client.getAll = send
    vi.spyOn(WriteBatch.prototype, "commit").mockImplementation(send)
    return firestore(client, { collection: "collection" })
  },
  "azure-tables"(send) {
    const credential = new AzureNamedKeyCredential("account", "a2V5")
    const client = new TableClient("https://account.table.core.windows.net", "table", credential)
    client.pipeline.removePolicy({ name: "defaultRetryPolicy" })
    client.getEntity = send
    client.upsertEntity = send
    return azureTables(client, { table: "table", sweepIntervalMs: 0 })
  },
  redis(send) {
    const client = new RedisMock()
    client.getBuffer = send
    client.mgetBuffer = send
    client.evalsha = send
    return redis(client)
  },
}

afterEach(() => {
  vi.restoreAllMocks()
  unregisterAll()
})

/** The frames on the way from a call of a store to the request that it sends. */
async function wayOf(
  backendOf: (send: () => never) => Backend,
  telemetry: boolean,
  call: (store: Kv) => Promise<unknown>,
): Promise<Frame[]> {
  let watch: FrameWatch | undefined
  let way: Frame[] = []
  const backend = backendOf(() => {
    way = watch?.way() ?? []
    throw new KvError("ACCESS_DENIED", "this client sends nothing", { operation: "test" })
  })
  if (telemetry) {
    registerTracing()
    metricsOf()
  }
  const store = await kv("frames", { backend, l1: false, ...(telemetry ? {} : { telemetry: false }) })
  await inRequest("request", async () => {
    watch = watchFrames()
    await expect(call(store)).rejects.toMatchObject({ code: "ACCESS_DENIED" })
    watch.stop()
  })
  await store.close()
  await backend.close()
  return way
}

const READS: Readonly<Record<string, (store: Kv) => Promise<unknown>>> = {
  "a lone read": (store) => store.get("a"),
  "reads that travel together": (store) => Promise.all(["a", "b"].map((key) => store.get(key))),
}

describe.each(Object.entries(BACKENDS))("%s", (name, backendOf) => {
  for (const [read, call] of Object.entries(READS)) {
    test.each([true, false])(
      `${read} passes at most ${MOST} frames to the SDK, ${MOST_IN_TIERS} of them in the tiers; telemetry: %s`,
      async (telemetry) => {
        const way = await wayOf(backendOf, telemetry, call)
        const inTiers = way.slice(way.findIndex(({ file }) => file.startsWith("tiers/")))
        expect(way[0]).toEqual({ file: "src/store.ts", name: "get" })
        expect(way.at(-1)?.file).toMatch(`tiers/${name}/`)
        const told = `${name}, ${read}, telemetry ${telemetry ? "on" : "off"}`
        process.stdout.write(`${told}: ${way.length} frames, ${inTiers.length} of them in the tiers\n`)
        const listed = way.map(({ file, name }) => `${file} ${name}`)
        expect(inTiers.length, listed.join("\n")).toBeLessThanOrEqual(MOST_IN_TIERS)
        expect(way.length, listed.join("\n")).toBeLessThanOrEqual(MOST)
      },
    )
  }

  test("a write passes frames that are counted for the record", async () => {
    const way = await wayOf(backendOf, true, (store) => store.set("a", "1"))
    expect(way[0]).toEqual({ file: "src/store.ts", name: "set" })
    expect(way.at(-1)?.file).toMatch(`tiers/${name}/`)
    process.stdout.write(`${name}, a write, telemetry on: ${way.length} frames\n`)
  })
})
