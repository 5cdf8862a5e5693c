import type { Firestore } from "@google-cloud/firestore"
import type { Backend, BackendTraits, RowHead, StoredEntry, Write, WriteResult } from "../backend.ts"
import { KvError } from "../errors.ts"
import { DEFAULTS } from "../limits.ts"
import { type Runtime, systemRuntime } from "../runtime.ts"
import {
  type Checks,
  checkAllOptions,
  isObject,
  optional,
  runtimeOption,
  text,
  wholeNumber,
} from "../util/checks.ts"
import { ofKey } from "../util/key-error.ts"
import { OpenOnce } from "../util/open-once.ts"
import { bySize } from "./commits.ts"
import { create, type RowAccess, replace } from "./conditions.ts"
import { isRefusal, KIND, toKvError, Unprocessed } from "./errors.ts"
import type { FirestoreDocument, FirestoreRequests, FirestoreWrite, Instant } from "./requests.ts"
import * as rows from "./row.ts"
import { rpcRequests } from "./rpc.ts"
import { scanPage } from "./scan.ts"
import { sdkRequests } from "./sdk.ts"
import { checkFirestoreSettings, DEFAULT_DATABASE, type FirestoreSettings } from "./settings.ts"
import { tariff } from "./tariff.ts"

export type { FirestoreSettings } from "./settings.ts"

export interface FirestoreOptions {
  /** The collection whose documents are the entries. */
  collection: string
  /** Time one request may take, ms. Trying again is for what wraps the backend. @default 3_000 */
  requestTimeoutMs?: number
  /** Clock and timers; the deadline of a request is on gRPC's own clock. @default the system's */
  runtime?: Runtime
}

const OPTIONS: Checks = {
  collection: text("collection"),
  requestTimeoutMs: optional(wholeNumber("requestTimeoutMs", 1)),
  runtime: runtimeOption,
}

/** Documents in one `BatchGetDocuments`. The service has no documented limit; larger batches are not cheaper per document. */
const MAX_READ_BATCH = 300
/** Writes in one `Commit`, the number that the service was long limited to. */
const MAX_WRITE_BATCH = 500

/** One request, as its errors describe it. */
interface Request {
  /** The method of the backend that makes it. */
  operation: string
  key?: string
  /**
   * What may have happened if it is not answered. `reread`: the look at a row after a write was refused, which has had an
   * effect only if the SDK sent that write more than once.
   * @default "read"
   */
  effect?: "read" | "write" | "reread"
  /** Ends the request. */
  signal?: AbortSignal | undefined
}

/**
 * A collection of a Firestore database in native mode as a backend.
 *
 * Prefer settings to a client. A connection made from settings, which all backends of this process on the same project share, sends each
 * request once, with its deadline, and takes half the CPU. A client that is passed in stays open, but repeats requests for minutes, so that
 * a write without an answer may take effect that much later.
 *
 * A conditional delete leaves a row that expired in 1970, with the identity of the delete. The TTL policy of the database removes it.
 *
 * @throws {KvError} `INVALID_OPTION` if a setting or an option is unknown or has no legal value
 */
