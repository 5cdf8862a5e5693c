import { DynamoDBClient } from "@aws-sdk/client-dynamodb"
import { TableClient } from "@azure/data-tables"
import { DefaultAzureCredential } from "@azure/identity"
import { Firestore } from "@google-cloud/firestore"
import { Cluster, Redis } from "ioredis"
import { azureTables } from "../../tiers/azure-tables/backend.ts"
import type { Backend } from "../../tiers/backend.ts"
import { dynamodb } from "../../tiers/dynamodb/backend.ts"
import { firestore } from "../../tiers/firestore/backend.ts"
import { redis } from "../../tiers/redis/backend.ts"

/** A program that passes a client of each SDK in. It is compiled against the releases under test, and never run. */
export const backends = (): Backend[] => [
  azureTables(new TableClient("https://account.invalid", "table", new DefaultAzureCredential()), {
    table: "table",
  }),
  dynamodb(new DynamoDBClient({}), { table: "table" }),
  firestore(new Firestore({ projectId: "project" }), { collection: "rows" }),
  redis(new Redis({ lazyConnect: true })),
  redis(new Cluster([{ host: "localhost" }], { lazyConnect: true })),
]
