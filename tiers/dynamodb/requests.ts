import type {
  $Command,
  DynamoDBClient,
  DynamoDBClientResolvedConfig,
  ServiceInputTypes,
  ServiceOutputTypes,
} from "@aws-sdk/client-dynamodb"
import type { Place } from "../backend.ts"
import type { Runtime } from "../runtime.ts"
import { AnswerClock } from "../util/answer-clock.ts"
import { LimitedRequest } from "../util/limited-request.ts"
import { OpenOnce } from "../util/open-once.ts"
import { checkTarget, connectDynamodb, type DynamoDbSdk, type DynamoDbSettings } from "./client.ts"
import { hadExpired, lackedCredentials, renewCredentials } from "./credentials.ts"
import { type FailedRequest, KIND, toKvError } from "./errors.ts"
import { beginExchange } from "./exchange.ts"
import { isEndOfChain, mayMetadataComeBack } from "./instance-metadata.ts"

/** One request, with what its errors say of it. */
export interface Request
  extends Omit<FailedRequest, "table" | "hadCredentials" | "sourceIsAway" | "renewed"> {
  /** Longest time of the request with its whole answer, ms. @default `requestTimeoutMs` of the backend */
  limitMs?: number | undefined
  /** Cancels the request. */
  signal?: AbortSignal | undefined
}

/** Makes the command to send. */
export type MakeCommand<Input extends ServiceInputTypes, Output extends ServiceOutputTypes> = (
  sdk: DynamoDbSdk,
) => $Command<Input, Output, DynamoDBClientResolvedConfig, ServiceInputTypes, ServiceOutputTypes>

export interface DynamoDbRequests {
  /** The time of the service, from the answers to the requests. */
  readonly clock: AnswerClock
  open(): Promise<void>
  /** Names endpoint, region and table. */
  root(): string
  /** Where requests go. */
  place(): Place
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
  const clock = new AnswerClock(runtime)
  let hadCredentials = false

  return {
    clock,
    open: () => connection.open(),
    close: () => connection.close(),
    root: () => JSON.stringify([KIND, connection.held?.address, table]),
    place() {
      const { region, host } = { ...connection.held?.address }
      const url = host === undefined ? undefined : new URL(`http://${host}`)
      return {
        collection: table,
        ...(region === undefined ? {} : { region }),
        ...(url === undefined ? {} : { address: url.hostname }),
        ...(url === undefined || url.port === "" ? {} : { port: Number(url.port) }),
      }
    },

    async request({ limitMs = requestTimeoutMs, signal, ...request }, command) {
      const { sdk, client, optionsOf } = connection.use(request.operation, request.key)
      let signedBy: string | undefined
      try {
        const limited = new LimitedRequest(runtime, limitMs, signal)
        const toSend = command(sdk)
        const exchange = beginExchange(toSend, limited.cancel, clock)
        try {
          return await limited.bound(client.send(toSend, optionsOf(limited.cancel)))
        } finally {
          signedBy = exchange.signedBy
          hadCredentials ||= signedBy !== undefined
        }
      } catch (error) {
        signal?.throwIfAborted()
        const renewed =
          signedBy !== undefined && hadExpired(error) && (await renewCredentials(client, signedBy, runtime))
        const sourceIsAway =
          lackedCredentials(error) &&
          isEndOfChain(error) &&
          !hadCredentials &&
          (await mayMetadataComeBack(runtime))
        throw toKvError(error, { table, hadCredentials, sourceIsAway, renewed, ...request })
      }
    },
  }
}
