import { azureTables } from "../../../tiers/azure-tables/backend.ts"
import { newTable, startAzurite } from "../../servers/azurite.ts"
import { requireServer } from "../../servers/require-server.ts"
import { describeConformance } from "../../support/conformance/run.ts"

await requireServer("azure-tables", startAzurite, (server) => {
  describeConformance("azure-tables", {
    async createStore(runtime) {
      const client = await newTable(server)
      const { connectionString } = server
      return {
        connect: () => azureTables({ connectionString }, { table: client.tableName, runtime }),
        async dispose() {
          await client.deleteTable()
        },
      }
    },
  })
})
