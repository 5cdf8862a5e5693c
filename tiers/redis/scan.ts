import type { Redis } from "ioredis"
import type { KeyedEntry, ScanPage, ScanRequest, StoredEntry } from "../backend.ts"
import { KvError } from "../errors.ts"
import { KEY_FORM } from "../limits.ts"
import { primaryNodes, type RedisClient } from "./client.ts"
import type { RedisConnection } from "./connection.ts"
import { decodeCursor, encodeCursor, fingerprint } from "./cursor.ts"

export interface ScannedStore {
  /** What every key on the server starts with. */
  prefix: string
  connection: RedisConnection
  /** Reads any number of keys. */
  read(keys: readonly string[]): Promise<Map<string, StoredEntry | KvError>>
}

/** `COUNT` of a `SCAN`: elements to look at, which are more than those that match. Ten is Redis's own default. */
const LEAST_COUNT = 10
const MOST_COUNT = 1_000
/** Elements to look at for one page: a sparse prefix gives empty pages rather than slow ones. */
const MOST_LOOKED_AT = 10_000
/** Keys that a cursor may carry because they did not fit in their page. */
const MOST_PENDING = 50
/** Keys whose fingerprints a cursor carries. */
const MOST_RECENT = 128

const REQUEST = { operation: "scan", effect: "read" } as const

/**
 * One page: `SCAN` of one primary after the other, and a read of the keys that it gave.
 *
 * That every key which is there throughout comes, is `SCAN`'s own promise. That it comes once, is not: when the server's
 * hash table shrinks under a scan, the bucket where the scan stands is gone through again, and with it the elements of
 * the buckets that were merged into it. They are among the last that came, because `SCAN` goes through the buckets in the
 * reversed order of their bits, in which those that will be merged are neighbours. So the cursor carries fingerprints
 * of the last {@link MOST_RECENT} keys, and what comes again is left out. (Growing brings nothing twice.) A key could
 * still come twice if the table shrank by more than so many times between two pages: if nearly all of a database were deleted
 * under the scan.
 *
 * On a cluster, slots that move to another node during a scan can make it miss keys or give them twice.
 */
export async function scanRedis(
  store: ScannedStore,
  prefix: string,
  { limit, cursor, signal }: ScanRequest,
): Promise<ScanPage> {
  const { connection } = store
  signal?.throwIfAborted()
  const primaries = await connection.answered(REQUEST, primariesOf(connection.client(REQUEST)))
  const scope = { prefix: store.prefix + prefix, servers: primaries.map(({ id }) => id) }
  const start = cursor === undefined ? START : decodeCursor(cursor, scope)
  if (!start.pending.every((key) => isKey(key, prefix))) {
    throw new KvError("INVALID_CURSOR", "the cursor is damaged", { operation: "scan", backend: "redis" })
  }

  const pattern = `${escapeGlob(scope.prefix)}*`
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
    connection.client(REQUEST) // throws once the connection is lost
    const answer = node.scan(position, "MATCH", pattern, "COUNT", asked)
    const [next, names] = await connection.answered(REQUEST, answer)
    lookedAt += asked
    const found = names.map((name) => name.slice(store.prefix.length)).filter((key) => isKey(key, prefix))
    if (found.length > room + MOST_PENDING && count > LEAST_COUNT) {
      // After a stretch without matches, one that is dense: go through it in smaller steps.
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
  const entries = liveEntries(keys, await store.read(keys))
  if (primary >= primaries.length && pending.length === 0) return { entries }
  const state = { primary, position, recent: [...recent].slice(-MOST_RECENT), pending }
  return { entries, next: encodeCursor(state, scope) }
}

const START = { primary: 0, position: "0", recent: [], pending: [] } as const

/** Whether a client of this package may have written the key; any other under the prefix is another program's, and no entry. */
function isKey(key: string, prefix: string): boolean {
  return key.startsWith(prefix) && KEY_FORM.test(key)
}

/** Whether the key has not come of late; from now on it has. */
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

/** By connection: another one may lead to another server. */
const runIds = new WeakMap<object, string>()

/** What the server calls itself since it was started; its address where it may not be asked. */
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
