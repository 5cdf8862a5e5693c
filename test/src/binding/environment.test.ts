import { join } from "node:path"
import { expect, test } from "vitest"
import { resolveBinding } from "../../../src/binding/environment.ts"
import { bindingError } from "../../support/bindings.ts"

const redisAt = (host: string) => ({ backend: { kind: "redis" }, settings: { nodes: [{ host }] } })
const memoryStore = { backend: { kind: "memory" } }
const defaultOf = (name: string) => ({ backend: { kind: "lmdb" }, settings: { path: join(".kv", name) } })
const redis = '{"service":"redis","connectionUrl":"redis://from-binding"}'

test("KV_<NAME>_URL comes before ALIEN_<NAME>_BINDING, and both before the default", () => {
  const both = { KV_CACHE_URL: "redis://from-url", ALIEN_CACHE_BINDING: redis }
  expect(resolveBinding("cache", both)).toMatchObject(redisAt("from-url"))
  expect(resolveBinding("cache", { ALIEN_CACHE_BINDING: redis })).toMatchObject(redisAt("from-binding"))
  expect(resolveBinding("cache", {})).toMatchObject(defaultOf("cache"))
  expect(resolveBinding("cache", { KV_CACHE_URL: "", ALIEN_CACHE_BINDING: "" })).toMatchObject(
    defaultOf("cache"),
  )
})

test("<NAME> is the name in upper case, with - as _", () => {
  const environment = { KV_USER_SESSIONS_2_URL: "memory:" }
  for (const name of ["user-sessions-2", "user_sessions_2", "User-Sessions_2"]) {
    expect(resolveBinding(name, environment)).toMatchObject(memoryStore)
  }
  expect(resolveBinding("user-sessions", environment)).toMatchObject(defaultOf("user-sessions"))
})

test("in production a missing binding is an error that names both variables", () => {
  const error = bindingError(() =>
    resolveBinding("my-cache", { NODE_ENV: "production", KV_OTHER_URL: "memory:" }),
  )
  expect(error).toMatchObject({ code: "BINDING_NOT_CONFIGURED", operation: "open", retryable: false })
  expect(error.message).toContain("KV_MY_CACHE_URL")
  expect(error.message).toContain("ALIEN_MY_CACHE_BINDING")
  expect(resolveBinding("other", { NODE_ENV: "production", KV_OTHER_URL: "memory:" })).toBeDefined()
  expect(resolveBinding("a", { NODE_ENV: "development" })).toMatchObject(defaultOf("a"))
})

test("a malformed variable breaks its own name alone, and the message names it", () => {
  const environment = { KV_A_URL: "nonsense", ALIEN_B_BINDING: "{", KV_C_URL: "memory:" }
  expect(bindingError(() => resolveBinding("a", environment)).message).toMatch(
    /^The environment variable KV_A_URL /,
  )
  expect(bindingError(() => resolveBinding("b", environment)).message).toMatch(
    /^The environment variable ALIEN_B_BINDING is not JSON/,
  )
  expect(resolveBinding("c", environment)).toMatchObject(memoryStore)
  expect(resolveBinding("d", environment)).toMatchObject(defaultOf("d"))
})
