import assert from "node:assert/strict"
import { KvError } from "../../errors.ts"
import { MAX_KEY_BYTES } from "../../limits.ts"
import {
  assertSameBytes,
  type CaseContext,
  type Cases,
  rejection,
  remove,
  scanAll,
  scanPages,
  TTL,
  write,
} from "./context.ts"
import { AWKWARD_KEYS } from "./entries.ts"

/** Neighbours in every order: by byte, by the character after a prefix, and by what a pattern would take for a wildcard. */
const KEYS: readonly string[] = [
  ...AWKWARD_KEYS,
  ..."user user: user:1 user:10 user:2 user:a user:z".split(" "),
  ..."users user.1 user-1 user_1 userX1 useq uses USER:1 User:1".split(" "),
  ..."z zz zzz Z 9 9: :: a: a:b:c __x __x___ _x_ ..a .a".split(" "),
]

const PREFIXES: readonly string[] = [
  ..."user user: user:1 user. user- user_ u U use users user:10 user:1: never".split(" "),
  ..."a a. a- a_ a: a:b z zz Z 9 9: : :: . .. ... - _ __ __x __x__ __x___ 0 1e3".split(" "),
  "x".repeat(MAX_KEY_BYTES - 1),
  "x".repeat(MAX_KEY_BYTES),
  ":".repeat(MAX_KEY_BYTES),
]

