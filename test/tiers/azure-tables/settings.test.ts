import { describe, expect, test } from "vitest"
import { resolveTarget } from "../../../tiers/azure-tables/settings.ts"

const KEY = "c2VjcmV0"
const PRODUCTION = `DefaultEndpointsProtocol=https;AccountName=prod;AccountKey=${KEY};EndpointSuffix=core.windows.net`
const PRODUCTION_TARGET = {
  endpoint: "https://prod.table.core.windows.net",
  signing: { account: "prod", key: KEY },
}
const EMULATOR_TARGET = {
  endpoint: "http://127.0.0.1:10002/devstoreaccount1",
  signing: { account: "devstoreaccount1", key: expect.any(String) },
}

describe("an Azure storage account", () => {
  test("is that of a connection string", () => {
    expect(resolveTarget({ connectionString: PRODUCTION }, {})).toEqual(PRODUCTION_TARGET)
    expect(resolveTarget({ connectionString: `AccountName=prod ; AccountKey=${KEY} ;` }, {})).toEqual(
      PRODUCTION_TARGET,
    )
    expect(
      resolveTarget(
        { connectionString: `AccountName=prod;AccountKey=${KEY};EndpointSuffix=core.chinacloudapi.cn` },
        {},
      ),
    ).toMatchObject({ endpoint: "https://prod.table.core.chinacloudapi.cn" })
    expect(
      resolveTarget(
        {
          connectionString:
            "TableEndpoint=https://prod.table.core.windows.net/;SharedAccessSignature=sv=1&sig=x%3D",
        },
        {},
      ),
    ).toEqual({ endpoint: "https://prod.table.core.windows.net", signing: { signature: "sv=1&sig=x%3D" } })
    expect(resolveTarget({ connectionString: "UseDevelopmentStorage=true" }, {})).toEqual(EMULATOR_TARGET)
  })

  test("is named by the settings before the environment", () => {
    const env = {
      AZURE_STORAGE_CONNECTION_STRING: PRODUCTION,
      AZURE_STORAGE_ACCOUNT: "prod",
      AZURE_STORAGE_KEY: KEY,
    }
    expect(resolveTarget({}, env)).toEqual(PRODUCTION_TARGET)
    expect(resolveTarget({ account: "prod" }, env)).toEqual(PRODUCTION_TARGET)
    expect(resolveTarget({ account: "other" }, env)).toEqual({
      endpoint: "https://other.table.core.windows.net",
      signing: "identity",
    })
    expect(resolveTarget({ connectionString: "UseDevelopmentStorage=true" }, env)).toEqual(EMULATOR_TARGET)
  })

  test("may have an endpoint of its own", () => {
    const endpoint = "https://prod.privatelink.example.net/"
    expect(
      resolveTarget({ account: "prod", endpoint }, { AZURE_STORAGE_CONNECTION_STRING: PRODUCTION }),
    ).toEqual({
      endpoint: "https://prod.privatelink.example.net",
      signing: { account: "prod", key: KEY },
    })
    expect(resolveTarget({ endpoint: "https://prod.table.core.windows.net" }, {})).toEqual({
      endpoint: "https://prod.table.core.windows.net",
      signing: "identity",
    })
  })

  test("comes from AZURE_STORAGE_ACCOUNT, with a key where there is one of it", () => {
    const AZURE_STORAGE_ACCOUNT = "prod"
    const identity = { ...PRODUCTION_TARGET, signing: "identity" }
    expect(resolveTarget({}, { AZURE_STORAGE_ACCOUNT })).toEqual(identity)
    expect(resolveTarget({}, { AZURE_STORAGE_ACCOUNT, AZURE_STORAGE_KEY: KEY })).toEqual(PRODUCTION_TARGET)
    expect(resolveTarget({}, { AZURE_STORAGE_ACCOUNT, AZURE_STORAGE_ACCESS_KEY: KEY })).toEqual(
      PRODUCTION_TARGET,
    )
    expect(resolveTarget({ account: "prod" }, { AZURE_STORAGE_KEY: KEY })).toEqual(PRODUCTION_TARGET)
  })

  test("is the emulator's wherever the environment's connection string is", () => {
    const env = { AZURE_STORAGE_CONNECTION_STRING: "UseDevelopmentStorage=true" }
    expect(resolveTarget({ account: "prod" }, env)).toEqual(EMULATOR_TARGET)
    expect(resolveTarget({ endpoint: "https://prod.table.core.windows.net" }, env)).toMatchObject({
      signing: "identity",
    })
  })

  test("of the emulator needs no key, at any port or host", () => {
    for (const endpoint of [
      "http://127.0.0.1:7777/devstoreaccount1",
      "http://azurite:10002/devstoreaccount1",
    ]) {
      expect(resolveTarget({ endpoint }, {})).toEqual({ ...EMULATOR_TARGET, endpoint })
      expect(resolveTarget({ endpoint }, { AZURE_STORAGE_KEY: KEY })).toEqual({
        ...EMULATOR_TARGET,
        endpoint,
      })
    }
  })

  test("that is not named at all is BINDING_NOT_CONFIGURED", () => {
    expect(() => resolveTarget({}, {})).toThrow(expect.objectContaining({ code: "BINDING_NOT_CONFIGURED" }))
  })

  test.each([
    { connectionString: "nonsense" },
    { connectionString: `AccountName=prod` },
    { connectionString: `DefaultEndpointsProtocol=http;AccountName=prod;AccountKey=${KEY}` },
    { connectionString: `AccountName=prod;AccountKey=${KEY};TableEndpoint=prod` },
    { endpoint: "http://prod.table.core.windows.net" },
    { endpoint: "prod.table.core.windows.net" },
    { account: "Prod" },
    { account: "a.evil.example/" },
  ])("%j is BINDING_INVALID, and the message holds no key", (settings) => {
    let error: unknown
    try {
      resolveTarget(settings, {})
    } catch (thrown) {
      error = thrown
    }
    expect(error).toMatchObject({ code: "BINDING_INVALID", operation: "open" })
    expect(String(error)).not.toContain(KEY)
  })
})
