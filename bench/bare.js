import { startAzurite, startDynamodbLocal, startFirestoreEmulator, startRedis } from "./servers.js"

/**
 * The vendors' SDKs as their manuals show them, on the rows of a store, for comparison with `kv()`. Each starts its server,
 * makes a new table, and gives
 *
 * - `name`, and the `url` under which `kv()` finds the same table;
 * - `get(key)`, the call for one key;
 * - `scan(prefix)`, which reads the rows in the fewest queries, and returns their number;
 * - `goalAtOnce`, the goal for many reads at once;
 * - `backend()`, a backend of its own over the table; `stop()`.
 */

const BUCKETS = Array.from({ length: 16 }, (_, bucket) => bucket)
/** The end of the range of keys with a prefix: it comes after every character of a key. */
const LAST = "~"

export async function dynamodb() {
  const server = await startDynamodbLocal()
  const { CreateTableCommand, DynamoDBClient, GetItemCommand, QueryCommand } = await import(
    "@aws-sdk/client-dynamodb"
  )
  const { bucketOf } = await import("tiered-kv/bucket")
  const settings = {
    endpoint: `http://127.0.0.1:${server.port}`,
    region: "eu-central-1",
    credentials: { accessKeyId: "local", secretAccessKey: "local" },
  }
  process.env.AWS_ACCESS_KEY_ID = process.env.AWS_SECRET_ACCESS_KEY = "local"
  const client = new DynamoDBClient(settings)
  const TableName = "bench"
  await client.send(
    new CreateTableCommand({
      TableName,
      BillingMode: "PAY_PER_REQUEST",
      AttributeDefinitions: ["pk", "sk"].map((AttributeName) => ({ AttributeName, AttributeType: "S" })),
      KeySchema: [
        { AttributeName: "pk", KeyType: "HASH" },
        { AttributeName: "sk", KeyType: "RANGE" },
      ],
    }),
  )
  return {
    name: "DynamoDB",
    url: `dynamodb://${settings.region}/${TableName}?endpoint=${encodeURIComponent(settings.endpoint)}`,
    goalAtOnce: { cheaper: 10 },
    async get(key) {
      const Key = { pk: { S: `bucket_${bucketOf(key)}` }, sk: { S: key } }
      const { Item } = await client.send(new GetItemCommand({ TableName, Key, ConsistentRead: true }))
      return Item.value.B
    },
    async scan(prefix) {
      const counts = await Promise.all(
        BUCKETS.map(async (bucket) => {
          let found = 0
          let ExclusiveStartKey
          do {
            const { Items, LastEvaluatedKey } = await client.send(
              new QueryCommand({
                TableName,
                KeyConditionExpression: "pk = :pk AND begins_with(sk, :prefix)",
                ExpressionAttributeValues: { ":pk": { S: `bucket_${bucket}` }, ":prefix": { S: prefix } },
                ConsistentRead: true,
                ExclusiveStartKey,
              }),
            )
            found += Items.length
            ExclusiveStartKey = LastEvaluatedKey
          } while (ExclusiveStartKey !== undefined)
          return found
        }),
      )
      return sum(counts)
    },
    async backend() {
      return (await import("tiered-kv/dynamodb")).dynamodb(settings, { table: TableName })
    },
    async stop() {
      client.destroy()
      await server.stop()
    },
  }
}

export async function firestore() {
  const server = await startFirestoreEmulator()
  // Otherwise the SDK looks for a metadata service on the network, which takes seconds.
  process.env.METADATA_SERVER_DETECTION = "none"
  const { Firestore } = await import("@google-cloud/firestore")
  const projectId = "demo-bench"
  const endpoint = `127.0.0.1:${server.port}`
  const client = new Firestore({ projectId, host: endpoint, ssl: false })
  const rows = client.collection("bench")
  return {
    name: "Firestore",
    url: `firestore://${projectId}/(default)/bench?endpoint=${endpoint}`,
    goalAtOnce: { cheaper: 10 },
    async get(key) {
      const document = await rows.doc(key).get()
      return Buffer.from(document.get("value"), "base64")
    },
    async scan(prefix) {
      const { docs } = await rows
        .orderBy("__name__")
        .startAt(prefix)
        .endBefore(prefix + LAST)
        .get()
      return docs.map((document) => Buffer.from(document.get("value"), "base64")).length
    },
    async backend() {
      return (await import("tiered-kv/firestore")).firestore({ projectId, endpoint }, { collection: "bench" })
    },
    async stop() {
      await client.terminate()
      await server.stop()
    },
  }
}

export async function azureTables() {
  const server = await startAzurite()
  const { AzureNamedKeyCredential, TableClient } = await import("@azure/data-tables")
  const { bucketOf } = await import("tiered-kv/bucket")
  const account = "devstoreaccount1"
  // The key that every Azurite has; Microsoft documents it.
  const key = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
  const endpoint = `http://127.0.0.1:${server.port}/${account}`
  const credential = new AzureNamedKeyCredential(account, key)
  const client = new TableClient(endpoint, "bench", credential, { allowInsecureConnection: true })
  await client.createTable()
  return {
    name: "Azure Tables",
    url: `azure-tables://${account}/bench?endpoint=${encodeURIComponent(endpoint)}`,
    // The service has no batched read.
    goalAtOnce: {},
    async get(key) {
      const { Value } = await client.getEntity(`p${bucketOf(key)}`, key)
      return Buffer.from(Value, "base64")
    },
    async scan(prefix) {
      const counts = await Promise.all(
        BUCKETS.map(async (bucket) => {
          const range = `RowKey ge '${prefix}' and RowKey lt '${prefix}${LAST}'`
          const queryOptions = { filter: `PartitionKey eq 'p${bucket}' and ${range}` }
          let found = 0
          for await (const { Value } of client.listEntities({ queryOptions })) {
            if (Buffer.from(Value, "base64").length > 0) found++
          }
          return found
        }),
      )
      return sum(counts)
    },
    async backend() {
      return (await import("tiered-kv/azure-tables")).azureTables({ account, endpoint }, { table: "bench" })
    },
    stop: () => server.stop(),
  }
}

export async function redis() {
  const server = await startRedis()
  const { Redis } = await import("ioredis")
  const url = `redis://127.0.0.1:${server.port}`
  const client = new Redis(url)
  return {
    name: "Redis",
    url,
    goalAtOnce: { cheaper: 4 },
    get: (key) => client.getBuffer(key),
    async scan(prefix) {
      let found = 0
      let cursor = "0"
      do {
        const [next, keys] = await client.scan(cursor, "MATCH", `${prefix}*`, "COUNT", 1_000)
        const values = keys.length === 0 ? [] : await client.mgetBuffer(keys)
        found += values.filter((value) => value !== null).length
        cursor = next
      } while (cursor !== "0")
      return found
    },
    async backend() {
      return (await import("tiered-kv/redis")).redis(url)
    },
    async stop() {
      client.disconnect()
      await server.stop()
    },
  }
}

const sum = (counts) => counts.reduce((total, count) => total + count, 0)
