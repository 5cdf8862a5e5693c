import { PutItemCommand } from "@aws-sdk/client-dynamodb"
import { Redis } from "ioredis"
import { vi } from "vitest"
import { azureTables } from "../../tiers/azure-tables/backend.ts"
import { partitionOf } from "../../tiers/azure-tables/row.ts"
import type { BackendTraits } from "../../tiers/backend.ts"
import { dynamodb } from "../../tiers/dynamodb/backend.ts"
import { primaryKey } from "../../tiers/dynamodb/row.ts"
import { firestore } from "../../tiers/firestore/backend.ts"
import { redis } from "../../tiers/redis/backend.ts"
import { systemRuntime } from "../../tiers/runtime.ts"
import { type AzuriteServer, newTable, startAzurite } from "../servers/azurite.ts"
import { actionOf, awsError, localTables, startDynamodbLocal } from "../servers/dynamodb.ts"
import { type FaultProxy, faultProxy, httpResponse, type Rule } from "../servers/fault-proxy.ts"
import { startFirestoreEmulator } from "../servers/firestore.ts"
import { startRedisServer } from "../servers/redis.ts"
import type { TestServer } from "../servers/server.ts"

/** A backend's server with a new store on it, as a user of `kv()` finds them: by URL, and the vendor's own variables. */
export interface NetworkedServer extends TestServer {
  /** In front of the server. */
  proxy: FaultProxy
  /** URL of the store through the proxy, and straight to the server. */
  proxied: string
  direct: string
  /** One more proxy, and the URL of the store through it. */
  newProxy(): Promise<{ lane: FaultProxy; url: string }>
  /** Puts a row under the key that is not a valid entry. */
  corrupt(key: string): Promise<unknown>
}

/** A read as it goes over the wire: the service's name of the call, and the keys that it asks for. */
export interface WireRead {
  call: string
  keys: number
}

/** What the tests need to know of a backend over a network to watch it from outside. */
export interface Networked {
  traits: BackendTraits
  start(): Promise<NetworkedServer>
  /** The reads of entries in a request. */
  readsIn(request: Buffer): WireRead[]
  isWrite(request: Buffer): boolean
  /** Throttles the next read, as the service does. `commands`: reads that arrive at once. */
  throttle(commands: number): Rule
}

const PROJECT = "demo-tiered-kv"
const matches = (text: string, pattern: RegExp) => text.match(pattern)?.length ?? 0

