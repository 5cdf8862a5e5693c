import type { BackendDescription } from "../binding.ts"

interface DynamoDbPlace {
  region?: string
  table: string
  endpoint?: string
}

export const dynamodbDescription: BackendDescription<DynamoDbPlace> = {
  kind: "dynamodb",
  url: {
    forms: { dynamodb: "dynamodb://REGION/TABLE" },
    read: (url) => url.place(["region", "table"], ["endpoint"]),
  },
  alien: {
    service: "dynamodb",
    read: (fields) => fields.texts({ tableName: "table" }, { region: "region", endpointUrl: "endpoint" }),
  },
  async make({ table, ...settings }, { runtime, timeoutMs }) {
    const { dynamodb } = await import("./backend.ts")
    return dynamodb(settings, { table, runtime, requestTimeoutMs: timeoutMs })
  },
}
