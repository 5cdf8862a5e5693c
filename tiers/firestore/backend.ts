import type { Firestore } from "@google-cloud/firestore"
import type { Backend, BackendTraits, StoredEntry, Write, WriteResult } from "../backend.ts"
import { KvError } from "../errors.ts"
import { type Runtime, systemRuntime } from "../runtime.ts"
import { ofKey } from "../util/key-error.ts"
import { OpenOnce } from "../util/open-once.ts"
import type { FirestoreCalls, FirestoreDocument, FirestoreWrite, Instant } from "./calls.ts"
import { create, type RowAccess, replace } from "./conditions.ts"
import { isRefusal, KIND, toKvError, Unprocessed } from "./errors.ts"
import * as rows from "./row.ts"
import { rpcCalls } from "./rpc.ts"
import { scanPage } from "./scan.ts"
import { sdkCalls } from "./sdk.ts"
import { DEFAULT_DATABASE, type FirestoreSettings } from "./settings.ts"
import { tariff } from "./tariff.ts"

export type { FirestoreSettings } from "./settings.ts"

export interface FirestoreOptions {
  /** The collection whose documents are the entries. */
  collection: string
  /** Time one request may take, ms. Trying again is for what wraps the backend. @default 3_000 */
  timeoutMs?: number
  /** Clock and timers; the deadline of a request is on gRPC's own clock. @default the system's */
  runtime?: Runtime
}

/** Documents in one `BatchGetDocuments`. The service names no limit; in larger ones a document gets no cheaper. */
const MAX_READ_BATCH = 300
/** Writes in one `Commit`, the number that the service was long limited to. */
const MAX_WRITE_BATCH = 500
/** Bytes of values, encoded, in one `Commit`. With all that goes with them the service takes 10 MiB, its emulator 4. */
const MAX_COMMIT_BYTES = 3 * 1_048_576

interface Call {
  operation: string
  key?: string
  /**
   * What may have happened if the call is not answered. `reread`: the look at a row after a write was refused, which has
   * had an effect only if the SDK sent it more than once.
   * @default "read"
   */
  effect?: "read" | "write" | "reread"
  signal?: AbortSignal | undefined
}

/**
 * A collection of a Firestore database in native mode as a backend.
 *
 * Settings serve it better than a client: the connection made of them, which all backends of this process on the same
 * project share, sends each request once, under its deadline, and takes half the processor time. A client passed in stays
 * open, but repeats requests on its own, for minutes: a write without an answer may land that late.
 *
 * Deleting under a condition leaves a row that expired in 1970 and bears the identity of the delete, until the database's
 * TTL policy takes it away.
 */
