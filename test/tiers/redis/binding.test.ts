import { expect, test } from "vitest"
import { parseAlienBinding } from "../../../src/binding/alien.ts"
import { backendOf } from "../../../src/binding/catalogue.ts"
import { parseUrl } from "../../../src/binding/url.ts"
import { systemRuntime } from "../../../tiers/runtime.ts"

const options = { runtime: systemRuntime, timeoutMs: 1_000 }

function ofService(fields: object) {
  return backendOf(
    parseAlienBinding(JSON.stringify({ service: "redis", ...fields }), "The variable"),
    options,
  )
}

test("the database and the prefix of a Redis URL reach the backend", async () => {
  const { traits } = await backendOf(parseUrl("redis://host/2?prefix=app:"), options)
  expect(traits.target).toBe("host:6379/2#app:")
})

test("the fields of a Redis binding come before what its URL says", async () => {
  const connectionUrl = "redis://host/2?prefix=app:"
  expect((await ofService({ connectionUrl, database: 3, keyPrefix: "own:" })).traits.target).toBe(
    "host:6379/3#own:",
  )
  expect((await ofService({ connectionUrl, database: 0 })).traits.target).toBe("host:6379#app:")
})

test("a Redis binding of a database other than 0 of a cluster is BINDING_INVALID", async () => {
  await expect(ofService({ connectionUrl: "redis://host?cluster", database: 3 })).rejects.toMatchObject({
    code: "BINDING_INVALID",
    message: "a Redis cluster has database 0 alone, not 3",
  })
})
