import { readFile } from "node:fs/promises"
import { describe, expect, test } from "vitest"
import {
  DEFAULTS,
  LATEST_EXPIRY,
  MAX_KEY_BYTES,
  MAX_PAGE_LIMIT,
  MAX_VALUE_BYTES,
} from "../../tiers/limits.ts"

const read = (path: string) => readFile(new URL(`../../${path}`, import.meta.url), "utf8")

/** The number after `@default` in the doc comment of an option, if it has one. */
function documentedDefault(source: string, option: string): number | undefined {
  const [, number] = new RegExp(`@default ([\\d_.]+)[^/]*\\*/\\s+${option}\\?:`).exec(source) ?? []
  return number === undefined ? undefined : Number(number.replaceAll("_", ""))
}

describe("the number in a doc comment is the one in the code", () => {
  const {
    l1,
    retryBudget,
    maxConcurrency,
    maxQueue,
    quarantineMs,
    pageLimit,
    requestTimeoutMs,
    maxAttempts,
    backoffBaseMs,
    backoffMaxMs,
  } = DEFAULTS
  test.each([
    ["src/api.ts", "maxEntries", l1.maxEntries],
    ["src/api.ts", "maxBytes", l1.maxBytes],
    ["src/api.ts", "ttlMs", l1.ttlMs],
    ["src/api.ts", "negativeTtlMs", l1.negativeTtlMs],
    ["src/api.ts", "jitter", l1.jitter],
    ["src/api.ts", "quarantineMs", quarantineMs],
    ["src/api.ts", "limit", pageLimit],
    ["tiers/dynamodb/backend.ts", "requestTimeoutMs", requestTimeoutMs],
    ["tiers/firestore/backend.ts", "requestTimeoutMs", requestTimeoutMs],
    ["tiers/azure-tables/backend.ts", "requestTimeoutMs", requestTimeoutMs],
    ["tiers/redis/backend.ts", "requestTimeoutMs", requestTimeoutMs],
    ["tiers/redis/provisioning.ts", "requestTimeoutMs", requestTimeoutMs],
    ["tiers/wrappers/resilience/options.ts", "maxAttempts", maxAttempts],
    ["tiers/wrappers/resilience/options.ts", "backoffBaseMs", backoffBaseMs],
    ["tiers/wrappers/resilience/options.ts", "backoffMaxMs", backoffMaxMs],
    ["tiers/wrappers/resilience/options.ts", "retryBudget", retryBudget],
    ["tiers/wrappers/resilience/options.ts", "maxConcurrency", maxConcurrency],
    ["tiers/wrappers/resilience/options.ts", "maxQueue", maxQueue],
  ])("%s: %s", async (path, option, value) => {
    expect(documentedDefault(await read(path), option)).toBe(value)
  })

  test("the README has the defaults of kv(), and the limits", async () => {
    const readme = await read("README.md")
    const row = (option: string, value: string) => expect(readme).toContain(`| \`${option}\` | ${value} |`)
    const grouped = (number: number) => number.toLocaleString("en-US")
    row("l1.maxEntries`, `l1.maxBytes", `${grouped(l1.maxEntries)}; ${l1.maxBytes / 2 ** 20} MiB`)
    row("l1.ttlMs", `${grouped(l1.ttlMs)}; ${grouped(DEFAULTS.busTtlMs)} with a bus`)
    row("l1.negativeTtlMs", grouped(l1.negativeTtlMs))
    row("l1.jitter", String(l1.jitter))
    row("retryBudget", String(DEFAULTS.retryBudget))
    row("maxConcurrency`, `maxQueue", `${DEFAULTS.maxConcurrency}; ${grouped(DEFAULTS.maxQueue)}`)
    const { read: readMs, write, scan } = DEFAULTS.timeoutMs
    const times = `\`{ read: ${readMs}, write: ${write}, scan: ${scan} }\``
    row("timeoutMs", times)
    const options = await read("tiers/wrappers/resilience/options.ts")
    const [, documented = ""] = /@default (\{ read: 2_000[^}]*\})/.exec(options) ?? []
    expect(`\`${documented.replaceAll("_", "")}\``).toBe(times)
    row("quarantineMs", grouped(quarantineMs))
    expect(readme).toContain(`up to ${grouped(MAX_VALUE_BYTES)} bytes`)
    expect(readme).toContain(`${MAX_KEY_BYTES}`)
  })

  test("the largest page", async () => {
    expect(await read("src/api.ts")).toContain(`1 to ${MAX_PAGE_LIMIT.toLocaleString("en-US")}`)
  })
})

test("the latest expiry is the last millisecond of the year 9999", () => {
  expect(new Date(LATEST_EXPIRY).toISOString()).toBe("9999-12-31T23:59:59.999Z")
})
