import type { BatchGetItemCommandOutput, WriteRequest } from "@aws-sdk/client-dynamodb"
import { KvError } from "../errors.ts"
import { ofKey } from "../util/key-error.ts"
import type { DynamoDbSdk } from "./client.ts"
import { KIND } from "./errors.ts"
import type { DynamoDbRequests } from "./requests.ts"
import { type Item, keyOf, type Projection, primaryKey } from "./row.ts"

/** The limits of `BatchGetItem` and `BatchWriteItem`, in items. Entries are too small to reach the limits in bytes. */
export const MAX_READ_BATCH = 100
export const MAX_WRITE_BATCH = 25

/** Reads the rows under the keys, or the projected attributes of them, in one request. */
export function batchGet(table: string, keys: readonly string[], projection?: Projection) {
  const rows = { Keys: keys.map(primaryKey), ConsistentRead: true, ...projection }
  return (sdk: DynamoDbSdk) => new sdk.BatchGetItemCommand({ RequestItems: { [table]: rows } })
}

/** The rows in the answer, and the error of each key that the service left unprocessed. */
export function batchGotten(
  table: string,
  operation: string,
  { Responses, UnprocessedKeys }: BatchGetItemCommandOutput,
): { items: readonly Item[]; unprocessed: Map<string, KvError> } {
  const left = UnprocessedKeys?.[table]?.Keys?.map(keyOf) ?? []
  return {
    items: Responses?.[table] ?? [],
    unprocessed: new Map(left.map((key) => [key, unprocessed(table, operation, key)])),
  }
}

/** Sends one write for each key in one request. Each key is in the map, with its error if it has one. */
export async function batchWrite(
  { request }: DynamoDbRequests,
  table: string,
  { operation, limitMs }: { operation: string; limitMs: number | undefined },
  writes: ReadonlyMap<string, WriteRequest>,
): Promise<Map<string, KvError | undefined>> {
  if (writes.size === 0) return new Map()
  const keys = [...writes.keys()]
  try {
    const { UnprocessedItems } = await request(
      { operation, effect: "write", limitMs },
      (sdk) => new sdk.BatchWriteItemCommand({ RequestItems: { [table]: [...writes.values()] } }),
    )
    const left = new Set(UnprocessedItems?.[table]?.map(writtenKey))
    return new Map(keys.map((key) => [key, left.has(key) ? unprocessed(table, operation, key) : undefined]))
  } catch (error) {
    if (!(error instanceof KvError) || error.code === "CLOSED") throw error
    return new Map(keys.map((key) => [key, ofKey(error, key)]))
  }
}

function unprocessed(table: string, operation: string, key: string): KvError {
  const message = `DynamoDB left the key out of a batch on table ${table}, for lack of capacity; try again later`
  return new KvError("THROTTLED", message, { operation, backend: KIND, key })
}

function writtenKey({ PutRequest, DeleteRequest }: WriteRequest): string {
  return keyOf(PutRequest?.Item ?? DeleteRequest?.Key)
}
