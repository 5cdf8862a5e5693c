import type {
  $Command,
  DynamoDBClient,
  DynamoDBClientResolvedConfig,
  ServiceInputTypes,
  ServiceOutputTypes,
} from "@aws-sdk/client-dynamodb"

export type DynamoDbCommand<Input extends ServiceInputTypes, Output extends ServiceOutputTypes> = $Command<
  Input,
  Output,
  DynamoDBClientResolvedConfig,
  ServiceInputTypes,
  ServiceOutputTypes
>

/** One request over HTTP with its answer. */
export interface Exchange {
  /** Cancels the request, also in the middle of the body of its answer. */
  readonly cancel: AbortSignal
  /** Is called when the head of an answer has come, with its header `Date`. */
  answered(date: unknown): void
}

/** The input of each command under way → its exchange. */
const exchanges = new WeakMap<object, Exchange>()

/** Sends a command over a client that {@link addExchanges} has prepared. */
export function sendIn<Input extends ServiceInputTypes, Output extends ServiceOutputTypes>(
  client: DynamoDBClient,
  command: DynamoDbCommand<Input, Output>,
  exchange: Exchange,
): Promise<Output> {
  exchanges.set(command.input, exchange)
  // The abort signal is no option of `send`: with options the SDK builds its middleware chain anew, a quarter of the CPU of a request.
  return client.send(command)
}

/** Adds the innermost middleware, which sends the HTTP request itself, within its exchange. */
export function addExchanges(client: DynamoDBClient): void {
  client.middlewareStack.add(
    (next) => async (args) => {
      const exchange = exchanges.get(args.input)
      if (exchange === undefined) return next(args)
      const { requestHandler } = client.config
      const answer = await requestHandler.handle(args.request, { abortSignal: exchange.cancel })
      exchange.answered(dateOf(answer.response))
      return answer
    },
    { name: "exchangeMiddleware", step: "deserialize", priority: "low" },
  )
}

function dateOf(response: unknown): unknown {
  const headers = property(response, "headers")
  return property(headers, "date")
}

function property(of: unknown, name: string): unknown {
  return typeof of === "object" && of !== null ? Reflect.get(of, name) : undefined
}
