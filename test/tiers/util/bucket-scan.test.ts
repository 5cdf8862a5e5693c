import fc from "fast-check"
import { describe, expect, test } from "vitest"
import type { KeyedEntry, ScanPage } from "../../../tiers/backend.ts"
import { KvError } from "../../../tiers/errors.ts"
import type { Runtime } from "../../../tiers/runtime.ts"
import { bucketOf } from "../../../tiers/util/bucket.ts"
import { type BucketPage, type BucketScan, scanBuckets } from "../../../tiers/util/bucket-scan.ts"

import { settle, testRuntime } from "../../support/runtime.ts"

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
    runtime: instantRuntime(),
    timeoutMs: 3_000,
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

/** A runtime whose timers fire at once, and whose clock then shows their time. */
function instantRuntime(seed = 1): Runtime {
  const runtime = testRuntime(0, seed)
  let now = 0
  return {
    ...runtime,
    monotonic: () => now,
    setTimer(callback, delayMs) {
      now += delayMs
      queueMicrotask(callback)
      return { cancel() {} }
    },
  }
}

/** The scan, of which each query fails that `fails` says. */
function failing(scan: BucketScan, fails: (bucket: number) => unknown): BucketScan {
  return {
    ...scan,
    async query(bucket, ...rest) {
      const page = await scan.query(bucket, ...rest)
      const error = fails(bucket)
      if (error !== undefined) throw error
      return page
    },
  }
}

const throttled = new KvError("THROTTLED", "too fast", { operation: "scan" })

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
    const page = scanBuckets(
      failing(scan, (bucket) => (bucket === 1 ? failure : undefined)),
      { limit: 200 },
    )
    await expect(page).rejects.toBe(failure)
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

describe("a query that fails with a retryable error", () => {
  const service = "whose positions are keys"
  /** A page of this size needs a query of each bucket. */
  const limit = 16 * 50

  test.each([0.1, 0.25])("is sent again: at %d of the queries throttled, pages succeed", async (share) => {
    const keys = keysNamed(400)
    for (let seed = 1; seed <= 200; seed++) {
      const { scan, queries } = tableOf(service, keys)
      const { random } = testRuntime(0, seed)
      let failures = 0
      const throttling = failing({ ...scan, runtime: instantRuntime(seed) }, () => {
        if (random() >= share) return undefined
        failures++
        return throttled
      })
      expect(keysOf([await scanBuckets(throttling, { limit })]).toSorted()).toEqual(keys.toSorted())
      expect(queries.length - failures, "queries that were answered are not sent again").toBe(16)
    }
  })

  test("is sent again for each query and three times more, then the page rejects", async () => {
    const { scan, queries } = tableOf(service, keysNamed(400))
    await expect(
      scanBuckets(
        failing(scan, () => throttled),
        { limit },
      ),
    ).rejects.toBe(throttled)
    expect(queries.length).toBeGreaterThan(16)
    expect(queries.length).toBeLessThanOrEqual(16 + 16 + 3)
  })

  test("is not sent again after another query has failed for good", async () => {
    const { scan, queries } = tableOf(service, keysNamed(400))
    const denied = new KvError("ACCESS_DENIED", "no", { operation: "scan" })
    const page = scanBuckets(
      failing(scan, (bucket) => (bucket === 15 ? denied : throttled)),
      { limit },
    )
    await expect(page).rejects.toBe(denied)
    await settle()
    expect(queries.length).toBeLessThanOrEqual(16 + 15)
  })

  test("is not sent again past the time of the page, of which each query gets what is left", async () => {
    const { scan, queries } = tableOf(service, keysNamed(400))
    const limits: number[] = []
    const runtime = { ...instantRuntime(), random: () => 0.5 }
    const slow: BucketScan = {
      ...scan,
      runtime,
      query: (bucket, position, rows, limitMs) => {
        limits.push(limitMs)
        return scan.query(bucket, position, rows, limitMs).then(() => Promise.reject(throttled))
      },
    }
    await expect(scanBuckets(slow, { limit: 1, timeoutMs: 100 })).rejects.toBe(throttled)
    // The waits are 25 and 50 ms; the next one would be 100 ms.
    expect(limits).toEqual([100, 75, 25])
    expect(queries).toHaveLength(3)
  })

  test("is not waited for after an abort", async () => {
    const { scan } = tableOf(service, keysNamed(400))
    const controller = new AbortController()
    const runtime = testRuntime()
    const aborted = failing({ ...scan, runtime }, () => {
      setImmediate(() => controller.abort("enough"))
      return throttled
    })
    const page = scanBuckets(aborted, { limit: 1, signal: controller.signal })
    await expect(page).rejects.toBe("enough")
  })
})
