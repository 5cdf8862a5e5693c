import type {
  Backend,
  BackendTraits,
  Condition,
  Place,
  Removal,
  RowHead,
  StoredEntry,
  Write,
  WriteResult,
} from "../backend.ts"
import { KvError } from "../errors.ts"
import { DEFAULTS } from "../limits.ts"
import { type Runtime, systemRuntime } from "../runtime.ts"
import {
  CorruptRow,
  compareVersions,
  decodeRow,
  encodeRow,
  isLiveRow,
  makeVersion,
  rowId,
  rowVersion,
} from "../util/binary-row.ts"
import { type Checks, checkOptions, optional, runtimeOption, text, wholeNumber } from "../util/checks.ts"
import { chunksOf } from "../util/chunks.ts"
import { ofKey } from "../util/key-error.ts"
import type { RedisClient } from "./client.ts"
import { redisConnection } from "./connection.ts"
import { KIND, type RedisRequest, toKvError } from "./errors.ts"
import { scanRedis } from "./scan.ts"
import { PROBE, runScript, type Script, WRITE } from "./scripts.ts"
import type { RedisSettings } from "./settings.ts"
import { resolveTarget } from "./target.ts"

export type { RedisNode, RedisSettings } from "./settings.ts"

export interface RedisOptions {
  /**
   * Prefix of the keys on the server. With a `{tag}` in it, all keys are on one node of a cluster.
   * @default that of the URL, or ""
   */
  prefix?: string
  /** Number of the database; a cluster has only 0. Not allowed with a client of the caller. @default that of the URL, or 0 */
  database?: number
  /**
   * Time one command may take, ms. Nothing is sent twice: trying again is for what wraps the backend.
   * @default 3_000
   */
  requestTimeoutMs?: number
  /** Longest time that `open` waits for the first connection, ms. @default 5_000 */
  connectTimeoutMs?: number
  /** Clock, timers and chance. @default the system's */
  runtime?: Runtime
}

const DEFAULT_CONNECT_TIMEOUT_MS = 5_000

const OPTIONS: Checks = {
  prefix: optional(text("prefix", 0)),
  database: optional(wholeNumber("database", 0)),
  requestTimeoutMs: optional(wholeNumber("requestTimeoutMs", 1)),
  connectTimeoutMs: optional(wholeNumber("connectTimeoutMs", 1)),
  runtime: runtimeOption,
}

/**
 * How long an expired row stays on the server, ms. Until then a write whose reply was lost finds its own row, and the clocks of clients may
 * differ by as much. The server counts from the arrival of the write, not from a time of day, so that a server with a wrong clock
 * removes nothing early.
 */
const EXPIRY_GRACE_MS = 60_000
/** How long the row that a conditional delete leaves stays on the server, ms: longer than a caller asks whether the delete was applied. */
const TOMBSTONE_MS = 60_000
/** Keys in one call. Redis has no limit; 100 entries of the largest size make an answer of 2.4 MB. */
const MAX_BATCH = 100

/**
 * A backend over Redis 5 or later, or Valkey. It uses an ioredis client of the caller, which stays open, or makes a client on demand, which
 * all backends of this process with the same URL or settings share.
 *
 * - Each write is a script, so that conditions are exact, a write recognises its own row, and versions are in the order of the writes. A
 *   script takes about 5 µs of the server's CPU. After a delete the order depends on the server's clock, which must not be set back.
 * - Reads go to primaries. Redis acknowledges before it replicates and persists: a failover or a crash can lose acknowledged writes. An
 *   eviction policy of `allkeys-*` may remove any entry, locks included.
 * - A string of another program is `CORRUPT_ENTRY`. `getMany` treats a key with another type as absent, as `MGET` does.
 * - A client of the caller should have `autoResendUnfulfilledCommands: false`, and on a cluster `retryDelayOnFailover: 0`. By default
 *   ioredis resends commands after a lost connection, so that a write may take effect twice.
 *
 * @throws {KvError} `INVALID_OPTION` if a setting or an option is unknown or has no legal value; `BINDING_INVALID` if the URL is
 * not valid, or the settings contradict each other
 */