export function firestore(client: Firestore | FirestoreSettings, options: FirestoreOptions): Backend {
  const { collection, timeoutMs = 3_000, runtime = systemRuntime } = options
  const database = databaseOf(client)
  const target = `${database}/${collection}`
  const connection = new OpenOnce(KIND, () =>
    isClient(client)
      ? sdkCalls(client, collection, runtime, timeoutMs)
      : rpcCalls(client, collection, runtime, timeoutMs),
  )

  /** Makes one request; what breaks it leaves as a {@link KvError}, or as the reason of the signal. */
  async function request<T>(call: Call, send: (calls: FirestoreCalls) => Promise<T>): Promise<T> {
    const { operation, key, effect = "read", signal } = call
    signal?.throwIfAborted()
    const calls = connection.use(operation, key)
    const mayRepeat = calls.repeatsCommits
    try {
      return await send(calls)
    } catch (error) {
      signal?.throwIfAborted()
      const writes = effect === "write" || (effect === "reread" && mayRepeat)
      throw toKvError(error, { operation, key, effect: writes ? "write" : "read", target, mayRepeat })
    }
  }

  /** What `decode` makes of the document under a key, expired or not; `undefined` if there is none. */
  function read<T>(
    call: Call & { key: string },
    decode: (document: FirestoreDocument) => T,
    fields?: readonly string[],
  ): Promise<T | undefined> {
    return request(call, async (calls) => {
      const id = rows.toDocumentId(call.key)
      const document = answered(id, await calls.read([id], fields))
      return document && decode(document)
    })
  }

  function commit(call: Call, writes: readonly FirestoreWrite[]): Promise<(Instant | undefined)[]> {
    return request({ ...call, effect: "write" }, (calls) => calls.commit(writes))
  }

  function rowAt(operation: string, key: string): RowAccess {
    const id = rows.toDocumentId(key)
    return {
      operation,
      key,
      now: runtime.now,
      commitIf: (fields, precondition) =>
        request({ operation, key, effect: "write" }, async (calls) => {
          try {
            return (await calls.commit([{ id, ...(fields && { fields }), precondition }]))[0]
          } catch (error) {
            if (isRefusal(error)) return undefined
            throw error
          }
        }),
      reread: () => read({ operation, key, effect: "reread" }, rows.decodeRow, rows.IDENTITY_FIELDS),
    }
  }

  /** One commit, or as many as the values need. One that fails is the error of each of its keys. */
  async function commitMany<Item>(
    operation: string,
    items: ReadonlyMap<string, Item>,
    toWrite: (key: string, item: Item) => FirestoreWrite,
    resultOf: (item: Item, time: Instant | undefined) => WriteResult,
  ): Promise<Map<string, WriteResult | KvError>> {
    const results = new Map<string, WriteResult | KvError>()
    const writes = Array.from(items, ([key, item]) => ({ key, item, write: toWrite(key, item) }))
    const send = async (part: typeof writes) => {
      try {
        const times = await commit(
          { operation },
          part.map(({ write }) => write),
        )
        for (const [index, { key, item }] of part.entries()) results.set(key, resultOf(item, times[index]))
      } catch (error) {
        if (!(error instanceof KvError) || error.code === "CLOSED") throw error
        for (const { key } of part) results.set(key, ofKey(error, key))
      }
    }
    await Promise.all(bySize(writes).map(send))
    return results
  }

  const toWrite = (key: string, write: Write): FirestoreWrite => ({
    id: rows.toDocumentId(key),
    fields: rows.encodeRow(write, runtime.now()),
  })

  return {
    traits: { ...TRAITS, target, place: { collection, namespace: database } },
    compareVersions: rows.compareVersions,

    open: () => connection.open(),
    close: () => connection.close(),

    get: (key) => read({ operation: "get", key }, (document) => rows.liveEntry(document, runtime.now())),

    getMany: (keys) =>
      request({ operation: "getMany" }, async (calls) => {
        const documents = await calls.read(keys.map(rows.toDocumentId))
        const now = runtime.now()
        const entries = new Map<string, StoredEntry | KvError>()
        for (const key of keys) {
          try {
            const document = answered(rows.toDocumentId(key), documents)
            const entry = document && rows.liveEntry(document, now)
            if (entry !== undefined) entries.set(key, entry)
          } catch (error) {
            entries.set(key, toKvError(error, { operation: "getMany", key, effect: "read", target }))
          }
        }
        return entries
      }),

    async exists(key) {
      const row = await read({ operation: "exists", key }, rows.decodeRow, rows.LIVENESS_FIELDS)
      return row !== undefined && rows.isLive(row.expiresAt, runtime.now())
    },

    async put(key, write) {
      const { condition } = write
      if (condition === undefined) {
        const [time] = await commit({ operation: "put", key }, [toWrite(key, write)])
        return rows.applied(write, time)
      }
      if ("absent" in condition) return create(rowAt("put", key), write)
      const fields = rows.encodeRow(write, runtime.now())
      return replace(rowAt("put", key), fields, write, condition.version)
    },

    putMany: (writes) => commitMany("putMany", writes, toWrite, rows.applied),

    async delete(key, { id, condition }) {
      if (condition === undefined) {
        await commit({ operation: "delete", key }, [{ id: rows.toDocumentId(key) }])
        return { applied: true }
      }
      const tombstone = rows.encodeTombstone(id, runtime.now())
      const { applied } = await replace(rowAt("delete", key), tombstone, { id }, condition.version)
      return { applied }
    },

    deleteMany: (removals) =>
      commitMany(
        "deleteMany",
        removals,
        (key) => ({ id: rows.toDocumentId(key) }),
        () => ({ applied: true }),
      ),

    scan: (prefix, page) =>
      request({ operation: "scan", signal: page.signal }, (calls) =>
        scanPage(calls, prefix, page, runtime.now),
      ),

    async wasWrittenBy(key, id) {
      const row = await read({ operation: "wasWrittenBy", key }, rows.decodeRow, rows.IDENTITY_FIELDS)
      return row?.writeId === id
    },
  }
}

const TRAITS: Omit<BackendTraits, "target" | "place"> = {
  kind: KIND,
  system: "gcp.firestore",
  tariff,
  inProcess: false,
  ordered: true,
  maxReadBatch: MAX_READ_BATCH,
  maxWriteBatch: MAX_WRITE_BATCH,
  calls: {
    get: "BatchGetDocuments",
    getMany: "BatchGetDocuments",
    exists: "BatchGetDocuments",
    put: "Commit",
    putMany: "Commit",
    delete: "Commit",
    deleteMany: "Commit",
    scan: "RunQuery",
  },
}

function isClient(client: Firestore | FirestoreSettings): client is Firestore {
  return "getAll" in client
}

/** A client does not say which project it is for. */
function databaseOf(client: Firestore | FirestoreSettings): string {
  const database = client.databaseId ?? DEFAULT_DATABASE
  return isClient(client) ? database : `${client.projectId}/${database}`
}

/** The document that the service gave for an id, `undefined` if it said that none is there. */
function answered(
  id: string,
  documents: ReadonlyMap<string, FirestoreDocument | undefined>,
): FirestoreDocument | undefined {
  if (documents.has(id)) return documents.get(id)
  throw new Unprocessed("the answer ended without a word on this document")
}

/** Splits writes into commits that the service takes. */
function bySize<Item extends { write: FirestoreWrite }>(items: readonly Item[]): Item[][] {
  const parts: Item[][] = []
  let room = 0
  for (const item of items) {
    const value = item.write.fields?.value
    const size = typeof value === "string" ? value.length : 0
    const part = size > room ? undefined : parts.at(-1)
    if (part === undefined) {
      parts.push([item])
      room = MAX_COMMIT_BYTES - size
    } else {
      part.push(item)
      room -= size
    }
  }
  return parts
}
