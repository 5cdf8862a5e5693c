import { describe, expect, test } from "vitest"
import { azureTables } from "../../tiers/azure-tables/backend.ts"
import { provisionAzureTables } from "../../tiers/azure-tables/provisioning.ts"
import { dynamodb } from "../../tiers/dynamodb/backend.ts"
import { provisionDynamodb } from "../../tiers/dynamodb/provisioning.ts"
import { firestore } from "../../tiers/firestore/backend.ts"
import { provisionFirestore } from "../../tiers/firestore/provisioning.ts"
import { lmdb } from "../../tiers/lmdb/backend.ts"
import { memory, memoryStore } from "../../tiers/memory.ts"
import { redis } from "../../tiers/redis/backend.ts"
import { checkRedis } from "../../tiers/redis/provisioning.ts"
import { systemRuntime } from "../../tiers/runtime.ts"
import { resilient } from "../../tiers/wrappers/resilience/resilience.ts"

const runtime = systemRuntime
const SECRET = "do-not-show-me"

/** What takes options, each with options or settings that are legal. */
const DYNAMODB = {
  region: "eu-central-1",
  endpoint: "http://localhost:8000",
  credentials: { accessKeyId: "id", secretAccessKey: SECRET },
}
const FIRESTORE = {
  projectId: "p",
  databaseId: "d",
  endpoint: "localhost:8080",
  keyFilename: "key.json",
  channels: 2,
  credentials: { client_email: "a@b.example", private_key: SECRET },
}
const AZURE = { account: "acc", endpoint: "https://acc.example", connectionString: SECRET }
const REDIS = {
  nodes: [{ host: "a", port: 1 }],
  cluster: false,
  username: "u",
  password: SECRET,
  database: 1,
}

/** Each with what it is called with, and legal options. */
const made: Record<string, [make: (options: never) => unknown, legal: object]> = {
  "the options of dynamodb()": [
    (options) => dynamodb(DYNAMODB, options),
    { table: "t", requestTimeoutMs: 1, runtime },
  ],
  "the settings of dynamodb()": [(settings) => dynamodb(settings, { table: "t" }), DYNAMODB],
  "the options of firestore()": [
    (options) => firestore(FIRESTORE, options),
    { collection: "c", requestTimeoutMs: 1, runtime },
  ],
  "the settings of firestore()": [(settings) => firestore(settings, { collection: "c" }), FIRESTORE],
  "the options of azureTables()": [
    (options) => azureTables(AZURE, options),
    { table: "t", requestTimeoutMs: 1, sweepIntervalMs: 0, runtime },
  ],
  "the settings of azureTables()": [(settings) => azureTables(settings, { table: "t" }), AZURE],
  "the options of redis()": [
    (options) => redis("redis://host", options),
    { prefix: "", database: 0, requestTimeoutMs: 1, connectTimeoutMs: 1, runtime },
  ],
  "the settings of redis()": [(settings) => redis(settings), { ...REDIS, tls: true }],
  "the options of lmdb()": [
    (options) => lmdb("path", options),
    { sweepIntervalMs: 0, timeoutMs: 1, runtime },
  ],
  "the options of memory()": [(options) => memory(options), { store: memoryStore(), runtime }],
  "the options of resilient()": [
    (options) => resilient(memory(), options),
    {
      timeoutMs: { read: 1, write: 1, scan: 1 },
      attemptTimeoutMs: { read: 1, write: 1 },
      retryBudget: 0,
      maxConcurrency: 1,
      maxQueue: 0,
      maxAttempts: 1,
      backoffBaseMs: 0,
      backoffMaxMs: 0,
      observer: {},
      runtime,
    },
  ],
}

/** The same of what rejects, and of which nothing legal is tried here. */
const asked: Record<string, [ask: (options: never) => Promise<unknown>, legal: object]> = {
  "the options of provisionDynamodb()": [
    (options) => provisionDynamodb(DYNAMODB, options),
    {
      table: "t",
      deletionProtection: true,
      warmThroughput: { readUnitsPerSecond: 12_000, writeUnitsPerSecond: 4_000 },
      tags: {},
      timeoutMs: 1,
      runtime,
    },
  ],
  "the options of provisionFirestore()": [
    (options) => provisionFirestore(FIRESTORE, options),
    { collection: "c", location: "eur3", deletionProtection: true, timeoutMs: 1, runtime },
  ],
  "the options of provisionAzureTables()": [
    (options) => provisionAzureTables(AZURE, options),
    { table: "t", timeoutMs: 1, runtime },
  ],
  "the options of checkRedis()": [
    (options) => checkRedis("redis://host", options),
    { database: 0, requestTimeoutMs: 1, runtime },
  ],
}