export const scanCases: Cases = {
  "scans: an empty store has nothing": async ({ backend }) => {
    assert.deepEqual(await backend.scan("", { limit: 10 }), { entries: [] })
    assert.equal((await scanAll(backend, "any")).size, 0)
  },

  "scans: every prefix finds the keys that start with it, and no others": async (context) => {
    const keys = await fill(context, KEYS)
    for (const prefix of ["", ...PREFIXES]) {
      const found = await scanAll(context.backend, prefix)
      const expected = keys.filter((key) => key.startsWith(prefix))
      assert.deepEqual([...found.keys()].sort(), expected.sort(), `prefix ${JSON.stringify(prefix)}`)
      for (const [key, { value }] of found) assertSameBytes(value, contentOf(key), "scan")
    }
  },

  "scans: pages of any size give every key once": async (context) => {
    const keys = await fill(context, KEYS.slice(0, 40))
    for (const limit of [1, 2, 7, keys.length - 1, keys.length, keys.length + 1, 1_000]) {
      const found = await scanAll(context.backend, "", limit)
      assert.deepEqual([...found.keys()].sort(), [...keys].sort(), `limit ${limit}`)
    }
  },

  "scans: an entry comes with its version and expiry": async ({ backend, clock }) => {
    const expiresAt = clock.now() + TTL
    await write(backend, "key", "value", { expiresAt })
    const entry = (await scanAll(backend, "")).get("key")
    const got = await backend.get("key")
    assert.equal(entry?.version, got?.version)
    assert.equal(entry?.expiresAt, expiresAt)
  },

  "scans: expired rows neither come nor stop the pages": async (context) => {
    const { backend, clock } = context
    const keys = Array.from({ length: 30 }, (_, index) => `key:${String(index).padStart(2, "0")}`)
    for (const [index, key] of keys.entries()) {
      await write(backend, key, key, index % 10 === 9 ? {} : { expiresAt: clock.now() + TTL })
    }
    clock.advance(TTL)
    for (const limit of [1, 2, 5, 100]) {
      assert.deepEqual([...(await scanAll(backend, "key:", limit)).keys()].sort(), [
        "key:09",
        "key:19",
        "key:29",
      ])
    }
  },

  "scans: a key that is there throughout comes once, whatever is written meanwhile": async (context) => {
    const { backend, another, clock } = context
    const other = await another()
    const stable = Array.from({ length: 24 }, (_, index) => `k:${String(index * 4).padStart(3, "0")}`)
    const fleeting = Array.from({ length: 24 }, (_, index) => `k:${String(index * 4 + 2).padStart(3, "0")}`)
    await fill(context, [...stable, ...fleeting])
    const found: string[] = []
    let turn = 0
    for await (const { entries } of scanPages(backend, "k:", 3)) {
      found.push(...entries.map(({ key }) => key))
      const index = turn++ % fleeting.length
      await remove(other, fleeting[index] ?? "")
      await write(other, `k:${String((index * 37) % 96).padStart(3, "0")}:new`, "new", {
        expiresAt: clock.now() + TTL,
      })
      await write(other, stable[(index * 5) % stable.length] ?? "", "rewritten")
      await write(other, `j:${turn}`, "outside")
    }
    const counts = new Map<string, number>()
    for (const key of found) counts.set(key, (counts.get(key) ?? 0) + 1)
    for (const key of stable) assert.equal(counts.get(key), 1, `${key} came ${counts.get(key) ?? 0} times`)
    assert.ok(found.every((key) => key.startsWith("k:")))
  },

  "scans: a page resumes in another process": async (context) => {
    const { backend, another } = context
    const keys = await fill(context, KEYS.slice(0, 20))
    const processes = [backend, await another()]
    const found: string[] = []
    let cursor: string | undefined
    for (let page = 0; page === 0 || cursor !== undefined; page++) {
      assert.ok(page < 1_000, "the scan does not end")
      const process = processes[page % 2] ?? backend
      const { entries, next } = await process.scan("", {
        limit: 3,
        ...(cursor === undefined ? {} : { cursor }),
      })
      found.push(...entries.map(({ key }) => key))
      cursor = next
    }
    assert.deepEqual(found.sort(), [...keys].sort())
  },

  "scans: the same cursor gives the same page again": async (context) => {
    await fill(context, KEYS.slice(0, 20))
    const { backend } = context
    let cursor: string | undefined
    for await (const { next } of scanPages(backend, "", 4)) {
      cursor = next
      break
    }
    assert.ok(cursor !== undefined, "20 keys fit a page of 4")
    const [one, two] = [await scanFrom(context, cursor), await scanFrom(context, cursor)]
    assert.deepEqual(one, two)
  },

  "scans: a cursor that no scan gave is INVALID_CURSOR": async (context) => {
    await fill(context, KEYS.slice(0, 10))
    for (const cursor of ["", "\u0000", "no cursor of any backend", "{}", "[]", "null", "{not json", "%%%"]) {
      await assertInvalidCursor(context, "", cursor)
    }
  },

  "scans: a cursor of a scan of another prefix is INVALID_CURSOR": async (context) => {
    const { backend } = context
    await fill(context, ["a:1", "a:2", "a:3", "a:4", "b:1", "b:2", "b:3", "b:4"])
    let cursor: string | undefined
    for await (const page of scanPages(backend, "a:", 1)) {
      cursor ??= page.next
    }
    assert.ok(cursor !== undefined, "four keys fit a page of 1")
    await assertInvalidCursor(context, "b:", cursor)
  },

  "scans: an aborted signal stops a scan": async (context) => {
    const { backend } = context
    await fill(context, ["a", "b"])
    const reason = new Error("stop")
    const error = await rejection(() => backend.scan("", { limit: 1, signal: AbortSignal.abort(reason) }))
    assert.equal(error, reason, "the scan did not reject with the signal's reason")
    const { entries } = await backend.scan("", { limit: 10, signal: new AbortController().signal })
    assert.ok(entries.length <= 2)
  },
}

function contentOf(key: string): string {
  return `value of ${key}`
}

/** Writes each key once, with a value of its own, and gives the distinct keys. */
async function fill({ backend, clock }: CaseContext, keys: readonly string[]): Promise<string[]> {
  const distinct = [...new Set(keys)]
  const size = backend.traits.maxWriteBatch
  for (let start = 0; start < distinct.length; start += size) {
    const batch = distinct.slice(start, start + size)
    const writes = batch.map(
      (key) => [key, { value: new TextEncoder().encode(contentOf(key)), id: clock.id() }] as const,
    )
    for (const result of (await backend.putMany(new Map(writes))).values()) {
      if (result instanceof KvError) throw result
    }
  }
  return distinct
}

async function scanFrom({ backend }: CaseContext, cursor: string): Promise<string[]> {
  const { entries } = await backend.scan("", { limit: 4, cursor })
  return entries.map(({ key }) => key).sort()
}

async function assertInvalidCursor({ backend }: CaseContext, prefix: string, cursor: string): Promise<void> {
  const error = await rejection(() => backend.scan(prefix, { limit: 4, cursor }))
  assert.ok(error instanceof KvError, `${JSON.stringify(cursor)} was not refused with a KvError: ${error}`)
  assert.equal(error.code, "INVALID_CURSOR")
}
