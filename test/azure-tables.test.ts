import { randomUUID } from "node:crypto"
import { TableClient } from "@azure/data-tables"
import { azureTables } from "../tiers/azure-tables.ts"
import { describeConformance } from "./conformance/run.ts"
import { startAzurite } from "./servers/azurite.ts"
import { requireServer } from "./servers/server.ts"

await requireServer("azure-tables", startAzurite, (server) => {
  describeConformance("azure-tables", {
    async createStore(runtime) {
      const table = `t${randomUUID().replaceAll("-", "")}`
      const client = TableClient.fromConnectionString(server.connectionString, table, {
        allowInsecureConnection: true,
      })
      await client.createTable()
      return {
        connect: () => azureTables({ connectionString: server.connectionString }, { table, runtime }),
        async dispose() {
          await client.deleteTable()
        },
      }
    },
  })
})
