import { createRequire } from "node:module"
import { AzureNamedKeyCredential, TableClient } from "@azure/data-tables"
import { expect, test } from "vitest"
import { changed } from "../../support/canary.ts"

test("@azure/data-tables has the pipeline policies that are removed by their names", () => {
  const credential = new AzureNamedKeyCredential("account", "c2VjcmV0")
  const client = new TableClient("https://account.table.core.windows.net", "table", credential)
  const names = client.pipeline.getOrderedPolicies().map(({ name }) => name)
  expect(names, changed("the Azure SDK's pipeline")).toEqual(
    expect.arrayContaining([
      "defaultRetryPolicy",
      "formDataPolicy",
      "multipartPolicy",
      "proxyPolicy",
      "redirectPolicy",
      "tracingPolicy",
    ]),
  )
})

test("@azure/data-tables lets its package.json be found, with its version", () => {
  const manifest: unknown = createRequire(import.meta.url)("@azure/data-tables/package.json")
  expect(manifest, changed("the exports of the Azure SDK")).toMatchObject({
    version: expect.stringMatching(/^\d+\.\d+\.\d+/),
  })
})
