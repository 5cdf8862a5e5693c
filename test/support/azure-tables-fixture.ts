import { azureTables } from "../../tiers/azure-tables/backend.ts"
import type { Backend } from "../../tiers/backend.ts"
import { systemRuntime } from "../../tiers/runtime.ts"
import { bucketOf } from "../../tiers/util/bucket.ts"
import { type AzuriteServer, azuriteConnectionString, newTable, startAzurite } from "../servers/azurite.ts"
import { type FaultProxy, faultProxy } from "../servers/fault-proxy.ts"

export interface ProxiedAzurite extends AzuriteServer {
  proxy: FaultProxy
  /** Behind the proxy. */
  backend: Backend
  /** Straight to the server. */
  direct: Backend
  /** The table of both. */
  table: string
}

/** Azurite, with two backends over a new table of it, one of them behind a fault proxy. */
export async function startProxiedAzurite(): Promise<ProxiedAzurite> {
  const server = await startAzurite()
  const proxy = await faultProxy(server.port, "http1")
  const { tableName: table } = await newTable(server)
  const direct = azureTables({ connectionString: server.connectionString }, { table })
  const backend = azureTables({ connectionString: azuriteConnectionString(proxy.port) }, { table })
  await Promise.all([direct.open(), backend.open()])
  return {
    ...server,
    proxy,
    backend,
    direct,
    table,
    async stop() {
      await Promise.all([direct.close(), backend.close()])
      await proxy.close()
      await server.stop()
    },
  }
}

/** New keys that lie in one partition, so that they travel in one transaction. */
export function keysOfOnePartition(count: number): string[] {
  const found: string[] = []
  while (found.length < count) {
    const key = systemRuntime.id()
    if (bucketOf(key) === 3) found.push(key)
  }
  return found
}
