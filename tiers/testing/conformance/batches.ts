import assert from "node:assert/strict"
import type { StoredEntry, Write } from "../../backend.ts"
import { KvError } from "../../errors.ts"
import { MAX_VALUE_BYTES } from "../../limits.ts"
import { systemRuntime } from "../../runtime.ts"
import {
  applied,
  assertAbsent,
  assertPresent,
  assertSameBytes,
  bytes,
  type CaseContext,
  type Cases,
  entryOf,
  scanAll,
  write,
} from "./context.ts"
import { AWKWARD_KEYS } from "./entries.ts"

const LARGEST_VALUE = new Uint8Array(MAX_VALUE_BYTES).map((_, index) => index)

export const batchCases: Cases = {
  "batches: traits give whole numbers of at least 1": async ({ backend: { traits } }) => {
    for (const most of [traits.maxReadBatch, traits.maxWriteBatch]) {
      assert.ok(Number.isSafeInteger(most) && most >= 1, `${most} is no batch size`)
    }
  },

  "batches: getMany of as many keys as a batch holds": async (context) => {
    const keys = numbered(context.backend.traits.maxReadBatch)
    await putAll(context, keys)
    const found = await context.backend.getMany(keys)
    assert.deepEqual([...found.keys()].sort(), [...keys].sort())
    for (const key of keys) assertSameBytes(live(found.get(key)).value, key, "getMany")
  },

  "batches: getMany pairs values and keys, absent ones among them": async (context) => {
    const keys = numbered(context.backend.traits.maxReadBatch)
    const written = keys.filter((_, index) => index % 3 === 1)
    await putAll(context, written)
    const shuffled = [...keys].reverse()
    const found = await context.backend.getMany(shuffled)
    assert.deepEqual([...found.keys()].sort(), [...written].sort())
    for (const key of written) assertSameBytes(live(found.get(key)).value, key, "getMany")
  },

  "batches: getMany of absent keys alone, and of none": async ({ backend }) => {
    assert.equal((await backend.getMany(numbered(backend.traits.maxReadBatch))).size, 0)
    assert.equal((await backend.getMany([])).size, 0)
  },

  "batches: getMany gives what get gives": async (context) => {
    const { backend, clock } = context
    const expiresAt = clock.now() + 3_600_000
    await write(backend, "plain", "value")
    await write(backend, "expiring", "value", { expiresAt })
    for (const key of ["plain", "expiring"]) {
      const alone = await entryOf(backend, key)
      const batched = live((await backend.getMany([key])).get(key))
      assert.equal(batched.version, alone.version)
      assert.equal(batched.expiresAt, alone.expiresAt)
    }
  },

  "batches: getMany of the largest values": async (context) => {
    const { backend } = context
    const keys = numbered(Math.min(backend.traits.maxReadBatch, 100))
    await putAll(context, keys, () => LARGEST_VALUE)
    let missing = keys
    // A service may leave a part of a large answer unprocessed, which is an error of each key and never an absent one.
    for (let round = 0; missing.length > 0 && round < keys.length; round++) {
      const found = await backend.getMany(missing)
      assert.deepEqual([...found.keys()].sort(), [...missing].sort())
      missing = missing.filter((key) => {
        const entry = found.get(key)
        if (entry instanceof KvError && entry.code === "THROTTLED") return true
        assertSameBytes(live(entry).value, LARGEST_VALUE, "getMany")
        return false
      })
    }
    assert.deepEqual(missing, [])
  },

  "batches: every legal key can be in a batch": async (context) => {
    const { backend } = context
    await putAll(context, AWKWARD_KEYS)
    for (const keys of chunks(AWKWARD_KEYS, backend.traits.maxReadBatch)) {
      const found = await backend.getMany(keys)
      for (const key of keys) assertSameBytes(live(found.get(key)).value, key, "getMany")
    }
    await removeAll(context, AWKWARD_KEYS)
    assert.deepEqual([...(await scanAll(backend, "")).keys()], [])
  },

  "batches: putMany of as many entries as a batch holds": async (context) => {
    const { backend } = context
    const keys = numbered(backend.traits.maxWriteBatch)
    const results = await backend.putMany(writesOf(keys))
    assert.deepEqual([...results.keys()].sort(), [...keys].sort())
    for (const key of keys) assert.equal(applied(results.get(key)), true)
    const stored = await scanAll(backend, "")
    assert.equal(stored.size, keys.length)
    assert.equal(new Set([...stored.values()].map((entry) => entry.version)).size, keys.length)
    for (const key of keys) {
      const { value, version } = live(stored.get(key))
      assertSameBytes(value, key, "scan")
      const result = results.get(key)
      if (result !== undefined && !(result instanceof KvError) && result.version !== undefined) {
        assert.equal(result.version, version)
      }
    }
  },

  "batches: putMany replaces what is there": async (context) => {
    const { backend } = context
    const keys = numbered(Math.min(backend.traits.maxWriteBatch, 5))
    for (const key of keys) await write(backend, key, "old")
    await putAll(context, keys)
    for (const key of keys) await assertPresent(backend, key, key)
  },

  "batches: deleteMany of as many keys as a batch holds, absent ones among them": async (context) => {
    const { backend } = context
    const keys = numbered(backend.traits.maxWriteBatch)
    await putAll(
      context,
      keys.filter((_, index) => index % 2 === 0),
    )
    await write(backend, "kept", "value")
    const results = await backend.deleteMany(removalsOf(keys))
    assert.deepEqual([...results.keys()].sort(), [...keys].sort())
    for (const key of keys) assert.equal(applied(results.get(key)), true)
    assert.deepEqual([...(await scanAll(backend, "")).keys()], ["kept"])
    await assertAbsent(backend, keys[0] ?? "")
  },

  "batches: putMany and deleteMany of nothing": async ({ backend }) => {
    assert.equal((await backend.putMany(new Map())).size, 0)
    assert.equal((await backend.deleteMany(new Map())).size, 0)
  },

  "batches: a batch is seen by another process": async (context) => {
    const { backend, another } = context
    const keys = numbered(Math.min(backend.traits.maxWriteBatch, 5))
    const other = await another()
    await putAll(context, keys)
    for (const key of keys) await assertPresent(other, key, key)
    await removeAll(context, keys)
    for (const key of keys) await assertAbsent(other, key)
  },
}

