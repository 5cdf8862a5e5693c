import type { Redis } from "ioredis"
import type { KeyedEntry, ScanPage, ScanRequest, StoredEntry } from "../backend.ts"
import { KvError } from "../errors.ts"
import { KEY_FORM } from "../limits.ts"
import type { Runtime } from "../runtime.ts"
import { primaryNodes, type RedisClient } from "./client.ts"
import type { RedisConnection } from "./connection.ts"
import { decodeCursor, encodeCursor, fingerprint } from "./cursor.ts"
import type { RedisRequest } from "./errors.ts"

export interface ScannedStore {
  /** The prefix of every key of the store on the server. */
  prefix: string
  /** As `hidingFor` of the client. */
  hide(text: string): string | Buffer
  connection: RedisConnection
  runtime: Runtime
  /** Longest time of a page that gives none, ms. */
  requestTimeoutMs: number
  /** Reads any number of keys. `leftMs` returns the time left. */
  read(keys: readonly string[], leftMs: () => number): Promise<Map<string, StoredEntry | KvError>>
}

/** `COUNT` of a `SCAN`: the number of elements that it checks, matching or not. The default of Redis is 10. */
const LEAST_COUNT = 10
const MOST_COUNT = 1_000
/** Elements checked for one page, at most: a sparse prefix gives empty pages, not slow ones. */
const MOST_LOOKED_AT = 10_000
/** Maximum number of keys in a cursor that did not fit into their page. */
const MOST_PENDING = 50
/** Number of fingerprints in a cursor. */
const MOST_RECENT = 128

const request = (timeoutMs: number): RedisRequest => ({ operation: "scan", effect: "read", timeoutMs })

/**
 * Reads one page: `SCAN` of one primary after the other, and a read of the keys that it returns.
 *
 * `SCAN` promises that every key that is present during the whole scan comes at least once, but not that it comes only once. When the
 * hash table of the server shrinks during a scan, `SCAN` repeats its current bucket, with the elements of the buckets that were merged
 * into it. These are among the last elements that it returned, because `SCAN` visits the buckets in the order of their reversed bits, in
 * which the buckets to be merged are neighbours. So the cursor has fingerprints of the last {@link MOST_RECENT} keys, and the
 * repeated keys are left out. (A growing table repeats nothing.) A key can still come twice if the table shrinks by a larger factor
 * between two pages, that is if nearly all keys of the database are deleted during the scan.
 *
 * On a cluster, slots that move to another node during a scan can make it miss keys or return them twice.
 */
export async function scanRedis(
  store: ScannedStore,
  prefix: string,
  { limit, cursor, signal, timeoutMs = store.requestTimeoutMs }: ScanRequest,
): Promise<ScanPage> {
  const { connection, runtime } = store
  signal?.throwIfAborted()
  const endsAt = runtime.monotonic() + timeoutMs
  const leftMs = () => Math.max(0, endsAt - runtime.monotonic())
  const first = request(leftMs())
  const primaries = await connection.answered(first, primariesOf(connection.client(first)))
  const scope = { prefix: store.prefix + prefix, servers: primaries.map(({ id }) => id) }
  const start = cursor === undefined ? START : decodeCursor(cursor, scope)
  if (!start.pending.every((key) => isKey(key, prefix))) {
    throw new KvError("INVALID_CURSOR", "the cursor is damaged", { operation: "scan", backend: "redis" })
  }

  const pattern = store.hide(`${escapeGlob(scope.prefix)}*`)
  const recent = new Set(start.recent)
  const keys = start.pending.slice(0, limit)
  let pending = start.pending.slice(limit)
  let { primary, position } = start
  let count = LEAST_COUNT
  for (let lookedAt = 0; keys.length < limit && lookedAt < MOST_LOOKED_AT; ) {
    const node = primaries[primary]?.node
    if (node === undefined) break
    signal?.throwIfAborted()
    const room = limit - keys.length
    const asked = Math.max(room, count)
    const step = request(leftMs())
    connection.client(step) // throws once the connection is lost
    const answer = scanOnce(node, position, pattern, asked)
    const [next, names] = await connection.answered(step, answer)
    lookedAt += asked
    const found = names.map((name) => name.slice(store.prefix.length)).filter((key) => isKey(key, prefix))
    if (found.length > room + MOST_PENDING && count > LEAST_COUNT) {
      // A dense part after a part without matches: continue in smaller steps.
      count = LEAST_COUNT
      continue
    }
    const fresh = found.filter((key) => isNew(recent, key))
    keys.push(...fresh.slice(0, room))
    pending = fresh.slice(room)
    if (next === "0") primary++
    position = next
    count = found.length === 0 ? Math.min(MOST_COUNT, asked * 4) : LEAST_COUNT
  }

  signal?.throwIfAborted()
  const entries = liveEntries(keys, await store.read(keys, leftMs))
  if (primary >= primaries.length && pending.length === 0) return { entries }
  const state = { primary, position, recent: [...recent].slice(-MOST_RECENT), pending }
  return { entries, next: encodeCursor(state, scope) }
}

/** Bytes go by `call`, because the types of `scan` take a pattern as text alone. */
async function scanOnce(node: Redis, position: string, pattern: string | Buffer, count: number) {
  if (typeof pattern === "string") return node.scan(position, "MATCH", pattern, "COUNT", count)
  const reply = await node.call("SCAN", position, "MATCH", pattern, "COUNT", count)
  const [next, names]: [unknown?, unknown?] = Array.isArray(reply) ? [reply[0], reply[1]] : []
  return [String(next), Array.isArray(names) ? names.map(String) : []] as const
}

const START = { primary: 0, position: "0", recent: [], pending: [] } as const

/** Whether the key is legal in a store. Another program wrote any other key under the prefix. */
function isKey(key: string, prefix: string): boolean {
  return key.startsWith(prefix) && KEY_FORM.test(key)
}

/** Whether the key is not among the recent keys; adds it to them. */
function isNew(recent: Set<string>, key: string): boolean {
  const { size } = recent
  return recent.add(fingerprint(key)).size > size
}

function liveEntries(keys: readonly string[], found: Map<string, StoredEntry | KvError>): KeyedEntry[] {
  return keys.flatMap((key) => {
    const entry = found.get(key)
    if (entry instanceof KvError) throw entry
    return entry === undefined ? [] : [{ key, ...entry }]
  })
}

function escapeGlob(text: string): string {
  return text.replace(/[\\*?[\]]/g, "\\$&")
}

interface Primary {
  node: Redis
  id: string
}

/** The primaries in the order of their ids. */
async function primariesOf(client: RedisClient): Promise<Primary[]> {
  const primaries = await Promise.all(
    primaryNodes(client).map(async (node) => ({ node, id: await runIdOf(node) })),
  )
  return primaries.sort((a, b) => (a.id < b.id ? -1 : 1))
}

/** Cached by connection, because another connection may reach another server. */
const runIds = new WeakMap<object, string>()

/** The run id of the server; its address if `INFO` is not permitted. */
async function runIdOf(node: Redis): Promise<string> {
  const known = runIds.get(node.stream ?? node)
  if (known !== undefined) return known
  const id = /^run_id:(\w+)/m.exec(await askInfo(node))?.[1] ?? `${node.options.host}:${node.options.port}`
  runIds.set(node.stream ?? node, id)
  return id
}

async function askInfo(node: Redis): Promise<string> {
  try {
    return await node.info("server")
  } catch (error) {
    if (error instanceof Error && error.message.startsWith("NOPERM")) return ""
    throw error
  }
}
