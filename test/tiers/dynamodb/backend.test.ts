import { afterAll } from "vitest"
import { dynamodb } from "../../../tiers/dynamodb/backend.ts"
import { localSettings, localTables, startDynamodbLocal } from "../../servers/dynamodb.ts"
import { requireServer } from "../../servers/require-server.ts"
import { describeConformance } from "../../support/conformance/run.ts"

await requireServer("dynamodb", startDynamodbLocal, (server) => {
  const settings = localSettings(server.port)
  const tables = localTables(server)
  afterAll(() => tables.client.destroy())

  describeConformance("dynamodb", {
    async createStore(runtime) {
      const table = await tables.create()
      return { connect: () => dynamodb(settings, { table, runtime }), dispose: () => tables.drop(table) }
    },
  })
})
