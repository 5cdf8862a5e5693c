import type { DynamoDBClient } from "@aws-sdk/client-dynamodb"
import { OpenOnce } from "../util/open-once.ts"
import {
  connectDynamodb,
  type DynamoDbConnection,
  type DynamoDbConnectOptions,
  type DynamoDbRequest,
  type DynamoDbSettings,
} from "./client.ts"
import { KIND, toKvError } from "./errors.ts"

/** What one request is, for its errors; `write`: without an answer it may have changed something. */
export interface Call {
  operation: string
  key?: string
  action?: string
  write?: boolean
  /** Ends the request. */
  signal?: AbortSignal | undefined
}

/** Makes one request: `options` are for `client.send`. */
export type Send<T> = (connection: DynamoDbConnection, options: DynamoDbRequest["options"]) => Promise<T>

export interface DynamoDbRequests {
  open(): Promise<void>
  /** What breaks the request leaves as a `KvError`, or as the reason of its signal. */
  request<T>(call: Call, send: Send<T>): Promise<T>
  close(): Promise<void>
}

/** The requests of one backend to one table, from when it opens until it closes. */
export function dynamodbRequests(
  target: DynamoDBClient | DynamoDbSettings,
  { table, ...options }: DynamoDbConnectOptions & { table: string },
): DynamoDbRequests {
  const connection = new OpenOnce(KIND, () => connectDynamodb(target, options))

  return {
    open: () => connection.open(),
    close: () => connection.close(),

    async request({ signal, ...call }, send) {
      signal?.throwIfAborted()
      const opened = connection.use(call.operation, call.key)
      const attempt = opened.begin(signal)
      try {
        return await send(opened, attempt.options)
      } catch (error) {
        signal?.throwIfAborted()
        throw toKvError(error, { table, write: false, ...call })
      } finally {
        attempt.end()
      }
    },
  }
}