export const NETWORKED: Readonly<Record<string, Networked>> = {
  dynamodb: {
    traits: dynamodb({}, { table: "any" }).traits,
    async start() {
      const server = await startDynamodbLocal()
      vi.stubEnv("AWS_ACCESS_KEY_ID", "local").stubEnv("AWS_SECRET_ACCESS_KEY", "local")
      const tables = localTables(server)
      const table = await tables.create()
      const urlOf = (port: number) =>
        `dynamodb://eu-central-1/${table}?endpoint=${encodeURIComponent(`http://127.0.0.1:${port}`)}`
      return proxiedServer(server, "http1", urlOf, {
        corrupt: (key) =>
          tables.client.send(
            new PutItemCommand({ TableName: table, Item: { ...primaryKey(key), value: { S: "no bytes" } } }),
          ),
        close: async () => tables.client.destroy(),
      })
    },
    readsIn(request) {
      const call = actionOf(request)
      if (call !== "GetItem" && call !== "BatchGetItem") return []
      return [{ call, keys: matches(request.toString("latin1"), /"sk":/g) }]
    },
    isWrite: (request) => /PutItem|DeleteItem|BatchWriteItem/.test(actionOf(request)),
    throttle: () => ({
      kind: "respond",
      response: awsError("ProvisionedThroughputExceededException"),
      when: (request) => actionOf(request) === "BatchGetItem",
    }),
  },

  firestore: {
    traits: firestore({ projectId: PROJECT }, { collection: "any" }).traits,
    async start() {
      const server = await startFirestoreEmulator()
      const collection = `rows-${systemRuntime.id()}`
      const urlOf = (port: number) =>
        `firestore://${PROJECT}/(default)/${collection}?endpoint=127.0.0.1:${port}`
      const documents = `${server.url}/v1/projects/${PROJECT}/databases/(default)/documents`
      const write = async (document: string, body: object) => {
        const headers = { authorization: "Bearer owner" }
        const response = await fetch(`${documents}/${document}`, {
          method: "PATCH",
          headers,
          body: JSON.stringify(body),
        })
        if (!response.ok) throw new Error(await response.text())
      }
      // A cold emulator takes seconds for its first write, longer than a store waits.
      await write("warm-up/document", {})
      return proxiedServer(server, "http2", urlOf, {
        corrupt: (key) => write(`${collection}/${key}`, { fields: { value: { booleanValue: true } } }),
      })
    },
    readsIn(request) {
      const text = request.toString("latin1")
      if (text.includes("created_at")) return []
      const keys = matches(text, /\/documents\/rows-\w+\/[\w:]+/g)
      // The name of the call is in the headers, which are compressed.
      return keys === 0 ? [] : [{ call: "BatchGetDocuments", keys }]
    },
    isWrite: (request) => request.includes("created_at"),
    throttle: () => grpcRefusal(8),
  },

  "azure-tables": {
    traits: azureTables({}, { table: "any" }).traits,
    async start() {
      const server: AzuriteServer = await startAzurite()
      const table = await newTable(server)
      const urlOf = (port: number) => {
        const endpoint = `http://127.0.0.1:${port}/devstoreaccount1`
        return `azure-tables://devstoreaccount1/${table.tableName}?endpoint=${encodeURIComponent(endpoint)}`
      }
      return proxiedServer(server, "http1", urlOf, {
        corrupt: (key) =>
          table.upsertEntity({ partitionKey: partitionOf(key), rowKey: key, Value: "no base64!" }),
      })
    },
    readsIn: (request) =>
      /^GET [^ ]*\(PartitionKey=/.test(request.toString("latin1", 0, 200))
        ? [{ call: "QueryEntity", keys: 1 }]
        : [],
    isWrite: (request) => /^(PUT|POST|DELETE|MERGE|PATCH) /.test(request.toString("latin1", 0, 10)),
    throttle: () => ({
      kind: "respond",
      response: httpResponse(
        503,
        { "content-type": "application/json", "x-ms-error-code": "ServerBusy" },
        JSON.stringify({
          "odata.error": { code: "ServerBusy", message: { lang: "en-us", value: "injected" } },
        }),
      ),
    }),
  },

  // Without a prefix, so that stores of any name have the same rows.
  redis: {
    traits: redis("redis://localhost").traits,
    async start() {
      const server = await startRedisServer()
      const client = new Redis(server.url)
      return proxiedServer(server, "chunks", (port) => `redis://127.0.0.1:${port}?prefix=`, {
        corrupt: (key) => client.set(key, "no row"),
        close: async () => client.disconnect(),
      })
    },
    readsIn: (request) =>
      Array.from(
        request.toString("latin1").matchAll(/\*(\d+)\r\n\$\d+\r\n(m?get)\r\n/g),
        ([, length, call = ""]) => ({ call: call.toUpperCase(), keys: Number(length) - 1 }),
      ),
    isWrite: (request) => /\r\n(evalsha|eval|unlink)\r\n/.test(request.toString("latin1")),
    throttle: (commands) => ({
      kind: "respond",
      response: "-LOADING Redis is loading the dataset in memory\r\n".repeat(commands),
    }),
  },
}

async function proxiedServer(
  server: TestServer,
  protocol: Parameters<typeof faultProxy>[1],
  urlOf: (port: number) => string,
  { corrupt, close }: Pick<NetworkedServer, "corrupt"> & { close?: () => Promise<unknown> },
): Promise<NetworkedServer> {
  const proxy = await faultProxy(server.port, protocol)
  return {
    ...server,
    proxy,
    corrupt,
    proxied: urlOf(proxy.port),
    direct: urlOf(server.port),
    async newProxy() {
      const lane = await faultProxy(server.port, protocol)
      return { lane, url: urlOf(lane.port) }
    },
    async stop() {
      await close?.()
      await proxy.close()
      await server.stop()
    },
  }
}

/** A gRPC status in place of an answer, over HTTP/2: one HEADERS frame that ends the stream of the request. */
function grpcRefusal(status: number): Rule {
  const field = (name: string, value: string) => [0, name.length, name, value.length, value]
  const block = Buffer.concat(
    [0x88, ...field("content-type", "application/grpc"), ...field("grpc-status", String(status))].map(
      (part) => (typeof part === "number" ? Buffer.of(part) : Buffer.from(part)),
    ),
  )
  const head = Buffer.of(0, 0, block.length, 1, 5, 0, 0, 0, 0)
  const response = Buffer.concat([head, block])
  return {
    kind: "respond",
    response,
    when(request) {
      // The stream is that of the request's first frame.
      request.copy(response, 5, 5, 9)
      return true
    },
  }
}