export function redis(target: RedisClient | RedisSettings | string, options: RedisOptions = {}): Backend {
  checkOptions(options, OPTIONS, "open")
  const {
    runtime = systemRuntime,
    requestTimeoutMs = DEFAULTS.requestTimeoutMs,
    connectTimeoutMs = DEFAULT_CONNECT_TIMEOUT_MS,
  } = options
  const { source, prefix, description, place, cluster } = resolveTarget(target, options)
  const connection = redisConnection(source, { runtime, requestTimeoutMs, connectTimeoutMs })
  const nameOf = (key: string) => prefix + key
  /** Whether the keys of one command may be in several slots, which Redis refuses. */
  const manySlots = cluster && !/^[^{]*\{[^}]+\}/.test(prefix)

  async function script(
    request: RedisRequest & { key: string },
    text: Script,
    args: readonly (string | Buffer)[],
  ) {
    const now = String(runtime.now())
    const answer = runScript(connection.client(request), text, nameOf(request.key), [now, ...args])
    const reply = await connection.answered(request, answer)
    if (reply < 0) throw toKvError(new CorruptRow("it is of another program, or of another release"), request)
    return reply
  }

  /** Writes a row that the server removes after `lifeMs`. Returns its version, or `undefined` if the condition did not hold. */
  async function write(operation: string, key: string, item: Write, lifeMs: number | undefined) {
    const condition = conditionArgument(item.condition)
    if (condition === undefined) return undefined
    const row = encodeRow({ ...item, sequence: 1 })
    const life = lifeMs === undefined ? "" : String(lifeMs)
    const sequence = await script({ operation, key, effect: "write" }, WRITE, [row, life, condition])
    return sequence === 0 ? undefined : makeVersion(sequence, item.id)
  }

  async function put(operation: string, key: string, item: Write): Promise<WriteResult> {
    const { expiresAt } = item
    const leftMs = expiresAt === undefined ? undefined : Math.max(0, expiresAt - runtime.now())
    const version = await write(
      operation,
      key,
      item,
      leftMs === undefined ? undefined : leftMs + EXPIRY_GRACE_MS,
    )
    return version === undefined ? { applied: false } : { applied: true, version }
  }

  async function remove(operation: string, key: string, { id, condition }: Removal): Promise<WriteResult> {
    if (condition === undefined) {
      const request = { operation, key, effect: "write" } as const
      await connection.answered(request, connection.client(request).unlink(nameOf(key)))
      return { applied: true }
    }
    const tombstone = { value: new Uint8Array(), id, expiresAt: 1, condition }
    return { applied: (await write(operation, key, tombstone, TOMBSTONE_MS)) !== undefined }
  }

  /** Whether the key has a live row. */
  async function isThere(operation: string, key: string): Promise<boolean> {
    return (await script({ operation, key, effect: "read" }, PROBE, [""])) % 2 === 1
  }

  async function head(operation: string, key: string): Promise<RowHead | undefined> {
    const request = { operation, key, effect: "read" } as const
    const row = await connection.answered(request, connection.client(request).getBuffer(nameOf(key)))
    try {
      if (row === null) return undefined
      return { id: rowId(row), version: rowVersion(row), live: isLiveRow(row, runtime.now()) }
    } catch (error) {
      throw toKvError(error, request)
    }
  }

  function decode(operation: string, key: string, row: Buffer | null): StoredEntry | KvError | undefined {
    try {
      return row === null ? undefined : decodeRow(row, runtime.now())
    } catch (error) {
      return toKvError(error, { operation, key, effect: "read" })
    }
  }

  async function read(operation: string, key: string): Promise<StoredEntry | undefined> {
    const request = { operation, key, effect: "read" } as const
    const row = await connection.answered(request, connection.client(request).getBuffer(nameOf(key)))
    const entry = decode(operation, key, row)
    if (entry instanceof KvError) throw entry
    return entry
  }

  async function readMany(operation: string, keys: readonly string[]) {
    if (manySlots) return eachEntry(new Map(keys.map((key) => [key, key])), (key) => read(operation, key))
    const found = new Map<string, StoredEntry | KvError>()
    if (keys.length === 0) return found
    const request = { operation, effect: "read" } as const
    const rows = await connection.answered(request, connection.client(request).mgetBuffer(keys.map(nameOf)))
    for (const [index, key] of keys.entries()) {
      const entry = decode(operation, key, rows[index] ?? null)
      if (entry !== undefined) found.set(key, entry)
    }
    return found
  }

  async function readChunks(operation: string, keys: readonly string[]) {
    const found = new Map<string, StoredEntry | KvError>()
    for (const chunk of chunksOf(keys, MAX_BATCH)) {
      for (const [key, entry] of await readMany(operation, chunk)) found.set(key, entry)
    }
    return found
  }

  async function removeMany(keys: readonly string[]) {
    if (keys.length === 0) return new Map<string, WriteResult | KvError>()
    const request = { operation: "deleteMany", effect: "write" } as const
    const answer = connection.client(request).unlink(...keys.map(nameOf))
    const failure = await failureOf(connection.answered(request, answer))
    return new Map(keys.map((key) => [key, failure === undefined ? { applied: true } : ofKey(failure, key)]))
  }

  return {
    traits: traitsOf(description + (prefix === "" ? "" : `#${prefix}`), place),

    open: connection.open,
    close: connection.close,

    get: (key) => read("get", key),
    getMany: (keys) => readMany("getMany", keys),
    exists: (key) => isThere("exists", key),
    async probe(keys) {
      const found = await eachEntry(new Map(keys.map((key) => [key, key])), (key) => head("probe", key))
      return found
    },

    put: (key, item) => put("put", key, item),
    putMany: (writes) => eachEntry(writes, (key, item) => put("putMany", key, item)),
    delete: (key, removal) => remove("delete", key, removal),
    deleteMany: (removals) =>
      manySlots
        ? eachEntry(removals, (key, removal) => remove("deleteMany", key, removal))
        : removeMany([...removals.keys()]),

    scan: (scanned, page) =>
      scanRedis({ prefix, connection, read: (keys) => readChunks("scan", keys) }, scanned, page),

    compareVersions,
  }
}

