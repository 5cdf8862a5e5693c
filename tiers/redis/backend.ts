import type {
  Backend,
  Condition,
  Removal,
  RequestOptions,
  RowHead,
  StoredEntry,
  Write,
  WriteResult,
} from "../backend.ts"
import { KvError } from "../errors.ts"
import { DEFAULTS } from "../limits.ts"
import { type Runtime, systemRuntime } from "../runtime.ts"
import { CorruptRow, compareVersions, decodeHead, encodeRow, ROW_HEADER_BYTES } from "../util/binary-row.ts"
import {
  bool,
  type Checks,
  checkOptions,
  optional,
  runtimeOption,
  text,
  wholeNumber,
} from "../util/checks.ts"
import { chunksOf } from "../util/chunks.ts"
import { ofKey as errorOfKey } from "../util/key-error.ts"
import { eachEntry, eachKey, failureOf } from "./batches.ts"
import type { RedisClient } from "./client.ts"
import { msOf } from "./clock.ts"
import { redisConnection } from "./connection.ts"
import { type RedisRequest, toKvError } from "./errors.ts"
import { hidingFor } from "./hidden.ts"
import { ofKey, Reads } from "./reads.ts"
import { redisReplicas } from "./replicas.ts"
import { scanRedis } from "./scan.ts"
import { EXISTS, runScript, type Script, WRITE } from "./scripts.ts"
import type { ClientTiming, RedisSettings } from "./settings.ts"
import { resolveTarget } from "./target.ts"
import { MAX_BATCH, traitsOf } from "./traits.ts"

export type {
  RedisCredentials,
  RedisNode,
  RedisReplicaSettings,
  RedisSentinel,
  RedisSettings,
} from "./settings.ts"

export interface RedisOptions {
  /**
   * Prefix of the keys on the server. With a `{tag}` in it, all keys are on one node of a cluster.
   * @default that of the URL, or ""
   */
  prefix?: string
  /** Number of the database; a cluster has only 0. Not allowed with a client of the caller. @default that of the URL, or 0 */
  database?: number
  /**
   * Longest time of a command where a call gives no `timeoutMs`, ms. Nothing is sent twice: trying again is for what wraps the backend.
   * @default 3_000
   */
  requestTimeoutMs?: number
  /** Longest time that `open` waits for the first connection, ms. @default 5_000 */
  connectTimeoutMs?: number
  /**
   * Whether `open` resolves, too, when the first attempt to connect fails. Until there is a connection, calls reject with `UNAVAILABLE`.
   * What waiting cannot repair rejects `open` all the same: `ACCESS_DENIED`, `BINDING_INVALID`, `STORE_NOT_FOUND`, `DEPENDENCY_MISSING`.
   * @default false
   */
  openLazily?: boolean
  /** Clock, timers and chance. @default the system's */
  runtime?: Runtime
}

const DEFAULT_CONNECT_TIMEOUT_MS = 5_000

