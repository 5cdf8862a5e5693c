import type { Backend, BackendTraits, Condition, KeyedEntry, RowHead, StoredEntry } from "./backend.ts"
import { KvError } from "./errors.ts"
import { type Runtime, systemRuntime } from "./runtime.ts"
import { compareVersions, makeVersion } from "./util/binary-row.ts"
import { type Checks, checkOptions, isObject, optional, rule, runtimeOption } from "./util/checks.ts"
import { TurnTaking } from "./util/turn-taking.ts"

export interface MemoryOptions {
  /** Clock and random numbers. @default those of the system */
  runtime?: Runtime
  /** The rows. Backends with the same store share them, as processes share a table. @default a new store */
  store?: MemoryStore
}

/** The rows of a {@link memory} backend. They are lost when the process ends. */
export interface MemoryStore {
  readonly rows: Map<string, MemoryRow>
  /** Sequence number of the last write. */
  sequence: number
  /** The keys in order, for scans; `undefined` after a key was added or removed. */
  sortedKeys: readonly string[] | undefined
  /** The rows that the removal of expired rows has not checked yet; `undefined` before it starts again. */
  sweep: Iterator<[string, MemoryRow]> | undefined
}

export interface MemoryRow {
  readonly value: Uint8Array
  readonly id: string
  readonly version: string
  readonly expiresAt: number | undefined
}

export function memoryStore(): MemoryStore {
  return { rows: new Map(), sequence: 0, sortedKeys: undefined, sweep: undefined }
}

const OPTIONS: Checks = {
  runtime: runtimeOption,
  store: optional(rule("store", (value) => isObject(value) && "rows" in value, "what memoryStore() gives")),
}

const BATCH = 1_000
/** How long an expired row stays, ms. A write whose reply was lost is settled by its row, expired or not. */
const EXPIRED_STAYS_MS = 60_000
/** Rows that each write checks for expiry. A write adds at most one row, so the sweep is faster than any writer. */
const SWEPT_A_WRITE = 2
/** Expired rows that a page may pass over. A page with more of them is short. */
const EXPIRED_A_PAGE = 1_000
/** The first character of a cursor. No key contains it. */
const CURSOR_MARK = ">"

/**
 * A backend over a `Map`, for tests and for stores that need not outlive the process. Reads answer without a promise.
 *
 * Each write checks two rows and removes those that expired a minute ago or earlier. The number of rows is at most about
 * twice the number of entries that are live or expired within the last minute. Without writes nothing is removed.
 */