function traitsOf(target: string, place: Place): BackendTraits {
  return {
    kind: KIND,
    target,
    system: "redis",
    place,
    inProcess: false,
    ordered: true,
    maxReadBatch: MAX_BATCH,
    maxWriteBatch: MAX_BATCH,
    calls: {
      get: "GET",
      getMany: "MGET",
      exists: "EVALSHA",
      put: "EVALSHA",
      putMany: "EVALSHA",
      delete: "UNLINK",
      deleteMany: "UNLINK",
      scan: "SCAN",
    },
  }
}

/** The bytes of the header that `version` stands for, for the script; `undefined` if no row can have this version. */
function conditionArgument(condition: Condition | undefined): string | Buffer | undefined {
  if (condition === undefined) return "any"
  if ("absent" in condition) return "absent"
  return /^[0-9a-f]{48}$/.test(condition.version) ? Buffer.from(condition.version, "hex") : undefined
}

/** Runs the requests of all keys concurrently. A failure is an error of its key, except `CLOSED`, which rejects. */
async function eachEntry<Item, Result>(
  items: ReadonlyMap<string, Item>,
  work: (key: string, item: Item) => Promise<Result | undefined>,
): Promise<Map<string, Result | KvError>> {
  const results = new Map<string, Result | KvError>()
  await Promise.all(
    Array.from(items, async ([key, item]) => {
      const answer = work(key, item)
      const result = (await failureOf(answer)) ?? (await answer)
      if (result !== undefined) results.set(key, result)
    }),
  )
  return results
}

async function failureOf(answer: Promise<unknown>): Promise<KvError | undefined> {
  try {
    await answer
    return undefined
  } catch (error) {
    if (error instanceof KvError && error.code !== "CLOSED") return error
    throw error
  }
}
