import type { DynamoDBClient } from "@aws-sdk/client-dynamodb"
import type { Backend, BackendTraits, Condition, KeyedEntry, StoredEntry, WriteResult } from "../backend.ts"
import type { KvError } from "../errors.ts"
import { DEFAULTS } from "../limits.ts"
import { type Runtime, systemRuntime } from "../runtime.ts"
import type { BucketScan } from "../util/bucket-scan.ts"
import { type Checks, checkAllOptions, optional, runtimeOption, text, wholeNumber } from "../util/checks.ts"
import { countdown } from "../util/deadline.ts"
import { batchGet, batchGotten, batchWrite, MAX_READ_BATCH, MAX_WRITE_BATCH } from "./batches.ts"
import type { DynamoDbSdk, DynamoDbSettings } from "./client.ts"
import { isConditionFailure, KIND, responseAttributes } from "./errors.ts"
import { probe } from "./probe.ts"
import { type DynamoDbRequests, dynamodbRequests, type Request } from "./requests.ts"
import {
  entryOf,
  hasContentVersion,
  type Item,
  type ItemCondition,
  ifAbsent,
  ifUnchanged,
  ifVersion,
  isContentVersion,
  isLive,
  itemOf,
  keyOf,
  LIVENESS_PROJECTION,
  orCorrupt,
  type Projection,
  partitionOf,
  primaryKey,
  stampIn,
  tombstoneOf,
} from "./row.ts"
import { scanPage } from "./scan.ts"
import { tariff } from "./tariff.ts"
import { lateness, serviceTime, stampOf } from "./write-times.ts"

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

