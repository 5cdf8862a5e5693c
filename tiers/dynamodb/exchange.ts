import type { DynamoDBClient } from "@aws-sdk/client-dynamodb"
import type { AnswerClock, Moment } from "../util/answer-clock.ts"

/** One request over HTTP with its answer. */
interface Exchange {
  /** Cancels the request, also in the middle of the body of its answer. */
  readonly cancel: AbortSignal
  readonly sent: Moment
  /** Learns the time of the answer. */
  readonly clock: AnswerClock
  /** The id of the key that signed the request; `undefined`: it is not sent yet, or not signed. */
  signedBy: string | undefined
}

/** The input of each command under way → its exchange. */
const exchanges = new WeakMap<object, Exchange>()

/** Begins the exchange of a command, which is then sent over a client of {@link addExchanges}. */
export function beginExchange(
  { input }: { input: object },
  cancel: AbortSignal,
  clock: AnswerClock,
): Readonly<Exchange> {
  const exchange = { cancel, sent: clock.moment(), clock, signedBy: undefined }
  exchanges.set(input, exchange)
  return exchange
}

/** Adds the innermost middleware, which makes the HTTP request in the exchange of its command. */
export function addExchanges(client: DynamoDBClient): void {
  client.middlewareStack.add(
    (next) => async (args) => {
      const exchange = exchanges.get(args.input)
      if (exchange === undefined) return next(args)
      const { cancel, sent, clock } = exchange
      exchange.signedBy = keyIdOf(args.request)
      const answer = await client.config.requestHandler.handle(args.request, { abortSignal: cancel })
      clock.learnDate(sent, dateOf(answer.response))
      return answer
    },
    { name: "exchangeMiddleware", step: "deserialize", priority: "low" },
  )
}

/** The id of the key in the header of Signature Version 4: `AWS4-HMAC-SHA256 Credential=ID/DATE/…`. */
function keyIdOf(request: unknown): string | undefined {
  const header = property(property(request, "headers"), "authorization")
  return typeof header === "string" ? /Credential=([^/]+)\//.exec(header)?.[1] : undefined
}

function dateOf(response: unknown): unknown {
  return property(property(response, "headers"), "date")
}

function property(of: unknown, name: string): unknown {
  return typeof of === "object" && of !== null ? Reflect.get(of, name) : undefined
}
