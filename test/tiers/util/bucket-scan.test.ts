import fc from "fast-check"
import { describe, expect, test } from "vitest"
import type { KeyedEntry, ScanPage } from "../../../tiers/backend.ts"
import { bucketOf } from "../../../tiers/util/bucket.ts"
import { type BucketPage, type BucketScan, scanBuckets } from "../../../tiers/util/bucket-scan.ts"

/** How the services differ: whether a position is a key, and so whether a query may bring more than it was asked for. */
const SERVICES: Record<string, Pick<BucketScan, "rowsPerQuery" | "maxRounds" | "maxRowsPastExpired">> = {
  "whose positions are keys": { rowsPerQuery: 50, maxRounds: 6, maxRowsPastExpired: 200 },
  "whose positions are opaque": { rowsPerQuery: 50, maxRounds: 4 },
}

/** A table of these keys, some of them expired, with a record of what it was asked. */
function tableOf(
  service: string,
  keys: readonly string[],
  isExpired: (key: string) => boolean = () => false,
) {
  const rows = keys.toSorted()
  const queries: { bucket: number; rows: number }[] = []
  const opaque = service === "whose positions are opaque"
  const scan: BucketScan = {
    ...(SERVICES[service] ?? { rowsPerQuery: 0, maxRounds: 0 }),
    async query(bucket, position, limit): Promise<BucketPage> {
      queries.push({ bucket, rows: limit })
      const after = opaque ? Buffer.from(position, "base64").toString() : position
      const rest = rows.filter((key) => bucketOf(key) === bucket && key > after)
      const read = rest.slice(0, limit)
      const entries = read
        .filter((key) => !isExpired(key))
        .map((key): KeyedEntry => ({ key, value: new Uint8Array(), version: "v" }))
      const last = rest.length > limit ? read.at(-1) : undefined
      const next = last === undefined || !opaque ? last : Buffer.from(last).toString("base64")
      return { entries, next }
    },
    encode: (positions) => JSON.stringify(positions.map((position) => position ?? null)),
    decode(cursor) {
      const positions: (string | null)[] = JSON.parse(cursor)
      return positions.map((position) => position ?? undefined)
    },
  }
  return { queries, scan }
}

async function pagesOf(scan: BucketScan, limit: number): Promise<ScanPage[]> {
  const pages: ScanPage[] = []
  let cursor: string | undefined
  do {
    const page = await scanBuckets(scan, { limit, ...(cursor === undefined ? {} : { cursor }) })
    pages.push(page)
    cursor = page.next
  } while (cursor !== undefined)
  return pages
}

const keysOf = (pages: readonly ScanPage[]) => pages.flatMap(({ entries }) => entries.map(({ key }) => key))
const keysNamed = (count: number) => Array.from({ length: count }, (_, index) => `key:${index}`)

describe.each(Object.keys(SERVICES))("a scan of the buckets of a service %s", (service) => {
  test("brings every live key once, in pages no larger than asked for, whatever has expired", async () => {
    const keys = fc.uniqueArray(fc.stringMatching(/^[a-z0-9]{1,4}$/), { maxLength: 300 })
    await fc.assert(
      fc.asyncProperty(keys, fc.integer({ min: 1, max: 200 }), fc.nat(4), async (keys, limit, share) => {
        const isExpired = (key: string) => key.charCodeAt(0) % 5 < share
        const { scan } = tableOf(service, keys, isExpired)
        const pages = await pagesOf(scan, limit)
        expect(keysOf(pages).toSorted()).toEqual(keys.filter((key) => !isExpired(key)).toSorted())
        expect(Math.max(0, ...pages.map(({ entries }) => entries.length))).toBeLessThanOrEqual(limit)
      }),
    )
  })

  test("asks for no more rows than it gives, where none has expired", async () => {
    const { scan, queries } = tableOf(service, keysNamed(2_000))
    const page = await scanBuckets(scan, { limit: 40 })
    expect(page.entries).toHaveLength(40)
    expect(queries).toEqual([{ bucket: 0, rows: 40 }])
  })

  test("asks for more than one query's worth in parallel, of as many buckets as it takes", async () => {
    const { scan, queries } = tableOf(service, keysNamed(2_000))
    await scanBuckets(scan, { limit: 200 })
    expect(queries).toEqual([0, 1, 2, 3].map((bucket) => ({ bucket, rows: 50 })))
  })

  test("asks every bucket once in two rounds where there are few keys, and says so in one page", async () => {
    const { scan, queries } = tableOf(service, keysNamed(5))
    expect(await pagesOf(scan, 50)).toHaveLength(1)
    expect(queries.map(({ bucket }) => bucket).toSorted((a, b) => a - b)).toEqual([...Array(16).keys()])
  })

  test("asks no bucket again that is through", async () => {
    const { scan, queries } = tableOf(service, keysNamed(100))
    await pagesOf(scan, 10)
    expect(queries.length).toBeLessThan(16 + 2 * 10)
  })

  test("ends a page after as many rounds as it may have, though it is empty, and finds what is behind", async () => {
    const keys = keysNamed(20_000)
    const { scan, queries } = tableOf(service, keys, (key) => key !== "key:19999")
    const first = await scanBuckets(scan, { limit: 10 })
    expect(first.entries).toEqual([])
    expect(first.next).toBeDefined()
    expect(queries.length).toBeLessThanOrEqual(10 * scan.maxRounds)
    expect(keysOf(await pagesOf(scan, 1_000))).toEqual(["key:19999"])
  })

  test("fails as a query does", async () => {
    const { scan } = tableOf(service, keysNamed(100))
    const failure = new Error("not today")
    const failing: BucketScan = {
      ...scan,
      query: (bucket, ...rest) => (bucket === 1 ? Promise.reject(failure) : scan.query(bucket, ...rest)),
    }
    await expect(scanBuckets(failing, { limit: 200 })).rejects.toBe(failure)
  })
})

test("among expired rows a query reads four times as many each round, up to the bound, where positions are keys", async () => {
  const { scan, queries } = tableOf("whose positions are keys", keysNamed(20_000), () => true)
  await scanBuckets(scan, { limit: 1 })
  expect(queries.map(({ rows }) => rows)).toEqual([1, 4, 16, 64, 200, 200])
})

test("where positions are opaque a query never reads more than fits into the page", async () => {
  const { scan, queries } = tableOf("whose positions are opaque", keysNamed(20_000), () => true)
  await scanBuckets(scan, { limit: 3 })
  expect(Math.max(...queries.map(({ rows }) => rows))).toBeLessThanOrEqual(3)
})