export function firestore(client: Firestore | FirestoreSettings, options: FirestoreOptions): Backend {
  if (!isClient(client)) checkFirestoreSettings(client)
  checkAllOptions(options, OPTIONS, "open")
  const { collection, requestTimeoutMs = DEFAULTS.requestTimeoutMs, runtime = systemRuntime } = options
  const database = databaseOf(client)
  const target = `${database}/${collection}`
  const connection = new OpenOnce(KIND, () =>
    isClient(client)
      ? sdkRequests(client, collection, runtime, requestTimeoutMs)
      : rpcRequests(client, collection, runtime, requestTimeoutMs),
  )

  /** The SDK repeats commits unasked: one that was refused may have been sent, and applied, before. */
  const mayRepeat = isClient(client)

  /** For one request to be made with. */
  function requests({ operation, key, signal }: Request): FirestoreRequests {
    signal?.throwIfAborted()
    return connection.use(operation, key)
  }

  /** What `decode` makes of the answer to a request. What breaks either leaves as a {@link KvError}, or as the reason of the signal. */
  async function answered<Answer, T>(
    { operation, key, effect = "read", signal }: Request,
    answer: Promise<Answer>,
    decode: (answer: Answer) => T,
  ): Promise<T> {
    try {
      return decode(await answer)
    } catch (error) {
      signal?.throwIfAborted()
      const writes = effect === "write" || (effect === "reread" && mayRepeat)
      throw toKvError(error, { operation, key, effect: writes ? "write" : "read", target, mayRepeat })
    }
  }

  /** The row under a key, expired or not, as far as `fields` tell; `undefined` if there is none. */
  async function readRow(
    request: Request & { key: string },
    fields: readonly string[],
  ): Promise<rows.RowHead | undefined> {
    const id = rows.toDocumentId(request.key)
    return answered(request, requests(request).read([id], fields), (documents) => {
      const document = documentIn(documents, id)
      return document && rows.decodeHead(document)
    })
  }

  /** Commits writes, all or none. Gives what `decode` makes of the time of each. */
  async function commit<T>(
    request: Request,
    writes: readonly FirestoreWrite[],
    decode: (times: readonly (Instant | undefined)[]) => T,
  ): Promise<T> {
    return answered({ ...request, effect: "write" }, requests(request).commit(writes), decode)
  }

  function rowAt(operation: string, key: string): RowAccess {
    const id = rows.toDocumentId(key)
    return {
      operation,
      key,
      now: runtime.now,
      async commitIf(fields, precondition) {
        try {
          const write = { id, ...(fields && { fields }), precondition }
          return await commit({ operation, key }, [write], ([time]) => time)
        } catch (error) {
          if (error instanceof KvError && isRefusal(error.cause)) return undefined
          throw error
        }
      },
      reread: () => readRow({ operation, key, effect: "reread" }, rows.IDENTITY_FIELDS),
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
        const sent = part.map(({ write }) => write)
        await commit({ operation }, sent, (times) => {
          for (const [index, { key, item }] of part.entries()) results.set(key, resultOf(item, times[index]))
        })
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

    async get(key) {
      const request = { operation: "get", key }
      const id = rows.toDocumentId(key)
      return answered(request, requests(request).read([id]), (documents) => {
        const document = documentIn(documents, id)
        return document && rows.liveEntry(document, runtime.now())
      })
    },

    async getMany(keys) {
      const request = { operation: "getMany" }
      const ids = keys.map(rows.toDocumentId)
      return answered(request, requests(request).read(ids), (documents) => {
        const now = runtime.now()
        const entries = new Map<string, StoredEntry | KvError>()
        for (const key of keys) {
          try {
            const document = documentIn(documents, rows.toDocumentId(key))
            const entry = document && rows.liveEntry(document, now)
            if (entry !== undefined) entries.set(key, entry)
          } catch (error) {
            entries.set(key, toKvError(error, { operation: "getMany", key, effect: "read", target }))
          }
        }
        return entries
      })
    },

    async exists(key) {
      const row = await readRow({ operation: "exists", key }, rows.LIVENESS_FIELDS)
      return row !== undefined && rows.isLive(row.expiresAt, runtime.now())
    },

    async put(key, write) {
      const { condition } = write
      if (condition === undefined) {
        return commit({ operation: "put", key }, [toWrite(key, write)], ([time]) => rows.applied(write, time))
      }
      if ("absent" in condition) return create(rowAt("put", key), write)
      const fields = rows.encodeRow(write, runtime.now())
      return replace(rowAt("put", key), fields, write, condition.version)
    },

    putMany: (writes) => commitMany("putMany", writes, toWrite, rows.applied),

    async delete(key, { id, condition }) {
      if (condition === undefined) {
        const removal = { id: rows.toDocumentId(key) }
        return commit({ operation: "delete", key }, [removal], () => ({ applied: true }))
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

    async scan(prefix, page) {
      const request = { operation: "scan", signal: page.signal }
      return answered(request, scanPage(requests(request), prefix, page, runtime.now), (found) => found)
    },

    async probe(keys) {
      const request = { operation: "probe" }
      const ids = keys.map(rows.toDocumentId)
      return answered(request, requests(request).read(ids, rows.IDENTITY_FIELDS), (documents) => {
        const heads = new Map<string, RowHead | KvError>()
        for (const key of keys) {
          const document = documentIn(documents, rows.toDocumentId(key))
          if (document === undefined) continue
          const { writeId, version, expiresAt } = rows.decodeHead(document)
          const live = rows.isLive(expiresAt, runtime.now())
          heads.set(key, { id: writeId === "" ? undefined : writeId, version, live })
        }
        return heads
      })
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

function isClient(client: unknown): client is Firestore {
  return isObject(client) && "getAll" in client
}

/** A client does not say which project it is for. */
function databaseOf(client: Firestore | FirestoreSettings): string {
  const database = client.databaseId ?? DEFAULT_DATABASE
  return isClient(client) ? database : `${client.projectId}/${database}`
}

/** The document that the service gave for an id, `undefined` if it said that none is there. */
function documentIn(
  documents: ReadonlyMap<string, FirestoreDocument | undefined>,
  id: string,
): FirestoreDocument | undefined {
  if (documents.has(id)) return documents.get(id)
  throw new Unprocessed("the answer ended without a word on this document")
}