export function memory(options: MemoryOptions = {}): Backend {
  checkOptions(options, OPTIONS, "open")
  const runtime = options.runtime ?? systemRuntime
  const store = options.store ?? memoryStore()
  const { rows } = store
  const turns = new TurnTaking()

  const live = (key: string): MemoryRow | undefined => {
    const row = rows.get(key)
    if (row === undefined || (row.expiresAt !== undefined && row.expiresAt <= runtime.now())) return undefined
    return row
  }

  const holds = (key: string, condition: Condition): boolean =>
    "absent" in condition ? live(key) === undefined : live(key)?.version === condition.version

  function sweep(): void {
    const expiredBefore = runtime.now() - EXPIRED_STAYS_MS
    for (let looked = 0; looked < SWEPT_A_WRITE; looked++) {
      store.sweep ??= rows.entries()
      const { done, value } = store.sweep.next()
      if (done) {
        store.sweep = undefined
        return
      }
      const [key, { expiresAt }] = value
      // `sortedKeys` may contain a key without a row: a scan skips it.
      if (expiresAt !== undefined && expiresAt <= expiredBefore) rows.delete(key)
    }
  }

  const backend: Backend = {
    traits,

    async open() {},

    get(key) {
      const row = live(key)
      return row === undefined ? undefined : toEntry(row)
    },

    getMany(keys) {
      const entries = new Map<string, StoredEntry>()
      for (const key of keys) {
        const row = live(key)
        if (row !== undefined) entries.set(key, toEntry(row))
      }
      return entries
    },

    exists: (key) => live(key) !== undefined,

    async put(key, write) {
      sweep()
      const there = rows.get(key)
      if (there?.id === write.id) return { applied: true, version: there.version }
      if (write.condition !== undefined && !holds(key, write.condition)) return { applied: false }
      const version = makeVersion(++store.sequence, write.id)
      if (there === undefined) store.sortedKeys = undefined
      rows.set(key, { value: write.value.slice(), id: write.id, version, expiresAt: write.expiresAt })
      return { applied: true, version }
    },

    async putMany(writes) {
      return eachKey(writes, backend.put)
    },

    async delete(key, removal) {
      if (removal.condition !== undefined && !holds(key, removal.condition)) return { applied: false }
      if (rows.delete(key)) store.sortedKeys = undefined
      return { applied: true }
    },

    async deleteMany(removals) {
      return eachKey(removals, backend.delete)
    },

    async scan(prefix, { limit, cursor, signal }) {
      signal?.throwIfAborted()
      store.sortedKeys ??= [...rows.keys()].sort()
      const keys = store.sortedKeys
      const entries: KeyedEntry[] = []
      const start = startOf(keys, prefix, cursor)
      const end = start + limit + EXPIRED_A_PAGE
      let last: string | undefined
      let next: string | undefined
      for (let index = start; index < keys.length; index++) {
        const key = keys[index]
        if (key === undefined || !key.startsWith(prefix)) break
        if (last !== undefined && (entries.length === limit || index === end)) {
          next = CURSOR_MARK + last
          break
        }
        const row = live(key)
        if (row !== undefined) entries.push({ key, ...toEntry(row) })
        last = key
        if (turns.spent()) await turns.pass()
      }
      signal?.throwIfAborted()
      return next === undefined ? { entries } : { entries, next }
    },

    async probe(keys) {
      const heads = new Map<string, RowHead>()
      for (const key of keys) {
        const row = rows.get(key)
        if (row !== undefined)
          heads.set(key, { id: row.id, version: row.version, live: live(key) !== undefined })
      }
      return heads
    },

    compareVersions,

    async close() {},
  }
  return backend
}

const traits: BackendTraits = {
  kind: "memory",
  target: "memory",
  system: "memory",
  place: { collection: "memory" },
  inProcess: true,
  ordered: true,
  maxReadBatch: BATCH,
  maxWriteBatch: BATCH,
  calls: {
    get: "get",
    getMany: "getMany",
    exists: "exists",
    put: "put",
    putMany: "putMany",
    delete: "delete",
    deleteMany: "deleteMany",
    scan: "scan",
  },
}

function toEntry({ value, version, expiresAt }: MemoryRow): StoredEntry {
  return { value: value.slice(), version, ...(expiresAt === undefined ? {} : { expiresAt }) }
}

async function eachKey<In, Out>(
  items: ReadonlyMap<string, In>,
  apply: (key: string, item: In) => Promise<Out>,
): Promise<Map<string, Out>> {
  const results = new Map<string, Out>()
  for (const [key, item] of items) results.set(key, await apply(key, item))
  return results
}

/** The index of the first key of a page, by binary search: the first key from `prefix` on, or the first after the key in `cursor`. */
function startOf(keys: readonly string[], prefix: string, cursor: string | undefined): number {
  if (cursor !== undefined && !cursor.startsWith(CURSOR_MARK + prefix)) {
    throw new KvError("INVALID_CURSOR", "the cursor is not of a scan of this prefix; start the scan anew", {
      operation: "scan",
      backend: traits.kind,
    })
  }
  const after = cursor?.slice(CURSOR_MARK.length)
  let low = 0
  let high = keys.length
  while (low < high) {
    const middle = (low + high) >>> 1
    const key = keys[middle] ?? ""
    if (after === undefined ? key < prefix : key <= after) low = middle + 1
    else high = middle
  }
  return low
}
