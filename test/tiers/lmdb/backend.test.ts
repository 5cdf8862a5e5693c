import { cp, mkdir, mkdtemp, rename, rm, symlink } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import fc from "fast-check"
import type { RootDatabaseOptionsWithPath } from "lmdb"
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest"
import type { Backend } from "../../../tiers/backend.ts"
import { lmdb } from "../../../tiers/lmdb/backend.ts"
import { memory } from "../../../tiers/memory.ts"
import { CLOSE_PATIENCE_MS } from "../../../tiers/util/shared-resource.ts"
import { describeConformance } from "../../support/conformance/run.ts"
import { failureOf } from "../../support/failures.ts"
import { wasWrittenBy } from "../../support/heads.ts"
import { type LmdbFixture, lmdbFixture, textOf } from "../../support/lmdb-fixture.ts"

describeConformance("lmdb", {
  async createStore(runtime) {
    const directory = await mkdtemp(join(tmpdir(), "tiered-kv-lmdb-"))
    return {
      connect: () => lmdb(directory, { runtime }),
      dispose: () => rm(directory, { recursive: true }),
    }
  },
})

let fixture: LmdbFixture
beforeEach(async () => {
  fixture = await lmdbFixture()
})
afterEach(() => fixture.remove())

const KEYS = ["a", "b", "a:1"]

interface Change {
  call: "put" | "delete"
  key: string
  condition: string
  ttlMs: number | null
}

const change: fc.Arbitrary<Change> = fc.record({
  call: fc.constantFrom("put" as const, "delete" as const),
  key: fc.constantFrom(...KEYS),
  condition: fc.constantFrom("none", "absent", "current", "stale"),
  ttlMs: fc.option(fc.integer({ min: 1, max: 9 })),
})
const step = fc.oneof(
  { weight: 6, arbitrary: change },
  {
    weight: 2,
    arbitrary: fc.record({ call: fc.constant("wait" as const), ms: fc.integer({ min: 1, max: 5 }) }),
  },
)

/** One backend under a run of changes, with the versions that its keys have had. */
class Run {
  readonly backend: Backend
  readonly versions = new Map<string, string[]>()

  constructor(backend: Backend) {
    this.backend = backend
  }

  async apply({ call, key, condition, ttlMs }: Change, id: string): Promise<boolean> {
    const { backend, versions } = this
    const { runtime } = fixture
    const seen = versions.get(key) ?? []
    const version = condition === "current" ? seen.at(-1) : condition === "stale" ? seen.at(0) : undefined
    const guard = version === undefined ? {} : { condition: { version } }
    const result =
      call === "delete"
        ? await backend.delete(key, { id, ...guard })
        : await backend.put(key, {
            value: Buffer.from(id),
            id,
            ...(condition === "absent" ? { condition: { absent: true } } : guard),
            ...(ttlMs === null ? {} : { expiresAt: runtime.now() + ttlMs }),
          })
    if (result.version !== undefined) versions.set(key, [...seen, result.version])
    return result.applied
  }

  /** Everything that can be read, without the versions, which differ. */
  async state() {
    const { entries } = await this.backend.scan("", { limit: 9 })
    const got = await Promise.all(KEYS.map((key) => textOf(this.backend, key)))
    return { got, scanned: entries.map(({ key, expiresAt }) => ({ key, expiresAt })) }
  }
}

