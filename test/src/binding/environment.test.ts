import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expect, test, vi } from "vitest"
import { resolveBinding } from "../../../src/binding/environment.ts"
import { announceFallback } from "../../../src/binding/fallback.ts"
import { parseUrl, parseUrlOf } from "../../../src/binding/url.ts"
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

test("KV_STRICT=1 makes a missing binding an error, but not in development and tests", () => {
  for (const NODE_ENV of [undefined, "staging"]) {
    const error = bindingError(() => resolveBinding("a", { NODE_ENV, KV_STRICT: "1" }))
    expect(error).toMatchObject({ code: "BINDING_NOT_CONFIGURED" })
    expect(error.message).toContain("KV_STRICT is 1")
  }
  for (const NODE_ENV of ["development", "test"])
    expect(resolveBinding("a", { NODE_ENV, KV_STRICT: "1" })).toMatchObject(defaultOf("a"))
})

test("a store without a binding is said once on standard error, with its path, and its folder is ignored by git", async () => {
  const folder = await mkdtemp(join(tmpdir(), "tiered-kv-fallback-"))
  const written = vi.spyOn(process.stderr, "write").mockReturnValue(true)
  const path = join(folder, ".kv", "a")
  await mkdir(path, { recursive: true })
  try {
    vi.stubEnv("NODE_ENV", "test")
    await announceFallback("a", path)
    expect(written).not.toHaveBeenCalled()
    expect(await readFile(join(folder, ".kv", ".gitignore"), "utf8")).toBe("*\n")
    vi.stubEnv("NODE_ENV", "staging")
    await announceFallback("a", path)
    await announceFallback("a", path)
    expect(written.mock.calls.map(([text]) => text)).toEqual([expect.stringContaining(path)])
  } finally {
    written.mockRestore()
    vi.unstubAllEnvs()
    await rm(folder, { recursive: true })
  }
})

test("two stores with one Redis URL are two stores: keys begin with the name, unless the URL has a prefix", () => {
  const prefixOf = (name: string, environment: Record<string, string>) =>
    resolveBinding(name, environment).settings
  const KV_A_URL = "redis://host"
  expect(prefixOf("a", { KV_A_URL })).toMatchObject({ prefix: "a:" })
  expect(prefixOf("b-1", { KV_B_1_URL: KV_A_URL })).toMatchObject({ prefix: "b-1:" })
  expect(prefixOf("a", { KV_A_URL: `${KV_A_URL}?prefix=x:` })).toMatchObject({ prefix: "x:" })
  expect(prefixOf("a", { KV_A_URL: `${KV_A_URL}?prefix=` })).toMatchObject({ prefix: "" })
  expect(parseUrlOf("a", KV_A_URL).settings).toMatchObject({ prefix: "a:" })
  expect(parseUrl(KV_A_URL).settings).not.toHaveProperty("prefix")
  expect(prefixOf("cache", { ALIEN_CACHE_BINDING: redis })).not.toHaveProperty("prefix")
})
