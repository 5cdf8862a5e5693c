import { existsSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { expect, test } from "vitest"
import { backendOf, CATALOGUE } from "../../../src/binding/catalogue.ts"
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

test("no two backends of the catalogue share a kind, a scheme or an Alien service, and one is the default", () => {
  const all = CATALOGUE.flatMap(({ kind, url, alien }) => [
    [`kind ${kind}`],
    Object.keys(url.forms).map((scheme) => `scheme ${scheme}`),
    alien === undefined ? [] : [`service ${alien.service}`],
  ]).flat()
  expect(new Set(all).size).toBe(all.length)
  expect(CATALOGUE.filter(({ defaultSettings }) => defaultSettings !== undefined)).toHaveLength(1)
})

test("outside its folder, only the catalogue and a bus over its servers import from a backend", () => {
  const folders = readdirSync("tiers").filter((folder) => existsSync(join("tiers", folder, "binding.ts")))
  expect(folders).toEqual(["azure-tables", "dynamodb", "firestore", "lmdb", "redis"])
  const fromBackend = new RegExp(`(?:from|import\\()\\s*"\\.[^"]*/(${folders.join("|")})/`)
  const importers = ["src", "tiers", "telemetry"].flatMap((root) =>
    readdirSync(root, { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".ts"))
      .map((name) => join(root, name))
      .filter((file) => fromBackend.test(readFileSync(file, "utf8"))),
  )
  expect(importers).toEqual([
    join("src", "binding", "catalogue.ts"),
    join("tiers", "buses", "redis-link.ts"),
    join("tiers", "buses", "redis.ts"),
  ])
})