describe("lmdb", () => {
  test("answers as the memory backend does, whatever is done to it", async () => {
    const { openStore, runtime } = fixture
    const backend = await openStore()
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
        for (const key of KEYS) await backend.delete(key, { id: runtime.id() })
        const actual = new Run(backend)
        const model = new Run(memory({ runtime }))
        for (const step of steps) {
          if (step.call === "wait") {
            runtime.stepWallClock(step.ms)
          } else {
            const id = runtime.id()
            expect(await actual.apply(step, id)).toBe(await model.apply(step, id))
          }
          expect(await actual.state()).toEqual(await model.state())
        }
      }),
      { numRuns: 40 },
    )
  })

  test("applies any number of writes at once", async () => {
    const backend = await fixture.openStore()
    const keys = Array.from({ length: 2_500 }, (_, index) => `key:${index}`)
    const results = await Promise.all(keys.map((key) => fixture.put(backend, key, key)))
    expect(new Set(results.map(({ version }) => version)).size).toBe(keys.length)
    for (const key of keys) expect(await textOf(backend, key)).toBe(key)
  })

  test("copies a value before it returns, so that the caller may change it while the write waits", async () => {
    const backend = await fixture.openStore()
    const value = Buffer.from("before")
    const written = backend.put("key", { value, id: fixture.runtime.id() })
    value.fill("x")
    await written
    expect(await textOf(backend, "key")).toBe("before")
  })

  test("gives a short page rather than look at expired rows without end", async () => {
    const backend = await fixture.openStore()
    const expiresAt = fixture.runtime.now() + 1
    for (let round = 0; round < 3; round++) {
      const keys = Array.from({ length: 500 }, (_, index) => `key:${round}:${index}`)
      await backend.putMany(
        new Map(keys.map((key) => [key, { value: Buffer.from(key), id: fixture.runtime.id(), expiresAt }])),
      )
    }
    await fixture.put(backend, "last", "value")
    fixture.runtime.stepWallClock(1)
    const first = await backend.scan("", { limit: 10 })
    expect(first.entries).toEqual([])
    const second = await backend.scan("", { limit: 10, cursor: first.next ?? "" })
    expect(second.entries.map(({ key }) => key)).toEqual(["last"])
    expect(second.next).toBeUndefined()
  })

  test("lets timers fire during a scan, every 1,000 rows, whatever the pages are like", async () => {
    const backend = await fixture.openStore()
    const expiresAt = fixture.runtime.now() + 1
    for (let round = 0; round < 8; round++) {
      const keys = Array.from({ length: 1_000 }, (_, index) => `key:${round}:${index}`)
      const expiry = round % 2 === 0 ? {} : { expiresAt }
      await backend.putMany(
        new Map(keys.map((key) => [key, { value: Buffer.from("x"), id: fixture.runtime.id(), ...expiry }])),
      )
    }
    fixture.runtime.stepWallClock(1)
    for (const limit of [1, 500, 1_000]) {
      let turns = 0
      const count = () => {
        turns++
        counting = setImmediate(count)
      }
      let counting = setImmediate(count)
      let found = 0
      for (let cursor: string | undefined = ""; cursor !== undefined; ) {
        const page = await backend.scan("", { limit, ...(cursor === "" ? {} : { cursor }) })
        found += page.entries.length
        cursor = page.next
      }
      clearImmediate(counting)
      expect(found).toBe(4_000)
      expect(turns).toBeGreaterThanOrEqual(7)
    }
  })

  test("shares a directory with other backends of the process, whatever it is called", async () => {
    await mkdir(join(fixture.directory, "store.mdb"))
    await symlink(join(fixture.directory, "store.mdb"), join(fixture.directory, "link"))
    const one = await fixture.openStore(join(fixture.directory, "store.mdb"))
    const other = await fixture.openStore(join(fixture.directory, "link"))
    await fixture.put(one, "key", "value")
    expect(await textOf(other, "key")).toBe("value")
    const late = fixture.put(one, "late", "value")
    await one.close()
    await late
    expect(await textOf(other, "late")).toBe("value")
    const reopened = fixture.openStore(join(fixture.directory, "store.mdb"))
    await other.close()
    expect(await textOf(await reopened, "key")).toBe("value")
  })

  test("opens again while its last user closes", async () => {
    for (let round = 0; round < 5; round++) {
      const backend = await fixture.openStore()
      const written = fixture.put(backend, `key:${round}`, "value")
      const closed = backend.close()
      const next = await fixture.openStore()
      await Promise.all([written, closed])
      expect(await textOf(next, `key:${round}`)).toBe("value")
      await next.close()
    }
  })

  describe("whose environment", () => {
    afterEach(() => vi.doUnmock("lmdb"))

    /** The next environment that is opened closes as `close` does. */
    const breakNextClose = (close: () => Promise<void>) => {
      const closes = [close]
      vi.doMock("lmdb", async (importOriginal) => {
        const original = await importOriginal<typeof import("lmdb")>()
        const open = (options: RootDatabaseOptionsWithPath) => {
          const db = original.open(options)
          return Object.assign(db, { close: closes.pop() ?? db.close })
        }
        return { ...original, open }
      })
    }

    test("fails to close says so, and can be opened again", async () => {
      const failure = new Error("it will not close")
      breakNextClose(() => Promise.reject(failure))
      const backend = lmdb(fixture.directory, { runtime: fixture.runtime })
      await backend.open()
      await fixture.put(backend, "key", "value")
      expect(await failureOf(() => backend.close())).toMatchObject({ operation: "close", cause: failure })
      expect(await textOf(await fixture.openStore(), "key")).toBe("value")
    })

    test("never closes gives its directory up after a while", async () => {
      breakNextClose(() => new Promise(() => {}))
      const backend = lmdb(fixture.directory, { runtime: fixture.runtime })
      await backend.open()
      await fixture.put(backend, "key", "value")
      void backend.close()
      let next: Backend | undefined
      void fixture.openStore().then((opened) => {
        next = opened
      })
      // Nobody knows when the open begins to wait: it looks at the directory first.
      while (next === undefined) await fixture.runtime.advance(CLOSE_PATIENCE_MS)
      expect(await textOf(next, "key")).toBe("value")
    })
  })

  describe("whose commit", () => {
    afterEach(() => vi.doUnmock("lmdb"))

    /** After each commit of the next environment that is opened, `then` runs before the commit is reported. */
    const afterCommits = (then: () => Promise<void>) => {
      vi.doMock("lmdb", async (importOriginal) => {
        const original = await importOriginal<typeof import("lmdb")>()
        const open = (options: RootDatabaseOptionsWithPath) => {
          const db = original.open(options)
          const commit = db.transaction.bind(db)
          const transaction = async (change: () => unknown) => {
            const result = await commit(change)
            await then()
            return result
          }
          return Object.assign(db, { transaction })
        }
        return { ...original, open }
      })
    }

    test("does not end in time is OUTCOME_UNKNOWN", async () => {
      let report = () => {}
      const reported = new Promise<void>((resolve) => {
        report = resolve
      })
      let committed = () => {}
      const firstCommit = new Promise<void>((resolve) => {
        committed = resolve
      })
      let holding = false
      afterCommits(async () => {
        if (!holding) return
        committed()
        await reported
      })
      const backend = await fixture.openStore(fixture.directory, { timeoutMs: 300 })
      holding = true
      const first = failureOf(() => fixture.put(backend, "first", "value"))
      await firstCommit
      const second = failureOf(() => fixture.put(backend, "second", "value"))
      await fixture.runtime.advance(300)
      expect(await first).toMatchObject({ code: "OUTCOME_UNKNOWN", key: "first", retryable: false })
      expect(await second).toMatchObject({ code: "TIMEOUT", key: "second" })
      holding = false
      report()
      await fixture.put(backend, "third", "value")
      expect(await textOf(backend, "first")).toBe("value")
      expect(await textOf(backend, "second")).toBeUndefined()
    })

    test("goes to a directory that is moved away meanwhile is OUTCOME_UNKNOWN", async () => {
      const path = join(fixture.directory, "store")
      let moving = false
      afterCommits(async () => {
        if (moving) await rename(path, join(fixture.directory, "moved"))
      })
      const backend = await fixture.openStore(path)
      moving = true
      const error = await failureOf(() => fixture.put(backend, "key", "value"))
      expect(error).toMatchObject({ code: "OUTCOME_UNKNOWN", key: "key" })
      expect(error.message).toContain("removed or replaced")
      moving = false
      expect((await failureOf(() => fixture.put(backend, "key", "value"))).code).toBe("STORE_NOT_FOUND")
    })
  })

  test("acknowledges no write to a directory that was removed or replaced under it", async () => {
    const path = join(fixture.directory, "store")
    const backend = await fixture.openStore(path)
    await fixture.put(backend, "key", "value")
    const refused = async () => {
      const error = await failureOf(() => fixture.put(backend, "lost", "value"))
      expect(error).toMatchObject({ code: "STORE_NOT_FOUND", key: "lost", retryable: false })
      expect(error.message).toContain("removed or replaced")
      const remove = () => backend.delete("key", { id: fixture.runtime.id() })
      expect((await failureOf(remove)).code).toBe("STORE_NOT_FOUND")
      expect(await backend.get("lost")).toBeUndefined()
    }
    await rename(path, join(fixture.directory, "aside"))
    await refused()
    await cp(join(fixture.directory, "aside"), path, { recursive: true })
    await refused()
    await rm(path, { recursive: true })
    await rename(join(fixture.directory, "aside"), path)
    await fixture.put(backend, "back", "value")
    await rm(path, { recursive: true })
    await refused()
    await backend.close()
    await backend.open()
    await fixture.put(backend, "key", "anew")
    expect(await textOf(backend, "key")).toBe("anew")
  })

  test("rejects with CLOSED before it is open and after it is closed", async () => {
    const early = await failureOf(() => lmdb(fixture.directory).get("key"))
    const backend = await fixture.openStore()
    await backend.close()
    const late = [
      () => backend.get("key"),
      () => backend.getMany(["key"]),
      () => backend.exists("key"),
      () => fixture.put(backend, "key", "value"),
      () => backend.delete("key", { id: fixture.runtime.id() }),
      () => backend.scan("", { limit: 1 }),
      () => wasWrittenBy(backend, "key", fixture.runtime.id()),
    ]
    for (const error of [early, ...(await Promise.all(late.map(failureOf)))])
      expect(error.code).toBe("CLOSED")
    await backend.open()
    expect(await textOf(backend, "key")).toBeUndefined()
  })

  test("refuses times that are none", () => {
    for (const ms of [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY]) {
      for (const options of [{ sweepIntervalMs: ms }, { timeoutMs: ms }, { timeoutMs: 0 }]) {
        expect(() => lmdb(fixture.directory, options)).toThrow(
          expect.objectContaining({ code: "INVALID_OPTION" }),
        )
      }
    }
  })
})
