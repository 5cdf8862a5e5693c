import { realpathSync } from "node:fs"
import { resolve } from "node:path"
import type { Backend, BackendTraits, KeyedEntry, RowHead, StoredEntry, Write } from "../backend.ts"
import { KvError } from "../errors.ts"
import { DEFAULTS } from "../limits.ts"
import { type Runtime, systemRuntime } from "../runtime.ts"
import {
  CorruptRow,
  compareVersions,
  decodeRow,
  encodeRow,
  isLiveRow,
  lendRow,
  rowId,
  rowVersion,
} from "../util/binary-row.ts"
import { type Checks, checkOptions, optional, runtimeOption, text, wholeNumber } from "../util/checks.ts"
import { OpenOnce } from "../util/open-once.ts"
import { ROWS_A_TURN, TurnTaking } from "../util/turn-taking.ts"
import { putRow, removeRow } from "./conditions.ts"
import { leaseEnvironment } from "./environment.ts"
import { KIND, type LmdbAccess, toKvError } from "./errors.ts"
import { sweepExpired } from "./sweep.ts"
import type { WriteTransaction } from "./writer.ts"

export interface LmdbOptions {
  /** Clocks, timers and random numbers. @default those of the system */
  runtime?: Runtime
  /**
   * Mean time between two sweeps that remove expired rows, ms: a whole number; 0: no sweeps, expired rows stay until they are
   * overwritten. An expired row is absent to every call in any case.
   * @default 60_000
   */
  sweepIntervalMs?: number
  /**
   * How long a write may take, ms: a whole number of at least 1. A write that another process keeps from beginning is
   * `TIMEOUT`, and never made; one whose commit has not ended is `OUTCOME_UNKNOWN`.
   * @default 5_000
   */
  timeoutMs?: number
}

const DEFAULT_SWEEP_INTERVAL_MS = 60_000

const OPTIONS: Checks = {
  sweepIntervalMs: optional(wholeNumber("sweepIntervalMs", 0)),
  timeoutMs: optional(wholeNumber("timeoutMs", 1)),
  runtime: runtimeOption,
}

/** Maximum number of keys in one call. Reads are synchronous and block the event loop for one or two microseconds each. */
const BATCH = 1_000
/** Expired rows that a page may pass over; with more of them it comes back short. */
const EXPIRED_A_PAGE = 1_000
/** The first character of a cursor. No key contains it. */
const CURSOR_MARK = ">"

/**
 * A backend over an LMDB environment in a directory, embedded in the process. Any number of processes on one machine may use the directory
 * concurrently; it must not be on a network file system. A write resolves when it is on the disk. If the directory is
 * removed or replaced while the store is open, writes reject with `STORE_NOT_FOUND` until the store is closed and opened again; reads answer
 * from the old file.
 *
 * Reads answer without a promise, and throw if they fail. A row that cannot be decoded is `CORRUPT_ENTRY` to reads of its key, to conditions,
 * and to scans that include it; an unconditional write or delete repairs it.
 *
 * @throws {KvError} `INVALID_OPTION` if an option is unknown or has no legal value
 */