function numbered(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `key:${index}`)
}

function* chunks<T>(items: readonly T[], size: number): Generator<T[]> {
  for (let start = 0; start < items.length; start += size) yield items.slice(start, start + size)
}

function writesOf(
  keys: readonly string[],
  contentOf: (key: string) => Uint8Array = bytes,
): Map<string, Write> {
  return new Map(keys.map((key) => [key, { value: contentOf(key), id: systemRuntime.id() }]))
}

function removalsOf(keys: readonly string[]): Map<string, { id: string }> {
  return new Map(keys.map((key) => [key, { id: systemRuntime.id() }]))
}

/** Any number of entries, each with its key as its value unless told otherwise. */
async function putAll(
  { backend }: CaseContext,
  keys: readonly string[],
  contentOf?: (key: string) => Uint8Array,
): Promise<void> {
  for (const chunk of chunks(keys, backend.traits.maxWriteBatch)) {
    for (const result of (await backend.putMany(writesOf(chunk, contentOf))).values()) {
      assert.equal(applied(result), true)
    }
  }
}

async function removeAll({ backend }: CaseContext, keys: readonly string[]): Promise<void> {
  for (const chunk of chunks(keys, backend.traits.maxWriteBatch)) {
    for (const result of (await backend.deleteMany(removalsOf(chunk))).values()) {
      assert.equal(applied(result), true)
    }
  }
}

function live(entry: StoredEntry | KvError | undefined): StoredEntry {
  if (entry instanceof KvError) throw entry
  assert.ok(entry !== undefined, "an entry that was written is missing")
  return entry
}
