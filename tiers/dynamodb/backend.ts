import type { DynamoDBClient, WriteRequest } from "@aws-sdk/client-dynamodb"
import type {
  Backend,
  BackendTraits,
  Condition,
  KeyedEntry,
  RowHead,
  StoredEntry,
  WriteResult,
} from "../backend.ts"
import { KvError } from "../errors.ts"
import { DEFAULTS } from "../limits.ts"
import { type Runtime, systemRuntime } from "../runtime.ts"
import type { BucketScan } from "../util/bucket-scan.ts"
import { type Checks, checkAllOptions, optional, runtimeOption, text, wholeNumber } from "../util/checks.ts"
import { ofKey } from "../util/key-error.ts"
import type { DynamoDbSdk, DynamoDbSettings } from "./client.ts"
import { isConditionFailure, KIND } from "./errors.ts"
import { dynamodbRequests, type Request } from "./requests.ts"
import {
  entryOf,
  hasContentVersion,
  headOf,
  type Item,
  type ItemCondition,
  ifAbsent,
  ifUnchanged,
  ifVersion,
  isContentVersion,
  isLive,
  itemOf,
  LIVENESS_PROJECTION,
  type Projection,
  partitionOf,
  primaryKey,
  tombstoneOf,
} from "./row.ts"
import { scanPage } from "./scan.ts"
import { tariff } from "./tariff.ts"

export type { DynamoDbSettings } from "./client.ts"

export interface DynamoDbOptions {
  /** Name of a table with the schema that `provisionDynamodb` creates. */
  table: string
  /**
   * Longest time of one request, the body of its answer included, ms, where a call gives none. The backend sends nothing twice; what wraps
   * it sends again.
   * @default 3_000
   */
  requestTimeoutMs?: number
  /** Clock and timers. @default the system's */
  runtime?: Runtime
}

const OPTIONS: Checks = {
  table: text("table"),
  requestTimeoutMs: optional(wholeNumber("requestTimeoutMs", 1)),
  runtime: runtimeOption,
}

/** The limits of `BatchGetItem` and `BatchWriteItem`, in items. Entries are too small to reach the limits in bytes. */
const MAX_READ_BATCH = 100
const MAX_WRITE_BATCH = 25

/**
 * A backend over a DynamoDB table. It uses a client of the caller, which stays open and whose retries are skipped, or makes a client on
 * demand, which all backends of this process with the same settings share.
 *
 * A conditional delete leaves an expired row, which the TTL of the table removes: see `tombstoneOf`.
 *
 * @throws {KvError} `INVALID_OPTION` if a setting or an option is unknown or has no legal value
 */
