import { Agent } from "node:http"
import { DynamoDBClient, GetItemCommand, ListTablesCommand } from "@aws-sdk/client-dynamodb"
import { describe, expect, test } from "vitest"
import { connectDynamodb } from "../../../tiers/dynamodb/client.ts"
import { beginExchange } from "../../../tiers/dynamodb/exchange.ts"
import { systemRuntime } from "../../../tiers/runtime.ts"
import { AnswerClock } from "../../../tiers/util/answer-clock.ts"
import { changed } from "../../support/canary.ts"

describe("@aws-sdk/client-dynamodb", () => {
  const settings = {
    region: "eu-central-1",
    endpoint: "http://127.0.0.1:1",
    credentials: { accessKeyId: "local", secretAccessKey: "local" },
  }

  test("has middlewares named retryMiddleware and loggerMiddleware", () => {
    const client = new DynamoDBClient(settings)
    const names = client.middlewareStack.identify().map((described) => described.split(" ")[0])
    expect(names, changed("the AWS SDK's middleware stack")).toEqual(
      expect.arrayContaining(["retryMiddleware", "loggerMiddleware"]),
    )
    client.destroy()
  })

  const clock = new AnswerClock(systemRuntime)
  /** Sends a command as a backend does. */
  const sendOver = (client: DynamoDBClient, command: GetItemCommand) => {
    beginExchange(command, new AbortController().signal, clock)
    return client.send(command)
  }

  test("retries no more once retryMiddleware is replaced on a copy of the stack", async () => {
    let requests = 0
    const handle = async () => {
      requests++
      throw Object.assign(new Error("reset"), { name: "TimeoutError" })
    }
    const client = new DynamoDBClient({ ...settings, maxAttempts: 2, requestHandler: { handle } })
    const command = () => new GetItemCommand({ TableName: "t", Key: { key: { S: "a" } } })
    await expect(client.send(command())).rejects.toThrow("reset")
    expect(requests).toBe(2)
    const connection = await connectDynamodb(client, systemRuntime)
    await expect(sendOver(connection.client, command())).rejects.toThrow("reset")
    expect(requests, changed("the AWS SDK's middleware stack")).toBe(3)
    client.destroy()
  })

  test("keeps the middleware chains that it has built in `handlers` of the client", async () => {
    let requests = 0
    const handle = async () => {
      requests++
      throw Object.assign(new Error("reset"), { name: "TimeoutError" })
    }
    const requestHandler = { handle }
    const client = new DynamoDBClient({ ...settings, maxAttempts: 2, cacheMiddleware: true, requestHandler })
    const command = () => new GetItemCommand({ TableName: "t", Key: { key: { S: "a" } } })
    const connection = await connectDynamodb(client, systemRuntime)
    for (const [send, attempts] of [
      [() => client.send(command()), 2],
      [() => sendOver(connection.client, command()), 1],
      [() => sendOver(connection.client, command()), 1],
      [() => client.send(command()), 2],
    ] as const) {
      requests = 0
      await expect(send()).rejects.toThrow("reset")
      expect(requests, changed("the AWS SDK's cache of middleware chains")).toBe(attempts)
    }
    client.destroy()
  })

  test("says by the text of the error that no connection was made in time", async () => {
    const httpAgent = new Agent({ lookup: () => {} })
    const requestHandler = { connectionTimeout: 10, httpAgent }
    const client = new DynamoDBClient({
      ...settings,
      endpoint: "http://host",
      maxAttempts: 1,
      requestHandler,
    })
    await expect(client.send(new ListTablesCommand({})), changed("the AWS SDK's text")).rejects.toMatchObject(
      {
        name: "TimeoutError",
        message: expect.stringContaining("did not establish a connection"),
      },
    )
    client.destroy()
  })
})
