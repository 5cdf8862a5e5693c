import type { BackendDescription } from "../binding.ts"

interface AzureTablesPlace {
  account: string
  table: string
  endpoint?: string
}

export const azureTablesDescription: BackendDescription<AzureTablesPlace> = {
  kind: "azure-tables",
  url: {
    forms: { "azure-tables": "azure-tables://ACCOUNT/TABLE" },
    read: (url) => url.place(["account", "table"], ["endpoint"]),
  },
  alien: {
    service: "tablestorage",
    read(fields) {
      const { account, table } = fields.texts({
        // Requests to a table do not name its resource group.
        resourceGroupName: "resourceGroup",
        accountName: "account",
        tableName: "table",
      })
      return { account, table }
    },
  },
  async make({ table, ...settings }, { runtime, timeoutMs }) {
    const { azureTables } = await import("./backend.ts")
    return azureTables(settings, { table, runtime, requestTimeoutMs: timeoutMs })
  },
}