type KeyRequest = Request & { key: string }

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
  const requests = dynamodbRequests(client, { table, requestTimeoutMs, runtime })
  const { open, close, request, clock } = requests

  function getItem(key: string, projection?: Projection) {
    const input = { TableName: table, Key: primaryKey(key), ConsistentRead: true, ...projection }
    return (sdk: DynamoDbSdk) => new sdk.GetItemCommand(input)
  }

  /** Puts `item` under the condition, if there is one. `false`: the condition does not hold. */
  async function put(write: KeyRequest, item: Item, condition: Condition | undefined): Promise<boolean> {
    const applied =
      condition === undefined
        ? await request(write, (sdk) => new sdk.PutItemCommand({ TableName: table, Item: item })).then(
            () => true,
          )
        : await putIf(write, item, condition)
    const late = applied ? lateness(clock, stampIn(item), write.operation, write.key) : undefined
    if (late !== undefined) throw late
    return applied
  }

  /** `true` also if the table holds the item already: then an earlier delivery of the write was applied. */
  async function putIf(write: KeyRequest, item: Item, condition: Condition): Promise<boolean> {
    const { operation, key, limitMs = requestTimeoutMs } = write
    const isOwn = (there: Item | undefined) => there !== undefined && there.version?.S === item.version?.S
    const leftMs = countdown(runtime, limitMs)
    const now = runtime.now()
    let expression: ItemCondition
    if ("absent" in condition) expression = ifAbsent(now)
    else if (!isContentVersion(condition.version)) expression = ifVersion(condition.version, now)
    else {
      const { Item: there } = await request({ operation, key, effect: "read", limitMs }, getItem(key))
      if (there === undefined || !hasContentVersion(there, condition.version)) return isOwn(there)
      expression = ifUnchanged(there, now)
    }
    const input = { TableName: table, Item: item, ...expression }
    try {
      await request({ ...write, limitMs: leftMs() }, (sdk) => new sdk.PutItemCommand(input))
      return true
    } catch (error) {
      if (isConditionFailure(error)) return isOwn(error.cause.Item)
      throw error
    }
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
    traits: traitsOf(table, requests),

    open,
    close,

    async get(key, { timeoutMs } = {}) {
      const read = { operation: "get", key, effect: "read", limitMs: timeoutMs } as const
      const { Item } = await request(read, getItem(key))
      return Item && entryOf(Item, runtime.now(), "get")
    },

    async getMany(keys, { timeoutMs } = {}) {
      if (keys.length === 0) return new Map()
      const read = { operation: "getMany", effect: "read", limitMs: timeoutMs } as const
      const output = await request(read, batchGet(table, keys))
      const { items, unprocessed } = batchGotten(table, read.operation, output)
      const now = runtime.now()
      const found = new Map<string, StoredEntry | KvError>(unprocessed)
      for (const item of items) {
        const entry = orCorrupt(() => entryOf(item, now, "getMany"))
        if (entry !== undefined) found.set(keyOf(item), entry)
      }
      return found
    },

    async exists(key, { timeoutMs } = {}) {
      const read = { operation: "exists", key, effect: "read", limitMs: timeoutMs } as const
      const { Item } = await request(read, getItem(key, LIVENESS_PROJECTION))
      return Item !== undefined && isLive(Item, runtime.now(), "exists")
    },

    async put(key, write, { timeoutMs } = {}) {
      const request = { operation: "put", key, effect: "write", limitMs: timeoutMs } as const
      const applied = await put(request, itemOf(key, write, stampOf(clock)), write.condition)
      return applied ? { applied, version: write.id } : { applied }
    },

    async putMany(writes, { timeoutMs } = {}) {
      const stamp = stampOf(clock)
      const puts = Array.from(
        writes,
        ([key, write]) => [key, { PutRequest: { Item: itemOf(key, write, stamp) } }] as const,
      )
      const failures = await batchWrite(
        requests,
        table,
        { operation: "putMany", limitMs: timeoutMs },
        new Map(puts),
      )
      const results = Array.from(writes, ([key, { id }]): [string, WriteResult | KvError] => {
        const failure = failures.get(key) ?? lateness(clock, stamp, "putMany", key)
        return [key, failure ?? { applied: true, version: id }]
      })
      return new Map(results)
    },

    async delete(key, { id, condition }, { timeoutMs } = {}) {
      const request = { operation: "delete", key, effect: "write", limitMs: timeoutMs } as const
      if (condition !== undefined) {
        const tombstone = tombstoneOf(key, id, runtime.now(), stampOf(clock))
        return { applied: await put(request, tombstone, condition) }
      }
      const input = { TableName: table, Key: primaryKey(key) }
      await requests.request(request, (sdk) => new sdk.DeleteItemCommand(input))
      return { applied: true }
    },

    async deleteMany(removals, { timeoutMs } = {}) {
      const deletes = Array.from(
        removals.keys(),
        (key) => [key, { DeleteRequest: { Key: primaryKey(key) } }] as const,
      )
      const failures = await batchWrite(
        requests,
        table,
        { operation: "deleteMany", limitMs: timeoutMs },
        new Map(deletes),
      )
      return new Map(Array.from(failures, ([key, failure]) => [key, failure ?? { applied: true }]))
    },

    scan(prefix, page) {
      const query = queryBucket(prefix, page.signal)
      return scanPage({ query, runtime, timeoutMs: requestTimeoutMs }, table, prefix, page)
    },

    probe: (keys, { timeoutMs = requestTimeoutMs } = {}) =>
      probe(requests, table, keys, { runtime, timeoutMs }),

    serviceTime: () => serviceTime(clock),
  }
}

function traitsOf(table: string, { root, place }: Pick<DynamoDbRequests, "root" | "place">): BackendTraits {
  return {
    kind: KIND,
    target: table,
    get root() {
      return root()
    },
    system: "aws.dynamodb",
    get place() {
      return place()
    },
    responseAttributes,
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
    conditionalDelete: { call: "PutItem" },
  }
}

function keyedEntries(items: readonly Item[], now: number): KeyedEntry[] {
  return items.flatMap((item) => {
    const entry = entryOf(item, now, "scan")
    return entry === undefined ? [] : [{ key: keyOf(item), ...entry }]
  })
}