export function lmdb(path: string, options: LmdbOptions = {}): Backend {
  text("path")(path, "open")
  checkOptions(options, OPTIONS, "open")
  const { runtime = systemRuntime } = options
  const { sweepIntervalMs = DEFAULT_SWEEP_INTERVAL_MS, timeoutMs = DEFAULTS.timeoutMs.write } = options
  const patience = { runtime, timeoutMs }
  const directory = resolve(path)
  const turns = new TurnTaking()
  const store = new OpenOnce(KIND, async () => {
    const { resource: environment, release } = await failingAs("open", leaseEnvironment(directory, patience))
    const sweep = sweepIntervalMs > 0 ? sweepExpired(environment, runtime, sweepIntervalMs) : undefined
    const close = () => {
      sweep?.stop()
      return failingAs("close", release())
    }
    return { environment, close }
  })

  /** What `decode` makes of the row under `key`, or `undefined` if none is there. */
  function read<T>(operation: string, key: string, decode: (row: Buffer) => T): T | undefined {
    try {
      const row = store.use(operation, key).environment.read(key)
      return row === undefined ? undefined : decode(row)
    } catch (error) {
      throw toKvError(error, { operation, key, effect: "read" })
    }
  }

  async function change<T>(access: LmdbAccess, apply: (transaction: WriteTransaction) => T): Promise<T> {
    try {
      return await store.use(access.operation, access.key).environment.write(apply, patience)
    } catch (error) {
      throw toKvError(error, access)
    }
  }

  const decodeLive = (row: Buffer): StoredEntry | undefined => decodeRow(row, runtime.now())
  const lendLive = (row: Buffer): StoredEntry | undefined => lendRow(row, runtime.now())

  return {
    traits: traitsOf(directory),

    open: () => store.open(),
    close: () => store.close(),

    get: (key) => read("get", key, decodeLive),

    lend: (key) => read("get", key, lendLive),

    getMany(keys) {
      const found = new Map<string, StoredEntry | KvError>()
      for (const key of keys) {
        const entry = orCorrupt(() => read("getMany", key, decodeLive))
        if (entry !== undefined) found.set(key, entry)
      }
      return found
    },

    exists: (key) => read("exists", key, (row) => isLiveRow(row, runtime.now())) ?? false,

    async put(key, write) {
      const row = encode(write)
      return change({ operation: "put", key, effect: "write" }, (transaction) =>
        putRow(transaction, key, row, write, runtime.now()),
      )
    },

    async putMany(writes) {
      const rows = [...writes].map(([key, write]) => [key, write, encode(write)] as const)
      return change({ operation: "putMany", effect: "write" }, (transaction) => {
        const now = runtime.now()
        return new Map(rows.map(([key, write, row]) => [key, putRow(transaction, key, row, write, now)]))
      })
    },

    delete: (key, removal) =>
      change({ operation: "delete", key, effect: "write" }, (transaction) =>
        removeRow(transaction, key, removal, runtime.now()),
      ),

    deleteMany: (removals) =>
      change({ operation: "deleteMany", effect: "write" }, (transaction) => {
        const now = runtime.now()
        return new Map(
          [...removals].map(([key, removal]) => [key, removeRow(transaction, key, removal, now)]),
        )
      }),

    async scan(prefix, { limit, cursor, signal }) {
      signal?.throwIfAborted()
      let after = keyBefore(prefix, cursor)
      const entries: KeyedEntry[] = []
      let left = limit + EXPIRED_A_PAGE
      while (left > 0) {
        // Rows are of one transaction, which must not stay open over turns of the event loop.
        const slice = Math.min(left, ROWS_A_TURN)
        let looked = 0
        let passTurn = false
        try {
          for (const { key, value } of store.use("scan").environment.rows({ prefix, after, limit: slice })) {
            if (entries.length === limit) return { entries, next: CURSOR_MARK + after }
            looked++
            after = key
            const entry = decodeLive(value)
            if (entry !== undefined) entries.push({ key, ...entry })
            passTurn = turns.spent()
            if (passTurn) break
          }
        } catch (error) {
          const key = error instanceof CorruptRow ? after : undefined
          throw toKvError(error, { operation: "scan", key, effect: "read" })
        }
        if (looked < slice && !passTurn) return { entries }
        left -= looked
        if (passTurn) {
          await turns.pass()
          signal?.throwIfAborted()
        }
      }
      return { entries, next: CURSOR_MARK + after }
    },

    async probe(keys) {
      const heads = new Map<string, RowHead | KvError>()
      for (const key of keys) {
        const head = orCorrupt(() => read("probe", key, (row) => headOf(row, runtime.now())))
        if (head !== undefined) heads.set(key, head)
      }
      return heads
    },

    compareVersions,
  }
}

/** What `read` returns, or the error of a row that cannot be decoded. */
function orCorrupt<T>(read: () => T): T | KvError {
  try {
    return read()
  } catch (error) {
    if (error instanceof KvError && error.code === "CORRUPT_ENTRY") return error
    throw error
  }
}

function headOf(row: Buffer, now: number): RowHead {
  return { live: isLiveRow(row, now), id: rowId(row), version: rowVersion(row) }
}

/** Encodes a write whose sequence is not known yet. Copies the value. */
function encode(write: Write): Buffer {
  return encodeRow({ ...write, sequence: 0 })
}

function keyBefore(prefix: string, cursor: string | undefined): string | undefined {
  if (cursor === undefined || cursor.startsWith(CURSOR_MARK + prefix))
    return cursor?.slice(CURSOR_MARK.length)
  throw new KvError("INVALID_CURSOR", "the cursor is not of a scan of this prefix; start the scan anew", {
    operation: "scan",
    backend: KIND,
  })
}

/** Maps the failure of `open` or `close`. */
async function failingAs<T>(operation: "open" | "close", answer: Promise<T>): Promise<T> {
  try {
    return await answer
  } catch (error) {
    throw toKvError(error, { operation, effect: "read" })
  }
}

/** Two paths may lead to one directory. */
function realPath(directory: string): string {
  try {
    return realpathSync(directory)
  } catch {
    return directory // it is not there yet
  }
}

function traitsOf(directory: string): BackendTraits {
  return {
    kind: KIND,
    target: directory,
    get root() {
      return `${KIND}:${realPath(directory)}`
    },
    system: "lmdb",
    inProcess: true,
    ordered: true,
    maxReadBatch: BATCH,
    maxWriteBatch: BATCH,
    calls: {
      get: "get",
      getMany: "get",
      exists: "get",
      put: "put",
      putMany: "put",
      delete: "del",
      deleteMany: "del",
      scan: "range",
    },
  }
}
