import { DynamoDBClient } from "@aws-sdk/client-dynamodb"
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest"
import { dynamodb } from "../../../tiers/dynamodb/backend.ts"
import { localSettings, localTables, startDynamodbLocal } from "../../servers/dynamodb.ts"
import { requireServer } from "../../servers/require-server.ts"
import { codeOf } from "../../support/failures.ts"

const settings = localSettings(1)
const destroy = vi.spyOn(DynamoDBClient.prototype, "destroy")

/** Nothing of the developer's own account is found, nor asked for over the network. */
beforeEach(() => {
  destroy.mockClear()
  for (const name of Object.keys(process.env)) if (name.startsWith("AWS_")) vi.stubEnv(name, undefined)
  vi.stubEnv("AWS_CONFIG_FILE", "/nowhere/config")
  vi.stubEnv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere/credentials")
  vi.stubEnv("AWS_EC2_METADATA_DISABLED", "true")
})
afterEach(() => {
  vi.unstubAllEnvs()
})

describe("a client made on demand", () => {
  test("is shared by the backends with the same settings, and closed with the last of them", async () => {
    const one = dynamodb(settings, { table: "one" })
    const two = dynamodb({ ...settings }, { table: "two" })
    await Promise.all([one.open(), two.open(), two.open()])
    await Promise.all([two.close(), two.close()])
    expect(destroy).not.toHaveBeenCalled()
    await one.close()
    expect(destroy).toHaveBeenCalledTimes(1)
  })

  test("is not shared between regions, endpoints or credentials", async () => {
    const variants = [
      settings,
      { ...settings, region: "eu-west-1" },
      { ...settings, endpoint: "http://127.0.0.1:2" },
      { ...settings, credentials: { accessKeyId: "other", secretAccessKey: "other" } },
    ]
    const backends = variants.map((variant) => dynamodb(variant, { table: "t" }))
    for (const backend of backends) await backend.open()
    for (const backend of backends) await backend.close()
    expect(destroy).toHaveBeenCalledTimes(variants.length)
  })

  test("is closed when the backend closes before it is open", async () => {
    const backend = dynamodb(settings, { table: "t" })
    const opening = backend.open()
    await backend.close()
    await opening
    expect(destroy).toHaveBeenCalledTimes(1)
    expect(await codeOf(() => backend.get("key"))).toBe("CLOSED")
  })

  test("can be opened again", async () => {
    const backend = dynamodb(settings, { table: "t" })
    for (let round = 1; round <= 2; round++) {
      await backend.open()
      await backend.close()
      expect(destroy).toHaveBeenCalledTimes(round)
    }
  })
})

test("a client that was passed in stays open, and as it was", async () => {
  const client = new DynamoDBClient(settings)
  const middleware = client.middlewareStack.identify()
  const backend = dynamodb(client, { table: "t" })
  await backend.open()
  await backend.close()
  expect(destroy).not.toHaveBeenCalled()
  expect(client.middlewareStack.identify()).toEqual(middleware)
  client.destroy()
})

test("a backend is CLOSED before it opens and after it closes", async () => {
  const backend = dynamodb(settings, { table: "t" })
  for (let round = 0; round < 2; round++) {
    expect(await codeOf(() => backend.get("key"))).toBe("CLOSED")
    expect(await codeOf(() => backend.scan("", { limit: 1 }))).toBe("CLOSED")
    expect(await codeOf(() => backend.deleteMany(new Map([["key", { id: "0" }]])))).toBe("CLOSED")
    await backend.open()
    await backend.close()
  }
})

describe("a configuration is refused", () => {
  const open = (target: Parameters<typeof dynamodb>[0]) => async () => {
    const backend = dynamodb(target, { table: "t" })
    await backend.open()
    await backend.close()
  }

  test("without a region", async () => {
    await expect(open({})()).rejects.toMatchObject({
      code: "BINDING_INVALID",
      message: expect.stringContaining("AWS_REGION"),
    })
    vi.stubEnv("AWS_REGION", "eu-central-1")
    expect(await codeOf(open({}))).toBe("answered")
  })

  test.each(["localhost:8000", "ftp://localhost", "not a url"])("with the endpoint %s", async (endpoint) => {
    expect(await codeOf(open({ ...settings, endpoint }))).toBe("BINDING_INVALID")
  })

  test("without credentials", async () => {
    const backend = dynamodb({ region: "eu-central-1", endpoint: settings.endpoint }, { table: "t" })
    await backend.open()
    expect(await codeOf(() => backend.get("key"))).toBe("ACCESS_DENIED")
    await backend.close()
  })

  test("without the SDK", async () => {
    vi.doMock("@aws-sdk/client-dynamodb", () => {
      throw Object.assign(new Error("Cannot find package"), { code: "ERR_MODULE_NOT_FOUND" })
    })
    try {
      await expect(open(settings)()).rejects.toMatchObject({
        code: "DEPENDENCY_MISSING",
        message: expect.stringContaining("npm install @aws-sdk/client-dynamodb"),
      })
    } finally {
      vi.doUnmock("@aws-sdk/client-dynamodb")
    }
    expect(await codeOf(open(settings)), "installed meanwhile").toBe("answered")
  })
})

await requireServer("dynamodb", startDynamodbLocal, (server) => {
  test("AWS's own variables tell the region, the endpoint and the credentials", async () => {
    const tables = localTables(server)
    const table = await tables.create()
    vi.stubEnv("AWS_ENDPOINT_URL_DYNAMODB", server.url)
    vi.stubEnv("AWS_REGION", "eu-central-1")
    vi.stubEnv("AWS_ACCESS_KEY_ID", "local")
    vi.stubEnv("AWS_SECRET_ACCESS_KEY", "local")
    const backend = dynamodb({}, { table })
    await backend.open()
    await backend.put("key", { value: Uint8Array.of(1), id: "0".repeat(32) })
    expect(await backend.exists("key")).toBe(true)
    await backend.close()
    tables.client.destroy()
  })
})
