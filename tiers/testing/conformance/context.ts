import assert from "node:assert/strict"
import type { Backend, Condition, RowHead, ScanPage, StoredEntry, WriteResult } from "../../backend.ts"
import { KvError } from "../../errors.ts"
import { type Runtime, systemRuntime } from "../../runtime.ts"

/** The input of a case: backends over one store, and their clock. */
export interface CaseContext {
  /** The first backend, open. */
  readonly backend: Backend
  /** Another backend over the same store, open; it stands for another process. */
  another(): Promise<Backend>
  readonly clock: ConformanceClock
  /** Ends the case, because it does not apply to this backend. */
  skip(reason: string): never
}

/** A case's body, under its name. A failed assertion, or any other throw, is a failure. */
export type Cases = Readonly<Record<string, (context: CaseContext) => Promise<void>>>

/**
 * Real timers and random numbers, but a wall clock that starts at the real time and moves only when a case moves it forward. No entry has
 * a time to live below {@link TTL}, so that a real server that expires rows by its own clock does not remove them during a case.
 */
export interface ConformanceClock extends Runtime {
  advance(ms: number): void
}

/** The time to live in cases, ms: longer than any case takes on a slow emulator. */
export const TTL = 3_600_000

export function conformanceClock(): ConformanceClock {
  let now = systemRuntime.now()
  return {
    ...systemRuntime,
    now: () => now,
    advance(ms) {
      now += ms
    },
  }
}

export function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}

export interface WriteOptions {
  /** @default a new one */
  id?: string
  expiresAt?: number
  condition?: Condition
}

/** One `put` of `value`, text as its UTF-8 bytes. */
export function write(
  backend: Backend,
  key: string,
  value: string | Uint8Array,
  { id = systemRuntime.id(), expiresAt, condition }: WriteOptions = {},
): Promise<WriteResult> {
  return backend.put(key, {
    value: typeof value === "string" ? bytes(value) : value,
    id,
    ...(expiresAt === undefined ? {} : { expiresAt }),
    ...(condition === undefined ? {} : { condition }),
  })
}

export interface RemovalOptions {
  /** @default a new one */
  id?: string
  version?: string
}

/** One `delete`. */
export function remove(
  backend: Backend,
  key: string,
  { id = systemRuntime.id(), version }: RemovalOptions = {},
): Promise<WriteResult> {
  return backend.delete(key, { id, ...(version === undefined ? {} : { condition: { version } }) })
}

/** The entry under `key`, which has to be there. */
export async function entryOf(backend: Backend, key: string): Promise<StoredEntry> {
  const entry = await backend.get(key)
  assert.ok(entry !== undefined, "get found no entry under a key that was written")
  return entry
}

/** The version under `key`, where an entry has to be. */
export async function versionOf(backend: Backend, key: string): Promise<string> {
  return (await entryOf(backend, key)).version
}

/** The head of the row under `key`, live or expired. */
export async function headOf(backend: Backend, key: string): Promise<RowHead | undefined> {
  const head = (await backend.probe([key])).get(key)
  if (head instanceof KvError) throw head
  return head
}

/** The heads of any number of keys. */
export async function probeAll(
  backend: Backend,
  keys: readonly string[],
): Promise<Map<string, RowHead | KvError>> {
  const heads = new Map<string, RowHead | KvError>()
  const size = backend.traits.maxWriteBatch
  for (let start = 0; start < keys.length; start += size) {
    for (const [key, head] of await backend.probe(keys.slice(start, start + size))) heads.set(key, head)
  }
  return heads
}

export function assertSameBytes(actual: Uint8Array, expected: string | Uint8Array, what: string): void {
  const wanted = typeof expected === "string" ? bytes(expected) : expected
  assert.ok(actual instanceof Uint8Array, `${what} gave no Uint8Array`)
  assert.ok(
    Buffer.compare(actual, wanted) === 0,
    `${what} gave ${actual.length} bytes that are not the ${wanted.length} bytes written`,
  )
}

/** Asserts that every read method finds `value` under `key`, with the same version and expiry. */
export async function assertPresent(
  backend: Backend,
  key: string,
  value: string | Uint8Array,
  expiresAt?: number,
): Promise<void> {
  const got = await entryOf(backend, key)
  const found = {
    get: got,
    getMany: (await backend.getMany([key])).get(key),
    scan: (await scanAll(backend, key)).get(key),
  }
  for (const [how, entry] of Object.entries(found)) {
    assert.ok(entry !== undefined, `${how} did not find a live entry`)
    if (entry instanceof KvError) throw entry
    assertSameBytes(entry.value, value, how)
    assert.equal(entry.version, got.version, `${how} gave another version than get`)
    assert.equal(entry.expiresAt, expiresAt, `${how} gave another expiry than was written`)
  }
  assert.equal(await backend.exists(key), true, "exists denied a live entry")
}

/** Asserts that no read method finds an entry under `key`. */
export async function assertAbsent(backend: Backend, key: string): Promise<void> {
  assert.equal(await backend.get(key), undefined, "get found an entry that should be absent")
  assert.equal((await backend.getMany([key])).has(key), false, "getMany found an entry that should be absent")
  assert.equal(await backend.exists(key), false, "exists found an entry that should be absent")
  assert.equal((await scanAll(backend, key)).has(key), false, "scan found an entry that should be absent")
}

/** Whether the write was applied. Throws if the result of the key is an error. */
export function applied(result: WriteResult | KvError | undefined): boolean {
  if (result instanceof KvError) throw result
  assert.ok(result !== undefined, "a key of the batch has no result")
  return result.applied
}

/** More pages than any case needs. A longer scan fails. */
const MOST_PAGES = 5_000

/** The pages of a scan, one after the other. */
export async function* scanPages(backend: Backend, prefix: string, limit: number): AsyncGenerator<ScanPage> {
  let cursor: string | undefined
  for (let pages = 0; pages < MOST_PAGES; pages++) {
    const page = await backend.scan(prefix, { limit, ...(cursor === undefined ? {} : { cursor }) })
    assert.ok(
      page.entries.length <= limit,
      `a page held ${page.entries.length} entries, its limit was ${limit}`,
    )
    yield page
    if (page.next === undefined) return
    cursor = page.next
  }
  assert.fail(`a scan went on for more than ${MOST_PAGES} pages`)
}

/** All entries of a scan. Asserts that none comes twice. */
export async function scanAll(
  backend: Backend,
  prefix: string,
  limit = 100,
): Promise<Map<string, StoredEntry>> {
  const found = new Map<string, StoredEntry>()
  for await (const { entries } of scanPages(backend, prefix, limit)) {
    for (const { key, ...entry } of entries) {
      assert.equal(found.has(key), false, `a scan gave ${JSON.stringify(key)} twice`)
      found.set(key, entry)
    }
  }
  return found
}

/** The error of a call that has to fail, whether it rejects or throws. */
export async function rejection(call: () => unknown): Promise<unknown> {
  try {
    await call()
  } catch (error) {
    return error
  }
  return assert.fail("the call was answered, where it has to reject")
}
