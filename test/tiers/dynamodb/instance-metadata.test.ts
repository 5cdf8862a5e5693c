import { createServer, type ServerResponse } from "node:http"
import { afterAll, afterEach, beforeEach, describe, expect, test, vi } from "vitest"
import type { Backend } from "../../../tiers/backend.ts"
import { dynamodb } from "../../../tiers/dynamodb/backend.ts"
import { resilient } from "../../../tiers/wrappers/resilience/resilience.ts"
import { freePort, listenOnLoopback } from "../../servers/server.ts"
import { codeOf } from "../../support/failures.ts"

/** The metadata service of an EC2 instance, and the table, which has nothing. */
type Answer = (path: string, response: ServerResponse) => unknown
let answer: Answer = () => {}
let requests = 0
const server = createServer((request, response) => {
  requests++
  if (request.headers["x-amz-target"] !== undefined) return void response.end("{}")
  answer(request.url ?? "", response)
})
const url = `http://127.0.0.1:${await listenOnLoopback(server)}`

const IDENTITY = JSON.stringify({
  ...{ Code: "Success", Type: "AWS-HMAC", AccessKeyId: "AKIA", SecretAccessKey: "secret", Token: "token" },
  Expiration: new Date(Date.now() + 3_600_000).toISOString(),
})
const withRole: Answer = (path, response) =>
  response.end(path.endsWith("/token") ? "session" : path.endsWith("/role") ? IDENTITY : "role")
const status =
  (code: number): Answer =>
  (_, response) =>
    response.writeHead(code).end()
const withoutRole: Answer = (path, response) =>
  path.endsWith("/token") ? response.end("session") : response.writeHead(404).end()
const silent: Answer = () => {}

beforeEach(() => {
  for (const name of Object.keys(process.env)) if (name.startsWith("AWS_")) vi.stubEnv(name, undefined)
  vi.stubEnv("AWS_CONFIG_FILE", "/nowhere/config")
  vi.stubEnv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere/credentials")
  vi.stubEnv("AWS_EC2_METADATA_SERVICE_ENDPOINT", url)
  requests = 0
})
afterEach(async () => {
  vi.unstubAllEnvs()
  await Promise.all(opened.splice(0).map((backend) => backend.close()))
  server.closeAllConnections()
})

afterAll(() => void server.close())

const opened: Backend[] = []
async function open(): Promise<Backend> {
  const backend = dynamodb({ region: "eu-central-1", endpoint: url }, { table: "table" })
  opened.push(backend)
  await backend.open()
  return backend
}

describe("the first call, while the metadata service", () => {
  test.each<[string, string, Answer]>([
    ["does not answer", "UNAVAILABLE", silent],
    ["answers 503", "UNAVAILABLE", status(503)],
    ["has no role", "ACCESS_DENIED", withoutRole],
    ["denies", "ACCESS_DENIED", status(403)],
  ])("%s, is %s", async (_, code, answers) => {
    answer = answers
    const backend = await open()
    expect(await codeOf(() => backend.get("a", { timeoutMs: 10_000 }))).toBe(code)
  })

  test("is away for a moment, is tried again, and answered", async () => {
    answer = (path, response) => (requests <= 2 ? status(503) : withRole)(path, response)
    const backend = resilient(await open())
    expect(await codeOf(() => backend.get("a"))).toBe("answered")
  })

  test("is not there, is ACCESS_DENIED", async () => {
    vi.stubEnv("AWS_EC2_METADATA_SERVICE_ENDPOINT", `http://127.0.0.1:${await freePort()}`)
    const backend = await open()
    expect(await codeOf(() => backend.get("a"))).toBe("ACCESS_DENIED")
  })

  test("is disabled, is ACCESS_DENIED, and nothing is asked", async () => {
    vi.stubEnv("AWS_EC2_METADATA_DISABLED", "true")
    const backend = await open()
    expect(await codeOf(() => backend.get("a"))).toBe("ACCESS_DENIED")
    expect(requests).toBe(0)
  })
})
