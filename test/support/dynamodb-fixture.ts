import { type AttributeValue, GetItemCommand, PutItemCommand } from "@aws-sdk/client-dynamodb"
import type { Backend } from "../../tiers/backend.ts"
import { dynamodb } from "../../tiers/dynamodb/backend.ts"
import { primaryKey } from "../../tiers/dynamodb/row.ts"
import { localSettings, localTables, startDynamodbLocal } from "../servers/dynamodb.ts"
import { type FaultProxy, faultProxy } from "../servers/fault-proxy.ts"
import type { TestServer } from "../servers/server.ts"

type Attributes = Record<string, AttributeValue>

export interface ProxiedDynamodb extends TestServer {
  readonly proxy: FaultProxy
  readonly tables: ReturnType<typeof localTables>
  /** A table of this file. */
  readonly table: string
  /** Over that table, behind the proxy. */
  readonly backend: Backend
  /** Writes a row, straight to the server. */
  storeRow(key: string, attributes: Attributes, table?: string): Promise<void>
  /** Reads a row, straight from the server. */
  rowOf(key: string, table?: string): Promise<Attributes | undefined>
}

/** DynamoDB Local behind a fault proxy, with a table and a backend over it. */
export async function startProxiedDynamodb(): Promise<ProxiedDynamodb> {
  const server = await startDynamodbLocal()
  const tables = localTables(server)
  const { client } = tables
  const proxy = await faultProxy(server.port, "http1")
  const ownTable = await tables.create()
  const backend = dynamodb(localSettings(proxy.port), { table: ownTable })
  await backend.open()
  return {
    ...server,
    proxy,
    tables,
    table: ownTable,
    backend,
    async storeRow(key, attributes, table = ownTable) {
      await client.send(new PutItemCommand({ TableName: table, Item: { ...primaryKey(key), ...attributes } }))
    },
    async rowOf(key, table = ownTable) {
      const input = { TableName: table, Key: primaryKey(key), ConsistentRead: true }
      return (await client.send(new GetItemCommand(input))).Item
    },
    async stop() {
      await backend.close()
      await proxy.close()
      client.destroy()
      await server.stop()
    },
  }
}