const OPTIONS: Checks = {
  prefix: optional(text("prefix", 0)),
  database: optional(wholeNumber("database", 0)),
  requestTimeoutMs: optional(wholeNumber("requestTimeoutMs", 1)),
  connectTimeoutMs: optional(wholeNumber("connectTimeoutMs", 1)),
  openLazily: optional(bool("openLazily")),
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
/**
 * A backend over Redis 5 or later, or Valkey. It uses an ioredis client of the caller, which stays open, or makes a client on demand, which
 * all backends of this process with the same URL or settings share.
 *
 * - Each write is a script, so that conditions are exact, a write recognises its own row, and versions are in the order of the writes. A
 *   script takes about 5 µs of the server's CPU. After a delete the order depends on the server's clock, which must not be set back.
 * - Reads go to primaries, but for those that may go to `replicas`. Redis acknowledges before it replicates and persists: a failover or a crash can lose acknowledged writes. An
 *   eviction policy of `allkeys-*` may remove any entry, locks included.
 * - A string of another program is `CORRUPT_ENTRY`. `getMany` treats a key with another type as absent, as `MGET` does.
 * - Redis cannot cancel a command. A write without an answer at its limit closes the connection by a TCP reset: bytes that have not reached
 *   the server's kernel are discarded, and what has reached it may still be applied. Over TLS the connection is closed without a reset,
 *   and the kernel may go on delivering. A read does the same if its limit is 1 s or more; a shorter one is only given up. Other commands
 *   on the connection then end with an error each. A client of the caller is never closed, so there a write may be applied later.
 * - A server that is back is used again within 2 s. A primary that has become a replica is left within 5 s, by a process that only reads,
 *   too; neither is so for a client of the caller, which reconnects as it is configured.
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
    openLazily: opensLazily = false,
  } = options
  const { source, replicated, prefix, description, rows, root, place, cluster } = resolveTarget(
    target,
    options,
  )
  const timing: ClientTiming = { runtime, requestTimeoutMs, connectTimeoutMs, opensLazily, role: "primary" }
  const connection = redisConnection(source, timing)
  const replicas = replicated && redisReplicas(replicated, timing, connection)
  const hide = hidingFor(source)
  const nameOf = (key: string) => hide(prefix + key)
  /** Whether the keys of one command may be in several slots, which Redis refuses. */
  const manySlots = cluster && !/^[^{]*\{[^}]+\}/.test(prefix)
  const reads = new Reads({ connection, replicas, runtime, nameOf, manySlots })

  function reading(operation: string, options: RequestOptions | undefined, key?: string): RedisRequest {
    return { operation, effect: "read", timeoutMs: options?.timeoutMs ?? requestTimeoutMs, key }
  }
  function writing(operation: string, options: RequestOptions | undefined, key?: string): RedisRequest {
    return { operation, effect: "write", timeoutMs: options?.timeoutMs ?? requestTimeoutMs, key }
  }

  async function script(
    request: RedisRequest,
    key: string,
    text: Script,
    args: readonly (string | Buffer)[],
  ) {
    const reply = await runScript(connection, runtime, request, text, nameOf(key), args)
    if (reply === -1)
      throw toKvError(new CorruptRow("it is of another program, or of another release"), request)
    return reply
  }

  /** Writes a row that the server removes after `lifeMs`. Returns its version, or `undefined` if the condition did not hold. */
  async function write(request: RedisRequest, key: string, item: Write, lifeMs: number | undefined) {
    const condition = conditionArgument(item.condition)
    if (condition === undefined) return undefined
    const row = encodeRow({ ...item, sequence: 1 })
    const life = lifeMs === undefined ? "" : String(lifeMs)
    const sentAt = runtime.monotonic()
    const clock = connection.clock()
    const tag = clock?.tag ?? 0
    const reply = await script(request, key, WRITE, [hide(row), life, condition, String(tag)])
    if (reply === 0) return undefined
    const ticks = Math.floor(reply / 4)
    if (reply % 2 === 1) clock?.learn(msOf(ticks), sentAt)
    return makeVersion(ticks, reply % 4 >= 2 ? tag : 0, item.id)
  }

  async function put(request: RedisRequest, key: string, item: Write): Promise<WriteResult> {
    const { expiresAt } = item
    const leftMs = expiresAt === undefined ? undefined : Math.max(0, expiresAt - runtime.now())
    const lifeMs = leftMs === undefined ? undefined : leftMs + EXPIRY_GRACE_MS
    const version = await write(request, key, item, lifeMs)
    return version === undefined ? { applied: false } : { applied: true, version }
  }

  async function remove(
    request: RedisRequest,
    key: string,
    { id, condition }: Removal,
  ): Promise<WriteResult> {
    if (condition === undefined) {
      await connection.answered(request, connection.client(request).unlink(nameOf(key)))
      return { applied: true }
    }
    const tombstone = { value: new Uint8Array(), id, expiresAt: 1, condition }
    return { applied: (await write(request, key, tombstone, TOMBSTONE_MS)) !== undefined }
  }

  async function readChunks(keys: readonly string[], timeoutMs: () => number) {
    const found = new Map<string, StoredEntry | KvError>()
    for (const chunk of chunksOf(keys, MAX_BATCH)) {
      const request = reading("scan", { timeoutMs: timeoutMs() })
      for (const [key, entry] of await reads.getMany(request, chunk)) found.set(key, entry)
    }
    return found
  }

  async function head(request: RedisRequest, key: string): Promise<RowHead | undefined> {
    const answer = connection.client(request).getrangeBuffer(nameOf(key), 0, ROW_HEADER_BYTES - 1)
    const bytes = await connection.answered(request, answer)
    try {
      return bytes.length === 0 ? undefined : decodeHead(bytes, runtime.now())
    } catch (error) {
      throw toKvError(error, request)
    }
  }

  async function probe(request: RedisRequest, keys: readonly string[]) {
    connection.gather()
    const heads = eachKey(keys, (key) => head(ofKey(request, key), key))
    // Asked behind the rows: if it is still the server of the clock, the rows are of that server.
    const [found] = await Promise.all([heads, connection.answered(request, connection.identify())])
    for (const row of found.values()) {
      if (!(row instanceof KvError)) row.writtenAt = connection.clock()?.writtenAt(row.version)
    }
    return found
  }

  async function removeMany(request: RedisRequest, keys: readonly string[]) {
    if (keys.length === 0) return new Map<string, WriteResult | KvError>()
    const answer = connection.client(request).unlink(...keys.map(nameOf))
    const failure = await failureOf(connection.answered(request, answer))
    return new Map(
      keys.map((key) => [key, failure === undefined ? { applied: true } : errorOfKey(failure, key)]),
    )
  }

  return {
    traits: {
      ...traitsOf(description + (prefix === "" ? "" : `#${prefix}`), place),
      rows,
      root,
      keyPrefix: prefix,
    },

    async open() {
      await connection.open()
      try {
        await replicas?.open()
      } catch (error) {
        await connection.close()
        throw error
      }
    },
    async close() {
      await Promise.all([connection.close(), replicas?.close()])
    },

    get(key, options) {
      const request = reading("get", options, key)
      const asOf = options?.asOf
      return asOf === undefined ? reads.get(request, key) : reads.getAsOf(request, key, asOf)
    },
    getMany(keys, options) {
      const request = reading("getMany", options)
      const asOf = options?.asOf
      return asOf === undefined ? reads.getMany(request, keys) : reads.getManyAsOf(request, keys, asOf)
    },
    ...(replicas === undefined ? {} : { replicatedUntil: () => replicas.until() }),
    exists: async (key, options) => (await script(reading("exists", options, key), key, EXISTS, [])) === 1,
    probe: (keys, options) => probe(reading("probe", options), keys),
    serviceTime: () => connection.clock()?.now(),

    put: (key, item, options) => put(writing("put", options, key), key, item),
    putMany(writes, options) {
      connection.gather()
      return eachEntry(writes, (key, item) => put(writing("putMany", options, key), key, item))
    },
    delete: (key, removal, options) => remove(writing("delete", options, key), key, removal),
    deleteMany: (removals, options) =>
      manySlots
        ? eachEntry(removals, (key, removal) => remove(writing("deleteMany", options, key), key, removal))
        : removeMany(writing("deleteMany", options), [...removals.keys()]),

    scan: (scanned, page) =>
      scanRedis({ prefix, hide, connection, runtime, requestTimeoutMs, read: readChunks }, scanned, page),

    compareVersions,
  }
}

/** The bytes of the header that `version` stands for, for the script; `undefined` if no row can have this version. */
function conditionArgument(condition: Condition | undefined): string | Buffer | undefined {
  if (condition === undefined) return "any"
  if ("absent" in condition) return "absent"
  return /^[0-9a-f]{48}$/.test(condition.version) ? Buffer.from(condition.version, "hex") : undefined
}

/** The version of the row, as `rowVersion` reads it. */
function makeVersion(ticks: number, tag: number, id: string): string {
  return ticks.toString(16).padStart(12, "0") + tag.toString(16).padStart(4, "0") + id.toLowerCase()
}
