import { CreateTableCommand, DeleteTableCommand, DynamoDBClient } from "@aws-sdk/client-dynamodb"
import { afterAll } from "vitest"
import { dynamodb } from "../tiers/dynamodb.ts"
import { describeConformance } from "./conformance/run.ts"
import { startDynamodbLocal } from "./servers/dynamodb.ts"
import { requireServer } from "./servers/server.ts"

await requireServer("dynamodb", startDynamodbLocal, (server) => {
  const settings = {
    endpoint: server.url,
    region: "eu-central-1",
    credentials: { accessKeyId: "local", secretAccessKey: "local" },
  }
  const client = new DynamoDBClient(settings)
  afterAll(() => client.destroy())
  let tables = 0

  async function createTable(): Promise<string> {
    const TableName = `table-${++tables}`
    await client.send(
      new CreateTableCommand({
        TableName,
        BillingMode: "PAY_PER_REQUEST",
        AttributeDefinitions: [
          { AttributeName: "pk", AttributeType: "S" },
          { AttributeName: "sk", AttributeType: "S" },
        ],
        KeySchema: [
          { AttributeName: "pk", KeyType: "HASH" },
          { AttributeName: "sk", KeyType: "RANGE" },
        ],
      }),
    )
    return TableName
  }

  describeConformance("dynamodb", {
    async createStore(runtime) {
      const table = await createTable()
      return {
        connect: () => dynamodb(settings, { table, runtime }),
        dispose: async () => void (await client.send(new DeleteTableCommand({ TableName: table }))),
      }
    },
  })
})
