import type { WriteRequest } from "@aws-sdk/client-dynamodb"
import { KvError } from "../errors.ts"
import { ofKey } from "../util/key-error.ts"
import { KIND } from "./errors.ts"
import type { DynamoDbRequests } from "./requests.ts"
import { type Item, keyOf, type Projection, primaryKey } from "./row.ts"

/** The limits of `BatchGetItem` and `BatchWriteItem`, in items. Entries are too small to reach the limits in bytes. */
export const MAX_READ_BATCH = 100
export const MAX_WRITE_BATCH = 25

interface Batch {
  /** The method of the backend that sends it. */
  operation: string
  limitMs?: number | undefined
}

interface ReadBatch {
  /** The rows that are there. */
  items: readonly Item[]
  /** The keys that the service left unprocessed, each with its error. */
  unprocessed: Map<string, KvError>
}

export interface DynamoDbBatches {
  /** Reads the rows under the keys in one request, or the projected attributes of them. */
  read(batch: Batch, keys: readonly string[], projection?: Projection): Promise<ReadBatch>
  /** Sends one write for each key in one request. Each key is in the map, with its error if it has one. */
  write(batch: Batch, writes: ReadonlyMap<string, WriteRequest>): Promise<Map<string, KvError | undefined>>
}

/** The batched requests of one backend. Neither sends a request without keys. */
export function dynamodbBatches({ request }: DynamoDbRequests, table: string): DynamoDbBatches {
  function unprocessed(operation: string, key: string): KvError {
    const message = `DynamoDB left the key out of a batch on table ${table}, for lack of capacity; try again later`
    return new KvError("THROTTLED", message, { operation, backend: KIND, key })
  }

  return {
    async read({ operation, limitMs }, keys, projection) {
      if (keys.length === 0) return { items: [], unprocessed: new Map() }
      const rows = { Keys: keys.map(primaryKey), ConsistentRead: true, ...projection }
      const { Responses, UnprocessedKeys } = await request(
        { operation, effect: "read", limitMs },
        (sdk) => new sdk.BatchGetItemCommand({ RequestItems: { [table]: rows } }),
      )
      const left = UnprocessedKeys?.[table]?.Keys?.map(keyOf) ?? []
      return {
        items: Responses?.[table] ?? [],
        unprocessed: new Map(left.map((key) => [key, unprocessed(operation, key)])),
      }
    },

    async write({ operation, limitMs }, writes) {
      if (writes.size === 0) return new Map()
      const keys = [...writes.keys()]
      try {
        const { UnprocessedItems } = await request(
          { operation, effect: "write", limitMs },
          (sdk) => new sdk.BatchWriteItemCommand({ RequestItems: { [table]: [...writes.values()] } }),
        )
        const left = new Set(UnprocessedItems?.[table]?.map(writtenKey))
        return new Map(keys.map((key) => [key, left.has(key) ? unprocessed(operation, key) : undefined]))
      } catch (error) {
        if (!(error instanceof KvError) || error.code === "CLOSED") throw error
        return new Map(keys.map((key) => [key, ofKey(error, key)]))
      }
    },
  }
}

function writtenKey({ PutRequest, DeleteRequest }: WriteRequest): string {
  return keyOf(PutRequest?.Item ?? DeleteRequest?.Key)
}
