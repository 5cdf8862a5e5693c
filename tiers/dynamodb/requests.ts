import type { DynamoDBClient, ServiceInputTypes, ServiceOutputTypes } from "@aws-sdk/client-dynamodb"
import type { Runtime } from "../runtime.ts"
import { limited } from "../util/limited.ts"
import { OpenOnce } from "../util/open-once.ts"
import {
  checkTarget,
  connectDynamodb,
  type DynamoDbCommand,
  type DynamoDbSdk,
  type DynamoDbSettings,
} from "./client.ts"
import { type FailedRequest, KIND, toKvError } from "./errors.ts"

/** One request, with what its errors say of it. */
export interface Request extends Omit<FailedRequest, "table"> {
  /** Longest time of the request with its whole answer, ms. @default the limit of all requests */
  limitMs?: number
  /** Cancels the request. */
  signal?: AbortSignal | undefined
}

/** Makes the command to send. */
export type MakeCommand<Input extends ServiceInputTypes, Output extends ServiceOutputTypes> = (
  sdk: DynamoDbSdk,
) => DynamoDbCommand<Input, Output>

export interface DynamoDbRequests {
  open(): Promise<void>
  /** Sends one command, once. Rejects with a `KvError`, or with the reason of the request's signal. */
  request<Input extends ServiceInputTypes, Output extends ServiceOutputTypes>(
    request: Request,
    command: MakeCommand<Input, Output>,
  ): Promise<Output>
  close(): Promise<void>
}

/** The requests of one backend to one table, from when it opens until it closes. Throws `INVALID_OPTION`. */
export function dynamodbRequests(
  target: DynamoDBClient | DynamoDbSettings,
  { table, requestTimeoutMs, runtime }: { table: string; requestTimeoutMs: number; runtime: Runtime },
): DynamoDbRequests {
  checkTarget(target)
  const connection = new OpenOnce(KIND, () => connectDynamodb(target, runtime))

  return {
    open: () => connection.open(),
    close: () => connection.close(),

    async request({ limitMs = requestTimeoutMs, signal, ...request }, command) {
      signal?.throwIfAborted()
      const { sdk, send } = connection.use(request.operation, request.key)
      try {
        return await limited(runtime, limitMs, signal, (cancel) => send(command(sdk), cancel))
      } catch (error) {
        signal?.throwIfAborted()
        throw toKvError(error, { table, ...request })
      }
    },
  }
}
