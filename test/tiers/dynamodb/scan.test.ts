import fc from "fast-check"
import { describe, expect, test } from "vitest"
import type { KeyedEntry } from "../../../tiers/backend.ts"
import { scanPage } from "../../../tiers/dynamodb/scan.ts"
import { bucketOf } from "../../../tiers/util/bucket.ts"
import type { BucketPage } from "../../../tiers/util/bucket-scan.ts"
import { testRuntime } from "../../support/runtime.ts"

/** Rows by bucket as a table would give them: an expired one has no entry. */
function tableOf(keys: readonly string[], isExpired: (key: string) => boolean = () => false) {
  const rows = keys.toSorted()
  const queries: number[] = []
  return {
    queries,
    runtime: testRuntime(),
    timeoutMs: 3_000,
    async query(bucket: number, after: string, limit: number): Promise<BucketPage> {
      queries.push(limit)
      const rest = rows.filter((key) => bucketOf(key) === bucket && key > after)
      const read = rest.slice(0, limit)
      const entries = read
        .filter((key) => !isExpired(key))
        .map((key): KeyedEntry => ({ key, value: new Uint8Array(), version: "v" }))
      return { entries, next: rest.length > limit ? read.at(-1) : undefined }
    },
  }
}

async function scanAll(table: Parameters<typeof scanPage>[0], limit: number) {
  const pages: string[][] = []
  let cursor: string | undefined
  do {
    const page = await scanPage(table, "table", "", { limit, ...(cursor === undefined ? {} : { cursor }) })
    pages.push(page.entries.map(({ key }) => key))
    cursor = page.next
  } while (cursor !== undefined)
  return pages
}

const keysNamed = (count: number) => Array.from({ length: count }, (_, index) => `key:${index}`)

describe("a scan of the buckets", () => {
  test("brings every live key once, in pages no larger than asked for, whatever has expired", async () => {
    const keys = fc.uniqueArray(fc.stringMatching(/^[a-z0-9]{1,4}$/), { maxLength: 300 })
    await fc.assert(
      fc.asyncProperty(keys, fc.integer({ min: 1, max: 200 }), fc.nat(4), async (keys, limit, share) => {
        const isExpired = (key: string) => key.charCodeAt(0) % 5 < share
        const pages = await scanAll(tableOf(keys, isExpired), limit)
        expect(pages.flat().toSorted()).toEqual(keys.filter((key) => !isExpired(key)).toSorted())
        expect(Math.max(0, ...pages.map((page) => page.length))).toBeLessThanOrEqual(limit)
      }),
    )
  })

  test("asks a full table in few queries: one a page, or one for 250 rows", async () => {
    for (const [limit, most] of [
      [100, 120],
      [1_000, 60],
    ] as const) {
      const table = tableOf(keysNamed(10_000))
      await scanAll(table, limit)
      expect(table.queries.length, `pages of ${limit}`).toBeLessThanOrEqual(most)
    }
  })

  test("asks for no more rows than it gives, where none has expired", async () => {
    const table = tableOf(keysNamed(2_000))
    const page = await scanPage(table, "table", "", { limit: 100 })
    expect(page.entries).toHaveLength(100)
    expect(table.queries).toEqual([100])
  })

  test("finds a few keys among all the buckets in two rounds, and says so in one page", async () => {
    const table = tableOf(keysNamed(5))
    expect(await scanAll(table, 100)).toHaveLength(1)
    expect(table.queries).toHaveLength(16)
  })

  test("passes over thousands of expired rows, in pages that may be empty", async () => {
    const keys = keysNamed(20_000)
    const pages = await scanAll(
      tableOf(keys, (key) => key !== "key:19999"),
      10,
    )
    expect(pages.flat()).toEqual(["key:19999"])
    expect(pages.length).toBeLessThan(30)
  })
})
