import fc from "fast-check"
import { expect, test } from "vitest"
import { resolveBinding } from "../../../src/binding/environment.ts"
import { parseUrl } from "../../../src/binding/url.ts"
import { bindingError, PASSWORD } from "../../support/bindings.ts"

test.each([
  ["memory:", "memory", {}],
  ["lmdb:data/store", "lmdb", { path: "data/store" }],
  ["lmdb:./with space?and#more", "lmdb", { path: "./with space?and#more" }],
  ["lmdb:/var/lib/store", "lmdb", { path: "/var/lib/store" }],
  ["lmdb:///var/lib/store", "lmdb", { path: "/var/lib/store" }],
  ["dynamodb://eu-west-1/sessions", "dynamodb", { region: "eu-west-1", table: "sessions" }],
  [
    "dynamodb://local/sessions?endpoint=http://localhost:8000",
    "dynamodb",
    { region: "local", table: "sessions", endpoint: "http://localhost:8000" },
  ],
  [
    "firestore://my-project/(default)/sessions",
    "firestore",
    { projectId: "my-project", databaseId: "(default)", collection: "sessions" },
  ],
  [
    "firestore://my-project/%28default%29/s?endpoint=localhost:8080",
    "firestore",
    { projectId: "my-project", databaseId: "(default)", collection: "s", endpoint: "localhost:8080" },
  ],
  [
    "firestore://my-project/(default)/s?channels=8",
    "firestore",
    { projectId: "my-project", databaseId: "(default)", collection: "s", channels: 8 },
  ],
  ["azure-tables://account/Sessions", "azure-tables", { account: "account", table: "Sessions" }],
  [
    "azure-tables://devstoreaccount1/t?endpoint=http%3A%2F%2F127.0.0.1%3A10002%2Fdevstoreaccount1",
    "azure-tables",
    { account: "devstoreaccount1", table: "t", endpoint: "http://127.0.0.1:10002/devstoreaccount1" },
  ],
  ["redis://localhost", "redis", { nodes: [{ host: "localhost", port: 6379 }], cluster: false, database: 0 }],
  [
    "rediss://user:pw@host:6380/2",
    "redis",
    {
      nodes: [{ host: "host", port: 6380 }],
      username: "user",
      password: "pw",
      cluster: false,
      database: 2,
      tls: true,
    },
  ],
  [
    "redis://h?prefix=app:&cluster",
    "redis",
    { nodes: [{ host: "h", port: 6379 }], cluster: true, database: 0, prefix: "app:" },
  ],
  [
    "redis://h1:7000,h2:7001",
    "redis",
    {
      nodes: [
        { host: "h1", port: 7000 },
        { host: "h2", port: 7001 },
      ],
      cluster: true,
      database: 0,
    },
  ],
  ...["valkey", "redis"].map((scheme): [string, string, object] => [
    `${scheme}://h/1`,
    "redis",
    { nodes: [{ host: "h", port: 6379 }], cluster: false, database: 1 },
  ]),
  [
    "redis://h?replicas=a,b:7000&maxLagMs=500",
    "redis",
    {
      nodes: [{ host: "h", port: 6379 }],
      cluster: false,
      database: 0,
      replicas: {
        nodes: [
          { host: "a", port: 6_379 },
          { host: "b", port: 7_000 },
        ],
        maxLagMs: 500,
      },
    },
  ],
  [
    "redis://h?cluster&replicas",
    "redis",
    { nodes: [{ host: "h", port: 6379 }], cluster: true, database: 0, replicas: {} },
  ],
  ["valkeys://h", "redis", { nodes: [{ host: "h", port: 6379 }], cluster: false, database: 0, tls: true }],
  [
    "rediss-sentinel://user:pw@s1,s2:5000/1?name=main&prefix=p:",
    "redis",
    {
      nodes: [
        { host: "s1", port: 26_379 },
        { host: "s2", port: 5_000 },
      ],
      sentinel: { name: "main" },
      username: "user",
      password: "pw",
      cluster: false,
      database: 1,
      tls: true,
      prefix: "p:",
    },
  ],
  ...["unix", "redis+unix"].map((scheme): [string, string, object] => [
    `${scheme}://:pw@/run/a%20b.sock?db=3&prefix=p:`,
    "redis",
    { nodes: [{ path: "/run/a b.sock" }], password: "pw", cluster: false, database: 3, prefix: "p:" },
  ]),
])("the URL %s is of %s, with its settings", (url, kind, settings) => {
  const binding = parseUrl(url)
  expect(binding.backend.kind).toBe(kind)
  expect(binding.settings).toEqual(settings)
})