export function dynamodb(client: DynamoDBClient | DynamoDbSettings, options: DynamoDbOptions): Backend {
  checkAllOptions(options, OPTIONS, "open")
  const { table, requestTimeoutMs = DEFAULTS.requestTimeoutMs, runtime = systemRuntime } = options
  const { open, request, close } = dynamodbRequests(client, { table, requestTimeoutMs, runtime })

  function getItem(key: string, projection?: Projection) {
    const input = { TableName: table, Key: primaryKey(key), ConsistentRead: true, ...projection }
    return (sdk: DynamoDbSdk) => new sdk.GetItemCommand(input)
  }

  /** Puts `item`, whose version is `id`, if the condition holds. If the table already holds it, an earlier attempt was applied. */
  async function putIf(
    write: Request & { key: string },
    item: Item,
    id: string,
    condition: Condition,
  ): Promise<boolean> {
    const now = runtime.now()
    let expression: ItemCondition
    if ("absent" in condition) expression = ifAbsent(now)
    else if (!isContentVersion(condition.version)) expression = ifVersion(condition.version, now)
    else {
      const { operation, key } = write
      const { Item: there } = await request({ operation, key, effect: "read" }, getItem(key))
      if (there === undefined || !hasContentVersion(there, condition.version)) return there?.version?.S === id
      expression = ifUnchanged(there, now)
    }
    const input = { TableName: table, Item: item, ...expression }
    try {
      await request(write, (sdk) => new sdk.PutItemCommand(input))
      return true
    } catch (error) {
      if (isConditionFailure(error)) return error.cause.Item?.version?.S === id
      throw error
    }
  }

  async function writeBatch(
    operation: string,
    requests: ReadonlyMap<string, WriteRequest>,
    resultOf: (key: string) => WriteResult,
  ): Promise<Map<string, WriteResult | KvError>> {
    if (requests.size === 0) return new Map()
    const keys = [...requests.keys()]
    const input = { RequestItems: { [table]: [...requests.values()] } }
    try {
      const { UnprocessedItems } = await request(
        { operation, effect: "write" },
        (sdk) => new sdk.BatchWriteItemCommand(input),
      )
      const left = new Set(UnprocessedItems?.[table]?.map(writtenKey))
      return new Map(keys.map((key) => [key, left.has(key) ? unprocessed(operation, key) : resultOf(key)]))
    } catch (error) {
      if (!(error instanceof KvError) || error.code === "CLOSED") throw error
      return new Map(keys.map((key) => [key, ofKey(error, key)]))
    }
  }

  function unprocessed(operation: string, key: string): KvError {
    const message = `DynamoDB left the key out of a batch on table ${table}, for lack of capacity; try again later`
    return new KvError("THROTTLED", message, { operation, backend: KIND, key })
  }

  function queryBucket(prefix: string, signal: AbortSignal | undefined): BucketScan["query"] {
    return async (bucket, after, limit, limitMs) => {
      const pk = partitionOf(bucket)
      const input = {
        TableName: table,
        KeyConditionExpression: prefix === "" ? "pk = :pk" : "pk = :pk AND begins_with(sk, :prefix)",
        ExpressionAttributeValues: { ":pk": pk, ...(prefix === "" ? {} : { ":prefix": { S: prefix } }) },
        ConsistentRead: true,
        Limit: limit,
        ...(after === "" ? {} : { ExclusiveStartKey: { pk, sk: { S: after } } }),
      }
      const { Items = [], LastEvaluatedKey } = await request(
        { operation: "scan", effect: "read", limitMs, signal },
        (sdk) => new sdk.QueryCommand(input),
      )
      return { entries: keyedEntries(Items, runtime.now()), next: LastEvaluatedKey?.sk?.S }
    }
  }

  return {
    traits: traitsOf(table),

    open,
    close,

    async get(key) {
      const { Item } = await request({ operation: "get", key, effect: "read" }, getItem(key))
      return Item && entryOf(Item, runtime.now(), "get")
    },

    async getMany(keys) {
      const found = new Map<string, StoredEntry | KvError>()
      if (keys.length === 0) return found
      const input = { RequestItems: { [table]: { Keys: keys.map(primaryKey), ConsistentRead: true } } }
      const { Responses, UnprocessedKeys } = await request(
        { operation: "getMany", effect: "read" },
        (sdk) => new sdk.BatchGetItemCommand(input),
      )
      const now = runtime.now()
      for (const item of Responses?.[table] ?? []) {
        const entry = entryOrCorrupt(item, now)
        if (entry !== undefined) found.set(keyOf(item), entry)
      }
      for (const item of UnprocessedKeys?.[table]?.Keys ?? []) {
        found.set(keyOf(item), unprocessed("getMany", keyOf(item)))
      }
      return found
    },

    async exists(key) {
      const { Item } = await request(
        { operation: "exists", key, effect: "read" },
        getItem(key, LIVENESS_PROJECTION),
      )
      return Item !== undefined && isLive(Item, runtime.now(), "exists")
    },

    async put(key, write) {
      const { id, condition } = write
      const put = { operation: "put", key, effect: "write" } as const
      const item = itemOf(key, write)
      if (condition !== undefined) {
        return (await putIf(put, item, id, condition)) ? { applied: true, version: id } : { applied: false }
      }
      await request(put, (sdk) => new sdk.PutItemCommand({ TableName: table, Item: item }))
      return { applied: true, version: id }
    },

    async putMany(writes) {
      const requests = Array.from(
        writes,
        ([key, write]) => [key, { PutRequest: { Item: itemOf(key, write) } }] as const,
      )
      return writeBatch("putMany", new Map(requests), (key) => {
        const version = writes.get(key)?.id
        return { applied: true, ...(version === undefined ? {} : { version }) }
      })
    },

    async delete(key, { id, condition }) {
      const removal = { operation: "delete", key, effect: "write" } as const
      if (condition !== undefined) {
        return { applied: await putIf(removal, tombstoneOf(key, id, runtime.now()), id, condition) }
      }
      await request(removal, (sdk) => new sdk.DeleteItemCommand({ TableName: table, Key: primaryKey(key) }))
      return { applied: true }
    },

    async deleteMany(removals) {
      const requests = Array.from(
        removals.keys(),
        (key) => [key, { DeleteRequest: { Key: primaryKey(key) } }] as const,
      )
      return writeBatch("deleteMany", new Map(requests), () => ({ applied: true }))
    },

    scan(prefix, page) {
      const query = queryBucket(prefix, page.signal)
      return scanPage({ query, runtime, timeoutMs: requestTimeoutMs }, table, prefix, page)
    },

    async probe(keys) {
      const heads = new Map<string, RowHead | KvError>()
      for (const key of keys) {
        const { Item } = await request({ operation: "probe", key, effect: "read" }, getItem(key))
        if (Item !== undefined) heads.set(key, headOf(Item, runtime.now()))
      }
      return heads
    },
  }
}

function traitsOf(table: string): BackendTraits {
  return {
    kind: KIND,
    target: table,
    system: "aws.dynamodb",
    place: { collection: table },
    tariff,
    inProcess: false,
    ordered: false,
    maxReadBatch: MAX_READ_BATCH,
    maxWriteBatch: MAX_WRITE_BATCH,
    calls: {
      get: "GetItem",
      getMany: "BatchGetItem",
      exists: "GetItem",
      put: "PutItem",
      putMany: "BatchWriteItem",
      delete: "DeleteItem",
      deleteMany: "BatchWriteItem",
      scan: "Query",
    },
  }
}

function keyOf(item: Item | undefined): string {
  return item?.sk?.S ?? ""
}

function keyedEntries(items: readonly Item[], now: number): KeyedEntry[] {
  return items.flatMap((item) => {
    const entry = entryOf(item, now, "scan")
    return entry === undefined ? [] : [{ key: keyOf(item), ...entry }]
  })
}

function writtenKey({ PutRequest, DeleteRequest }: WriteRequest): string {
  return keyOf(PutRequest?.Item ?? DeleteRequest?.Key)
}

function entryOrCorrupt(item: Item, now: number): StoredEntry | KvError | undefined {
  try {
    return entryOf(item, now, "getMany")
  } catch (error) {
    if (error instanceof KvError) return error
    throw error
  }
}
