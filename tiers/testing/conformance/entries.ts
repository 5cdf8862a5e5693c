import assert from "node:assert/strict"
import { MAX_KEY_BYTES, MAX_VALUE_BYTES } from "../../limits.ts"
import { systemRuntime } from "../../runtime.ts"
import {
  applied,
  assertAbsent,
  assertPresent,
  assertSameBytes,
  type Cases,
  entryOf,
  remove,
  scanAll,
  write,
} from "./context.ts"

/** Every shape of legal key that some backend has trouble with. */
export const AWKWARD_KEYS: readonly string[] = [
  ".",
  "..",
  "...",
  "-",
  "_",
  ":",
  "::",
  "0",
  "00",
  "-1",
  "__",
  "__x__",
  "__id7__",
  "__proto__",
  "constructor",
  "null",
  "undefined",
  "a",
  "A",
  "ab",
  "a.b",
  "a-b",
  "a_b",
  "a:b",
  "axb",
  "1e3",
  "bucket_0",
  "x".repeat(MAX_KEY_BYTES),
  "x".repeat(MAX_KEY_BYTES - 1),
  ":".repeat(MAX_KEY_BYTES),
]

export const entryCases: Cases = {
  "entries: a key that was never written is absent": async ({ backend }) => {
    await assertAbsent(backend, "never")
  },

  "entries: an empty value comes back empty": async ({ backend }) => {
    await write(backend, "empty", "")
    await assertPresent(backend, "empty", "")
  },

  "entries: the largest value, of every byte value, comes back exactly": async ({ backend }) => {
    const value = Uint8Array.from({ length: MAX_VALUE_BYTES }, (_, index) => index * 31 + (index >> 8))
    assert.equal(new Set(value).size, 256)
    await write(backend, "largest", value)
    await assertPresent(backend, "largest", value)
  },

  "entries: bytes that are not text come back exactly": async ({ backend }) => {
    const values = {
      zero: Uint8Array.of(0),
      zeros: new Uint8Array(16),
      ones: new Uint8Array(3).fill(0xff),
      surrogate: Uint8Array.of(0xed, 0xa0, 0x80),
      mark: Uint8Array.of(0xef, 0xbb, 0xbf, 0x61),
      newline: Uint8Array.of(0x0d, 0x0a, 0x0d),
    }
    for (const [key, value] of Object.entries(values)) await write(backend, key, value)
    for (const [key, value] of Object.entries(values)) await assertPresent(backend, key, value)
  },

  "entries: a view into a larger buffer is written as what it shows": async ({ backend }) => {
    const value = new Uint8Array(64).map((_, index) => index).subarray(10, 20)
    await write(backend, "view", value)
    await assertPresent(backend, "view", value)
  },

  "entries: every legal key holds an entry of its own": async ({ backend }) => {
    for (const [index, key] of AWKWARD_KEYS.entries()) await write(backend, key, `value ${index}`)
    for (const [index, key] of AWKWARD_KEYS.entries()) await assertPresent(backend, key, `value ${index}`)
    for (const key of AWKWARD_KEYS) {
      assert.equal(applied(await remove(backend, key)), true)
      assert.equal(await backend.get(key), undefined)
    }
    assert.deepEqual([...(await scanAll(backend, "")).keys()], [])
  },

  "entries: a write replaces the value": async ({ backend }) => {
    await write(backend, "key", "a long first value")
    await write(backend, "key", "short")
    await assertPresent(backend, "key", "short")
    await write(backend, "key", "")
    await assertPresent(backend, "key", "")
  },

  "entries: a delete removes the entry, and it can be written again": async ({ backend }) => {
    await write(backend, "key", "one")
    assert.equal(applied(await remove(backend, "key")), true)
    await assertAbsent(backend, "key")
    assert.equal(applied(await write(backend, "key", "two", { condition: { absent: true } })), true)
    await assertPresent(backend, "key", "two")
  },

  "entries: an unconditional delete of nothing is applied": async ({ backend }) => {
    assert.equal(applied(await remove(backend, "nothing")), true)
    await assertAbsent(backend, "nothing")
  },

  "entries: what one process wrote or deleted, another sees at once": async ({ backend, another }) => {
    const other = await another()
    for (let round = 0; round < 5; round++) {
      await write(backend, "key", `from one ${round}`)
      await assertPresent(other, "key", `from one ${round}`)
      await write(other, "key", `from the other ${round}`)
      await assertPresent(backend, "key", `from the other ${round}`)
      await remove(backend, "key")
      await assertAbsent(other, "key")
    }
  },

  "entries: an entry outlives the backend that wrote it": async ({ backend, another }) => {
    const other = await another()
    await write(other, "key", "kept")
    await other.close()
    await assertPresent(await another(), "key", "kept")
    await assertPresent(backend, "key", "kept")
  },

  "entries: changing an array that was passed in changes nothing": async ({ backend }) => {
    const value = Uint8Array.of(1, 2, 3)
    await write(backend, "one", value)
    await backend.putMany(new Map([["many", { value, id: systemRuntime.id() }]]))
    value.fill(9)
    await assertPresent(backend, "one", Uint8Array.of(1, 2, 3))
    await assertPresent(backend, "many", Uint8Array.of(1, 2, 3))
  },

  "entries: changing an array that was given back changes nothing": async ({ backend }) => {
    const written = Uint8Array.of(1, 2, 3)
    for (const key of ["a", "b", "c"]) await write(backend, key, written)
    const readers = {
      get: async () => (await entryOf(backend, "a")).value,
      getMany: async () => valueIn(await backend.getMany(["a", "b", "c"]), "b"),
      scan: async () => valueIn(await scanAll(backend, ""), "c"),
    }
    for (const [how, read] of Object.entries(readers)) {
      const first = await read()
      const second = await read()
      first.fill(9)
      assertSameBytes(second, written, `a second ${how}`)
      assertSameBytes(await read(), written, `a later ${how}`)
    }
    for (const key of ["a", "b", "c"]) await assertPresent(backend, key, written)
  },

  "entries: opening twice and closing twice is harmless": async ({ backend, another }) => {
    const other = await another()
    await other.open()
    await write(other, "key", "value")
    await Promise.all([other.close(), other.close()])
    await other.close()
    await assertPresent(backend, "key", "value")
  },

  "entries: a backend that was closed can be opened again": async ({ backend, another }) => {
    const other = await another()
    for (const value of ["before", "after"]) {
      await write(other, "key", value)
      await assertPresent(backend, "key", value)
      await other.close()
      await other.open()
    }
    await assertPresent(other, "key", "after")
  },
}

function valueIn(entries: ReadonlyMap<string, unknown>, key: string): Uint8Array {
  const entry = entries.get(key)
  assert.ok(
    typeof entry === "object" && entry !== null && "value" in entry,
    "an entry that was written is missing",
  )
  assert.ok(entry.value instanceof Uint8Array)
  return entry.value
}
