import type {
  $Command,
  DynamoDBClient,
  DynamoDBClientResolvedConfig,
  ServiceInputTypes,
  ServiceOutputTypes,
} from "@aws-sdk/client-dynamodb"
import { OpenOnce } from "../util/open-once.ts"
import {
  checkTarget,
  connectDynamodb,
  type DynamoDbConnectOptions,
  type DynamoDbSdk,
  type DynamoDbSettings,
} from "./client.ts"
import { KIND, toKvError } from "./errors.ts"

/** What one request is, for its errors. */
export interface Request {
  /** The method of the backend that makes it. */
  operation: string
  key?: string
  /** The API's own name of the request, where the operation does not tell. */
  action?: string
  /** Whether it may have changed something though it is not answered. @default false */
  write?: boolean
  /** Ends the request. */
  signal?: AbortSignal | undefined
}

/** Makes the command to send. */
export type MakeCommand<Input extends ServiceInputTypes, Output extends ServiceOutputTypes> = (
  sdk: DynamoDbSdk,
) => $Command<Input, Output, DynamoDBClientResolvedConfig, ServiceInputTypes, ServiceOutputTypes>

export interface DynamoDbRequests {
  open(): Promise<void>
  /** Sends one command. What breaks the request leaves as a `KvError`, or as the reason of its signal. */
  request<Input extends ServiceInputTypes, Output extends ServiceOutputTypes>(
    request: Request,
    command: MakeCommand<Input, Output>,
  ): Promise<Output>
  close(): Promise<void>
}

/** The requests of one backend to one table, from when it opens until it closes. Throws `INVALID_OPTION`. */
export function dynamodbRequests(
  target: DynamoDBClient | DynamoDbSettings,
  { table, ...options }: DynamoDbConnectOptions & { table: string },
): DynamoDbRequests {
  checkTarget(target)
  const connection = new OpenOnce(KIND, () => connectDynamodb(target, options))

  return {
    open: () => connection.open(),
    close: () => connection.close(),

    async request({ signal, ...request }, command) {
      signal?.throwIfAborted()
      const { sdk, client, begin } = connection.use(request.operation, request.key)
      const time = begin(signal)
      try {
        return await client.send(command(sdk), time.options)
      } catch (error) {
        signal?.throwIfAborted()
        throw toKvError(error, { table, write: false, ...request })
      } finally {
        time.end()
      }
    },
  }
}
