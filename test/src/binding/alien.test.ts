import { expect, test } from "vitest"
import { parseAlienBinding } from "../../../src/binding/alien.ts"
import { bindingError } from "../../support/bindings.ts"

const parse = (fields: unknown) => parseAlienBinding(JSON.stringify(fields), "The variable")

test.each([
  [{ service: "dynamodb", tableName: "t" }, "dynamodb", { table: "t" }],
  [
    { service: "dynamodb", tableName: "t", region: "eu-west-1", endpointUrl: "http://localhost:8000" },
    "dynamodb",
    { table: "t", region: "eu-west-1", endpoint: "http://localhost:8000" },
  ],
  [{ service: "dynamodb", tableName: "t", region: null, endpointUrl: null }, "dynamodb", { table: "t" }],
  [
    { service: "firestore", projectId: "p", databaseId: "(default)", collectionName: "c" },
    "firestore",
    { projectId: "p", databaseId: "(default)", collection: "c" },
  ],
  [
    { service: "tablestorage", resourceGroupName: "g", accountName: "a", tableName: "t" },
    "azure-tables",
    { account: "a", table: "t" },
  ],
  [
    { service: "redis", connectionUrl: "rediss://:pw@host:6380", keyPrefix: "app:", database: 3 },
    "redis",
    {
      nodes: [{ host: "host", port: 6380 }],
      password: "pw",
      cluster: false,
      database: 3,
      tls: true,
      prefix: "app:",
    },
  ],
  [
    { service: "redis", connectionUrl: "redis://host/1?prefix=url:", keyPrefix: null, database: null },
    "redis",
    { nodes: [{ host: "host", port: 6379 }], cluster: false, database: 1, prefix: "url:" },
  ],
  [
    { service: "redis", connectionUrl: "redis://host/1?prefix=url:", keyPrefix: "own:", database: 0 },
    "redis",
    { nodes: [{ host: "host", port: 6379 }], cluster: false, database: 0, prefix: "own:" },
  ],
  [{ service: "local-kv", dataDir: "/data" }, "lmdb", { path: "/data" }],
  [{ service: "local-kv", dataDir: "d", keyPrefix: "a:" }, "lmdb", { path: "d", keyPrefix: "a:" }],
])("the binding %j is of %s, with its settings", (fields, kind, settings) => {
  for (const later of [{}, { of: "a later release" }]) {
    const binding = parse({ ...fields, ...later })
    expect(binding.backend.kind).toBe(kind)
    expect(binding.settings).toEqual(settings)
  }
})

test.each([
  ["text", /not a JSON object/],
  [["redis"], /not a JSON object/],
  [null, /not a JSON object/],
  [{}, /has no service; known are dynamodb, firestore, tablestorage, redis, local-kv/],
  [{ service: "mongodb" }, /unknown service; known are dynamodb/],
  [{ service: "toString" }, /unknown service/],
  [{ service: 5 }, /unknown service/],
  [{ service: "dynamodb" }, /lacks the field "tableName" of a dynamodb binding/],
  [{ service: "dynamodb", tableName: "" }, /in "tableName" a string of 0 characters; it is a text/],
  [{ service: "dynamodb", tableName: { ref: "x" } }, /in "tableName" an object/],
  [{ service: "dynamodb", tableName: "t", region: 5 }, /in "region" a number/],
  [{ service: "firestore", projectId: "p", databaseId: "d" }, /lacks the field "collectionName"/],
  [{ service: "tablestorage", accountName: "a", tableName: "t" }, /lacks the field "resourceGroupName"/],
  [
    { service: "tablestorage", resourceGroupName: 1, accountName: "a", tableName: "t" },
    /"resourceGroupName"/,
  ],
  [{ service: "redis" }, /lacks the field "connectionUrl"/],
  [{ service: "redis", connectionUrl: "http://host" }, /"connectionUrl" that is wrong/],
  [
    { service: "redis", connectionUrl: "redis://host", database: -1 },
    /"database".*whole number of at least 0/,
  ],
  [{ service: "redis", connectionUrl: "redis://host", database: "1" }, /"database" a string/],
  [{ service: "local-kv", dataDir: null }, /in "dataDir" null/],
])("the binding %j is BINDING_INVALID", (fields, message) => {
  const error = bindingError(() => parse(fields))
  expect(error).toMatchObject({ code: "BINDING_INVALID", operation: "open" })
  expect(error.message).toMatch(message)
  expect(error.message).toMatch(/^The variable /)
})