/** What no option may be, by the kind of its legal value. */
function illegal(legal: unknown): unknown[] {
  if (typeof legal === "number") return [Number.NaN, -1, 1.5, Number.POSITIVE_INFINITY, "1", null, {}]
  if (typeof legal === "object" && legal !== null && "write" in legal) {
    return [Number.NaN, -1, 1.5, "1", null, true]
  }
  if (typeof legal === "boolean") return ["true", 1, null]
  return [5, Number.NaN, null, true, Symbol("s")].filter((value) => typeof value !== typeof legal)
}

async function refusal(make: (options: never) => unknown, options: unknown): Promise<unknown> {
  try {
    return await Reflect.apply(make, undefined, [options])
  } catch (error) {
    return error
  }
}

describe.each(Object.entries({ ...made, ...asked }))("%s", (_name, [make, legal]) => {
  test("are all known: another one is INVALID_OPTION, and the message names those that there are", async () => {
    const error = await refusal(make, { ...legal, retries: 3 })
    expect(error).toMatchObject({ code: "INVALID_OPTION", message: expect.stringContaining('"retries"') })
    for (const name of Object.keys(legal)) expect(String(error)).toContain(name)
  })

  test.each(Object.entries(legal))(
    "%s is INVALID_OPTION with a value of another kind",
    async (name, value) => {
      for (const wrong of illegal(value)) {
        const error = await refusal(make, { ...legal, [name]: wrong })
        expect(error, `${name}: ${String(wrong)}`).toMatchObject({
          code: "INVALID_OPTION",
          message: expect.stringMatching(new RegExp(`^${name} is .*; got `)),
        })
        expect(String(error)).not.toContain(SECRET)
      }
    },
  )

  test("are an object", async () => {
    for (const wrong of [null, 5, true]) {
      expect(await refusal(make, wrong)).toMatchObject({ code: "INVALID_OPTION" })
    }
  })
})

test.each(Object.entries(made))("%s are accepted if they are legal", (_name, [make, legal]) => {
  expect(() => Reflect.apply(make, undefined, [legal])).not.toThrow()
})

test.each<[name: string, make: () => unknown, message: RegExp]>([
  ["dynamodb() without a table", () => dynamodb({}, {} as never), /^table is a text/],
  ["dynamodb() without options", () => Reflect.apply(dynamodb, undefined, [{}]), /^Options are an object/],
  ["firestore() without a collection", () => firestore({ projectId: "p" }, {} as never), /^collection is/],
  ["firestore() without a project", () => firestore({} as never, { collection: "c" }), /^projectId is/],
  ["azureTables() without a table", () => azureTables({}, {} as never), /^table is a text/],
  ["redis() without nodes", () => redis({ nodes: [] }), /^nodes is a list of at least one node/],
  ["redis() with a node without a host", () => redis({ nodes: [{} as never] }), /^nodes.host is a text/],
  [
    "redis() with replicas that may lag by less than 20 ms",
    () => redis({ nodes: [{ host: "a" }], replicas: { nodes: [{ host: "b" }], maxLagMs: 19 } }),
    /^replicas.maxLagMs is a whole number of at least 20/,
  ],
  [
    "redis() with a list of no replicas",
    () => redis({ nodes: [{ host: "a" }], replicas: { nodes: [] } }),
    /^replicas.nodes is a list of at least one host/,
  ],
  ["redis() with a port too high", () => redis({ nodes: [{ host: "a", port: 65_536 }] }), /^nodes.port is/],
  ["redis() without anything", () => Reflect.apply(redis, undefined, []), /^Options are an object/],
  ["lmdb() without a path", () => lmdb(""), /^path is a text/],
])("%s is INVALID_OPTION", (_name, make, message) => {
  expect(make).toThrow(
    expect.objectContaining({ code: "INVALID_OPTION", message: expect.stringMatching(message) }),
  )
})
