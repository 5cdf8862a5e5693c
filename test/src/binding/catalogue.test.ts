import { expect, test } from "vitest"
import { backendOf } from "../../../src/binding/catalogue.ts"
import { parseUrl } from "../../../src/binding/url.ts"
import { systemRuntime } from "../../../tiers/runtime.ts"
import { PASSWORD } from "../../support/bindings.ts"

test.each([
  ["memory:", "memory", "memory"],
  ["lmdb:some/where", "lmdb", "some/where"],
  ["redis://user:p4ssw0rd-SECRET@host:6380/2", "redis", "host:6380/2"],
  ["dynamodb://eu-west-1/sessions", "dynamodb", "sessions"],
  ["firestore://project/(default)/sessions", "firestore", "sessions"],
  ["azure-tables://account/sessions", "azure-tables", "sessions"],
])("the URL %s opens a backend of its kind, %s", async (url, kind, target) => {
  const { traits } = await backendOf(parseUrl(url), { runtime: systemRuntime, timeoutMs: 5_000 })
  expect(traits.kind).toBe(kind)
  expect(traits.target).toContain(target)
  expect(JSON.stringify(traits)).not.toContain(PASSWORD)
})
