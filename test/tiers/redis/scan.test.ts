import fc from "fast-check"
import { Redis } from "ioredis"
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest"
import type { Backend } from "../../../tiers/backend.ts"
import { redis } from "../../../tiers/redis/backend.ts"
import { systemRuntime } from "../../../tiers/runtime.ts"
import { encodeRow } from "../../../tiers/util/binary-row.ts"
import { startRedisServer } from "../../servers/redis.ts"
import { requireServer } from "../../servers/require-server.ts"

/** The server resizes its table by itself, a hundred times a second instead of ten, and tells how large it is. */
const start = () => startRedisServer(["--hz", "100", "--enable-debug-command", "yes"])

await requireServer("redis scans", start, (server) => {
  let admin: Redis
  let backend: Backend
  beforeAll(async () => {
    admin = new Redis(server.url)
    backend = redis(server.url, { prefix: "s:" })
    await backend.open()
  })
  afterAll(async () => {
    await backend.close()
    admin.disconnect()
  })
  beforeEach(() => admin.flushall())

  /** Writes rows as the backend would, but thousands at once. */
  async function fill(names: readonly string[]): Promise<void> {
    const row = encodeRow({ value: new Uint8Array(1), id: systemRuntime.id(), sequence: 1 })
    const pipeline = admin.pipeline()
    for (const name of names) pipeline.set(name, row)
    await pipeline.exec()
  }

  async function remove(names: readonly string[]): Promise<void> {
    for (let start = 0; start < names.length; start += 5_000)
      await admin.unlink(...names.slice(start, start + 5_000))
  }

  async function scan(
    prefix: string,
    limit: number,
    between: (page: number) => Promise<unknown> = async () => {},
  ): Promise<{ keys: string[]; pages: number; longestCursor: number }> {
    const keys: string[] = []
    let cursor: string | undefined
    let pages = 0
    let longestCursor = 0
    do {
      const page = await backend.scan(prefix, { limit, ...(cursor === undefined ? {} : { cursor }) })
      expect(page.entries.length).toBeLessThanOrEqual(limit)
      keys.push(...page.entries.map(({ key }) => key))
      cursor = page.next
      longestCursor = Math.max(longestCursor, cursor?.length ?? 0)
      await between(++pages)
    } while (cursor !== undefined)
    return { keys, pages, longestCursor }
  }

  const numbered = (prefix: string, count: number) =>
    Array.from({ length: count }, (_, index) => `${prefix}${index}`)
  const sorted = (keys: readonly string[]) => [...keys].sort()

  describe("a scan while the server's hash table changes its size", () => {
    /** Whether `SCAN` itself, page by page, gives an element twice: the trouble has to be there to be cured. */
    async function doesScanRepeat(between: (page: number) => Promise<unknown>): Promise<boolean> {
      const seen = new Set<string>()
      let cursor = "0"
      let page = 0
      do {
        const [next, names] = await admin.scan(cursor, "MATCH", "s:stays:*", "COUNT", 10)
        if (names.some((name) => seen.has(name))) return true
        for (const name of names) seen.add(name)
        cursor = next
        await between(++page)
      } while (cursor !== "0")
      return false
    }

    const stays = numbered("s:stays:", 200)
    const goes = numbered("s:goes:", 3_000)
    /** Lets the table grow thirtyfold after one page and shrink again after the next. */
    const breathe = async (page: number) => {
      await (page % 2 === 1 ? fill(goes) : remove(goes))
      await expect.poll(hasSettled, { interval: 2 }).toBe(true)
    }
    /** More than a tenth of the table is in use, and no other one is being filled. */
    const hasSettled = async () => {
      const stats = String(await admin.call("DEBUG", "HTSTATS", "0")).split("[Expires HT]")[0] ?? ""
      const sizes = Array.from(stats.matchAll(/table size: (\d+)/g), ([, size]) => Number(size))
      return sizes.length === 1 && (await admin.dbsize()) * 10 > (sizes[0] ?? 0)
    }

    test("smaller and larger brings every key that stays once, though SCAN repeats some", async () => {
      let repeats = false
      for (let round = 0; round < 20 && !repeats; round++) {
        await admin.flushall()
        await fill(stays)
        repeats = await doesScanRepeat(breathe)
      }
      expect(repeats).toBe(true)
      for (let round = 0; round < 4; round++) {
        await admin.flushall()
        await fill(stays)
        const { keys } = await scan("stays:", 10, breathe)
        expect(sorted(keys)).toEqual(sorted(stays.map((name) => name.slice(2))))
      }
    })

    test("larger brings every key that stays once", async () => {
      await fill(stays)
      const { keys } = await scan("stays:", 10, (page) => fill(numbered(`s:new:${page}:`, 500)))
      expect(sorted(keys)).toEqual(sorted(stays.map((name) => name.slice(2))))
    })

    test("in any way, in pages of any size, brings every key that stays once", async () => {
      const change = fc.record({ remove: fc.nat(3_000), add: fc.nat(2_000) })
      await fc.assert(
        fc.asyncProperty(
          fc.integer({ min: 1, max: 60 }),
          fc.array(change, { maxLength: 12 }),
          async (limit, changes) => {
            await admin.flushall()
            await fill([...stays, ...goes])
            let added = 0
            let removed = 0
            const { keys } = await scan("stays:", limit, async (page) => {
              const step = changes[page - 1]
              if (step === undefined) return
              await remove(goes.slice(removed, removed + step.remove + 1))
              removed += step.remove
              await fill(numbered(`s:new:${added}:`, step.add + 1))
              added += step.add
            })
            expect(sorted(keys)).toEqual(sorted(stays.map((name) => name.slice(2))))
          },
        ),
        { numRuns: 15 },
      )
    })
  })

  test("a scan among other programs' keys finds the store's own, whatever those hold", async () => {
    await fill(["s:mine:1", "s:mine:2"])
    await admin.lpush("s:mine:list", "x")
    await admin.set("s:mine key with spaces", "x")
    await admin.set(Buffer.from([0x73, 0x3a, 0xff, 0xfe]), "x")
    await admin.set("t:mine:3", "x")
    expect(sorted((await scan("", 10)).keys)).toEqual(["mine:1", "mine:2"])
  })

  test("a scan of a sparse prefix looks at many keys for each page, and its cursor stays small", async () => {
    await fill([...numbered("s:dense:", 30_000), ...numbered("s:sparse:", 40)])
    const sparse = await scan("sparse:", 100)
    expect(sparse.keys).toHaveLength(40)
    expect(sparse.pages).toBeLessThan(10)
    const dense = await scan("", 7, async (page) => {
      if (page === 50) await remove(numbered("s:dense:", 29_000))
    })
    expect(new Set(dense.keys).size).toBe(dense.keys.length)
    expect(dense.longestCursor).toBeLessThan(4_000)
  })

  test("a scan with a cursor from before a restart is refused, because it would miss keys", async () => {
    await fill(numbered("s:k:", 100))
    const { next = "" } = await backend.scan("k:", { limit: 10 })
    await server.restart()
    await fill(numbered("s:k:", 100))
    const resumed = () =>
      backend.scan("k:", { limit: 10, cursor: next }).then(
        () => "resumed",
        (error) => error.code,
      )
    await expect.poll(resumed, { timeout: 5_000 }).toBe("INVALID_CURSOR")
  })

  test("a scan of tombstones finds nothing", async () => {
    const id = systemRuntime.id
    for (const key of numbered("k:", 20)) {
      const { version = "" } = await backend.put(key, { value: new Uint8Array(1), id: id() })
      await backend.delete(key, { id: id(), condition: { version } })
    }
    expect((await scan("", 3)).keys).toEqual([])
  })
})
