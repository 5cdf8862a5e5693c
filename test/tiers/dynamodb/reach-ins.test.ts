import { Agent } from "node:http"
import { DynamoDBClient, GetItemCommand, ListTablesCommand } from "@aws-sdk/client-dynamodb"
import { describe, expect, test } from "vitest"
import { connectDynamodb } from "../../../tiers/dynamodb/client.ts"
import { systemRuntime } from "../../../tiers/runtime.ts"
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
    await expect(
      connection.client.send(command(), connection.optionsOf(new AbortController().signal)),
    ).rejects.toThrow("reset")
    expect(requests, changed("the AWS SDK's middleware stack")).toBe(3)
    client.destroy()
  })

  test("does not use a middleware chain that it has kept once options are given", async () => {
    let requests = 0
    const handle = async () => {
      requests++
      throw Object.assign(new Error("reset"), { name: "TimeoutError" })
    }
    const requestHandler = { handle }
    const client = new DynamoDBClient({ ...settings, maxAttempts: 2, cacheMiddleware: true, requestHandler })
    const connection = await connectDynamodb(client, systemRuntime)
    const { signal } = new AbortController()
    for (const [over, options, attempts] of [
      [client, undefined, 2],
      [connection.client, connection.optionsOf(signal), 1],
      [client, undefined, 2],
    ] as const) {
      requests = 0
      const command = new GetItemCommand({ TableName: "t", Key: { key: { S: "a" } } })
      await expect(over.send(command, options)).rejects.toThrow("reset")
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
        message: expect.stringMatching(/did not establish a connection|without establishing a connection/),
      },
    )
    client.destroy()
  })
})
