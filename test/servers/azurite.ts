import { randomUUID } from "node:crypto"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { createRequire } from "node:module"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { TableClient } from "@azure/data-tables"
import { sharedServer } from "../support/shared.ts"
import { accepts, freePort, ServerUnavailable, startProcess, type TestServer } from "./server.ts"

/** Azurite's table service, with what a client needs to reach it. */
export interface AzuriteServer extends TestServer {
  /** For the account and the published key that every Azurite has. */
  readonly connectionString: string
}

/** The Azurite that the files of the run share. */
export const startAzurite = (): Promise<AzuriteServer> => sharedServer("azure-tables")

/** Starts the table service of Microsoft's own emulator, in memory, from the npm package `azurite`. */
export async function launchAzurite(): Promise<AzuriteServer> {
  const folder = packageFolder()
  const port = await freePort()
  const scratch = mkdtempSync(join(tmpdir(), "tiered-kv-azurite-"))
  const azurite = await startProcess(
    process.execPath,
    [
      join(folder, "dist/src/table/main.js"),
      ...["--tableHost", "127.0.0.1", "--tablePort", String(port)],
      ...["--silent", "--skipApiVersionCheck", "--inMemoryPersistence", "--disableTelemetry"],
    ],
    { ready: () => accepts(port), cwd: scratch, remedy: "run `npm install`" },
  )
  return {
    name: "Azurite",
    version: readVersion(folder),
    port,
    url: `http://127.0.0.1:${port}/${ACCOUNT}`,
    connectionString: azuriteConnectionString(port),
    async stop() {
      await azurite.stop()
      rmSync(scratch, { recursive: true, force: true })
    },
  }
}

/** A client for a new table. */
export async function newTable({ connectionString }: AzuriteServer): Promise<TableClient> {
  const name = `t${randomUUID().replaceAll("-", "")}`
  const client = TableClient.fromConnectionString(connectionString, name, {
    allowInsecureConnection: true,
    retryOptions: { maxRetries: 0 },
  })
  await client.createTable()
  return client
}

/** The connection string of an Azurite, or of a proxy in front of one, on this loopback port. */
export function azuriteConnectionString(port: number): string {
  return (
    `DefaultEndpointsProtocol=http;AccountName=${ACCOUNT};AccountKey=${PUBLISHED_KEY};` +
    `TableEndpoint=http://127.0.0.1:${port}/${ACCOUNT};`
  )
}

const ACCOUNT = "devstoreaccount1"
/** The same in every Azurite; Microsoft documents it. */
const PUBLISHED_KEY =
  "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

function packageFolder(): string {
  try {
    return dirname(createRequire(import.meta.url).resolve("azurite/package.json"))
  } catch (error) {
    throw new ServerUnavailable("the npm package `azurite` is not installed", "run `npm install`", {
      cause: error,
    })
  }
}

function readVersion(folder: string): string {
  const manifest: unknown = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"))
  return typeof manifest === "object" && manifest !== null && "version" in manifest
    ? String(manifest.version)
    : "of unknown version"
}