test.each([
  ["", /is none of dynamodb:\/\/REGION\/TABLE, firestore.*azure-tables.*redis.*lmdb:PATH or memory:/],
  ["sessions", /is none of/],
  ["http://localhost", /is none of/],
  ["dynamo://eu-west-1/t", /is none of/],
  ["memory://x", /is none of/],
  ["constructor://a/b", /is none of/],
  ["lmdb:", /lmdb:PATH/],
  ["lmdb://relative/path", /lmdb:PATH/],
  ["dynamodb:eu-west-1/t", /of the form dynamodb:\/\/REGION\/TABLE/],
  ["dynamodb://eu-west-1", /of the form dynamodb:\/\/REGION\/TABLE/],
  ["dynamodb:///t", /of the form/],
  ["dynamodb://eu-west-1/", /of the form/],
  ["dynamodb://eu-west-1/a/b", /of the form/],
  ["dynamodb://eu west/t", /well-formed|of the form/],
  ["dynamodb://eu-west-1/%zz", /% that is not followed by two hexadecimal digits/],
  ["dynamodb://eu-west-1/t?region=x", /unknown parameter "region"; known are endpoint/],
  ["dynamodb://eu-west-1/t#x", /fragment/],
  ["firestore://project/collection", /of the form firestore:\/\/PROJECT\/DATABASE\/COLLECTION/],
  ["firestore://p/d/c?channels=0", /parameter "channels" that is not a whole number from 1 to 100/],
  ["firestore://p/d/c?channels=many", /parameter "channels" that is not/],
  ["firestore://p/d/c?channels=101", /parameter "channels" that is not/],
  ["azure-tables://account", /of the form azure-tables:\/\/ACCOUNT\/TABLE/],
  ["redis:", /redis:\/\//],
  ["redis:localhost:6379", /redis:\/\//],
  ["redis://", /redis:\/\//],
  ["redis://host:0", /HOST:PORT/],
  ["redis://host/zero", /number/],
  ["redis-sentinel://host", /names no primary; its form is redis-sentinel:/],
  [
    "redis-sentinel://host?name=a&cluster",
    /unknown parameter "cluster"; allowed are name, prefix, replicas and maxLagMs/,
  ],
  ["unix://relative/path", /of the form unix:/],
  ["redis+unix:/path", /redis:\/\//],
  ["unix:///path?db=zero", /not a number/],
  [
    "redis://host?database=1",
    /unknown parameter "database"; allowed are cluster, prefix, replicas and maxLagMs/,
  ],
  ["redis://host?replicas", /does not tell how its replicas are reached: name them/],
  ["redis://host?replicas=other:0", /HOST:PORT/],
  ["redis://host?cluster&replicas=other", /are discovered: name none/],
  ["redis-sentinel://host?name=a&replicas=other", /are discovered: name none/],
  ["redis://host?maxLagMs=100", /`maxLagMs` in the Redis URL is about replicas, and it names none/],
  ["redis://host?replicas=other&maxLagMs=1s", /`maxLagMs` in the Redis URL is not a number/],
])("the URL %s is BINDING_INVALID", (url, message) => {
  const error = bindingError(() => parseUrl(url))
  expect(error).toMatchObject({ code: "BINDING_INVALID", retryable: false, operation: "open" })
  expect(error.message).toMatch(/^The backend URL /)
  expect(error.message).toMatch(message)
})

test.each([
  `dynamodb://key:${PASSWORD}@eu-west-1/t`,
  `azure-tables://account:${PASSWORD}@t`,
  `azure-tables://a/t?SharedAccessSignature=${PASSWORD}`,
  `firestore://${PASSWORD}@p/d`,
  `redis://user:${PASSWORD}@:0/x`,
  `redis://user:${PASSWORD}@host:port`,
  `redis://user:${PASSWORD}%@host`,
  `rediss://user:${PASSWORD}@host/abc`,
  `redis-sentinel://user:${PASSWORD}@host`,
  `unix://user:${PASSWORD}@/%zz`,
  `${PASSWORD}://host`,
  `http://user:${PASSWORD}@host`,
  PASSWORD,
])("no message about a binding holds a credential: %s", (url) => {
  expect(bindingError(() => parseUrl(url)).message).not.toContain(PASSWORD)
  const json = JSON.stringify({ service: "redis", connectionUrl: url.replace(/^rediss?:/, "tcp:") })
  const environment = { KV_A_URL: url, ALIEN_B_BINDING: json, ALIEN_C_BINDING: `{"connectionUrl":"${url}"` }
  for (const name of ["a", "b", "c"]) {
    const error = bindingError(() => resolveBinding(name, environment))
    expect(`${error.message} ${String(error.cause)}`).not.toContain(PASSWORD)
  }
})

test("any other URL is BINDING_INVALID, too, and never another error", () => {
  const scheme = fc.constantFrom(
    "dynamodb",
    "firestore",
    "azure-tables",
    "redis",
    "rediss",
    "valkey",
    "redis-sentinel",
    "unix",
    "lmdb",
    "memory",
    "x",
  )
  const url = fc.tuple(scheme, fc.constantFrom(":", "://"), fc.string({ maxLength: 30, unit: "grapheme" }))
  fc.assert(
    fc.property(url, (parts) => {
      try {
        expect(parseUrl(parts.join(""))).toHaveProperty("settings")
      } catch (error) {
        expect(error).toMatchObject({ code: "BINDING_INVALID" })
      }
    }),
    { numRuns: 1_000 },
  )
})
