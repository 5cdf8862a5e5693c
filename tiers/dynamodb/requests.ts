import type { DynamoDBClient } from "@aws-sdk/client-dynamodb"
import { KvError } from "../errors.ts"
import {
  connectDynamodb,
  type DynamoDbConnection,
  type DynamoDbConnectOptions,
  type DynamoDbRequest,
  type DynamoDbSettings,
} from "./client.ts"
import { toKvError } from "./errors.ts"

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
  let opening: Promise<DynamoDbConnection> | undefined
  let connection: DynamoDbConnection | undefined

  return {
    async open() {
      opening ??= connectDynamodb(target, options)
      const opened = opening
      try {
        const made = await opened
        if (opening === opened) connection = made
      } catch (error) {
        if (opening === opened) opening = undefined
        throw error
      }
    },

    async request({ signal, ...call }, send) {
      signal?.throwIfAborted()
      if (connection === undefined) {
        throw new KvError("CLOSED", "the backend is not open", { ...call, backend: "dynamodb" })
      }
      const attempt = connection.begin(signal)
      try {
        return await send(connection, attempt.options)
      } catch (error) {
        signal?.throwIfAborted()
        throw toKvError(error, { table, write: false, ...call })
      } finally {
        attempt.end()
      }
    },

    async close() {
      const opened = opening
      opening = undefined
      connection = undefined
      const made = await opened?.catch(() => undefined)
      made?.release()
    },
  }
}
