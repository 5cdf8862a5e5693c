import type { Firestore } from "@google-cloud/firestore"
import type { Backend, BackendTraits, RowHead, Write, WriteResult } from "../backend.ts"
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
import { type Call, Calls, documentIn } from "./calls.ts"
import { bySize } from "./commits.ts"
import { create, type RowAccess, replace } from "./conditions.ts"
import { isRefusal, KIND, responseAttributes } from "./errors.ts"
import type { FirestoreDocument, FirestoreWrite, Instant } from "./requests.ts"
import { rootOf, rootOfClient, serverOf } from "./root.ts"
import * as rows from "./row.ts"
import { rpcRequests } from "./rpc.ts"
import { scanPage } from "./scan.ts"
import { sdkRequests } from "./sdk.ts"
import { ServiceClock } from "./service-clock.ts"
import { checkFirestoreSettings, DEFAULT_DATABASE, type FirestoreSettings } from "./settings.ts"
import { tariff } from "./tariff.ts"

export type { FirestoreSettings } from "./settings.ts"

export interface FirestoreOptions {
  /** The collection whose documents are the entries. */
  collection: string
  /** Longest time of one request, ms, where a call gives no limit of its own. @default 3_000 */
  requestTimeoutMs?: number
  /** Clocks and timers. gRPC ends requests by its own timers. @default the system's */
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

/**
 * A collection of a Firestore database in native mode as a backend.
 *
 * Prefer settings to a client. A connection made from settings, which all backends of this process with the same settings share, sends each
 * request once, cancels it at its limit, and takes half the processor time. A client that is passed in stays open. It repeats commits on its
 * own, and nothing shows whether it did. Over a client, therefore, an unconditional write whose answer was lost can take effect again after
 * a newer write of another process, and a conditional write that another process has already overwritten can be reported as not applied.
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
  const clock = new ServiceClock(database, runtime)
  const connection = new OpenOnce(KIND, () =>
    isClient(client)
      ? sdkRequests(client, collection, runtime, clock)
      : rpcRequests(client, collection, { runtime, clock, openTimeoutMs: requestTimeoutMs }),
  )
  const calls = new Calls(connection, { runtime, requestTimeoutMs, target, mayRepeat: isClient(client) })

  /** The row under a key, live or expired, with the given fields; `undefined` if there is none. */
  async function readRow(
    call: Call,
    key: string,
    fields: readonly string[],
    effect: "read" | "reread",
  ): Promise<rows.RowHead | undefined> {
    const id = rows.toDocumentId(key)
    const answer = calls.requests(call).read([id], call.limits(), fields)
    return calls.answered(call, effect, answer, (documents) => {
      const document = documentIn(documents, id)
      return document && rows.decodeHead(document)
    })
  }

  /** What `decode` returns of the rows under keys. A document that is no row is an error of its key only. */
  async function rowsIn<T>(
    answer: Promise<Map<string, FirestoreDocument | undefined>>,
    call: Call,
    keys: readonly string[],
    decode: (document: FirestoreDocument) => T | undefined,
  ): Promise<Map<string, T | KvError>> {
    return calls.answered(call, "read", answer, (documents) => {
      const found = new Map<string, T | KvError>()
      for (const key of keys) {
        try {
          const document = documentIn(documents, rows.toDocumentId(key))
          const row = document && decode(document)
          if (row !== undefined) found.set(key, row)
        } catch (error) {
          found.set(key, calls.failure(error, { ...call, key }, "read"))
        }
      }
      return found
    })
  }

  /** Commits writes, all or none. Returns what `decode` returns of their times. */
  async function commit<T>(
    call: Call,
    writes: readonly FirestoreWrite[],
    decode: (times: readonly (Instant | undefined)[]) => T,
  ): Promise<T> {
    return calls.answered(call, "write", calls.requests(call).commit(writes, call.limits()), decode)
  }

  function rowAt(call: Call, key: string): RowAccess {
    const id = rows.toDocumentId(key)
    return {
      operation: call.operation,
      key,
      now: runtime.now,
      async commitIf(fields, precondition) {
        try {
          const write = { id, ...(fields && { fields }), precondition }
          return await commit(call, [write], ([time]) => time)
        } catch (error) {
          if (error instanceof KvError && isRefusal(error.cause)) return undefined
          throw error
        }
      },
      reread: () => readRow(call, key, rows.IDENTITY_FIELDS, "reread"),
    }
  }

  /** Makes one commit, or as many as the values need. One that fails is the error of each of its keys. */
  async function commitMany<Item>(
    call: Call,
    items: ReadonlyMap<string, Item>,
    toWrite: (key: string, item: Item) => FirestoreWrite,
    resultOf: (item: Item, time: Instant | undefined) => WriteResult,
  ): Promise<Map<string, WriteResult | KvError>> {
    const results = new Map<string, WriteResult | KvError>()
    const writes = Array.from(items, ([key, item]) => ({ key, item, write: toWrite(key, item) }))
    const send = async (part: typeof writes) => {
      try {
        const sent = part.map(({ write }) => write)
        await commit(call, sent, (times) => {
          for (const [index, { key, item }] of part.entries()) results.set(key, resultOf(item, times[index]))
        })
      } catch (error) {
        if (!(error instanceof KvError) || wasClosedBefore(error)) throw error
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
    traits: {
      ...TRAITS,
      target,
      get root() {
        return isClient(client) ? rootOfClient(client, target) : rootOf(client, target)
      },
      get place() {
        return { collection, namespace: database, ...(isClient(client) ? {} : serverOf(client)) }
      },
      responseAttributes,
    },
    compareVersions: rows.compareVersions,
    serviceTime: () => clock.now(),

    open: () => connection.open(),
    close: () => connection.close(),

    async get(key, request) {
      const id = rows.toDocumentId(key)
      const call = calls.begin("get", request, key)
      const answer = calls.requests(call).read([id], call.limits())
      return calls.answered(call, "read", answer, (documents) => {
        const document = documentIn(documents, id)
        return document && rows.liveEntry(document, runtime.now())
      })
    },

    async getMany(keys, request) {
      const call = calls.begin("getMany", request)
      const answer = calls.requests(call).read(keys.map(rows.toDocumentId), call.limits())
      return rowsIn(answer, call, keys, (document) => rows.liveEntry(document, runtime.now()))
    },

    async exists(key, request) {
      const row = await readRow(calls.begin("exists", request, key), key, rows.LIVENESS_FIELDS, "read")
      return row !== undefined && rows.isLive(row.expiresAt, runtime.now())
    },

    async put(key, write, request) {
      const { condition } = write
      const call = calls.begin("put", request, key)
      if (condition === undefined) {
        return commit(call, [toWrite(key, write)], ([time]) => rows.applied(write, time))
      }
      if ("absent" in condition) return create(rowAt(call, key), write)
      const fields = rows.encodeRow(write, runtime.now())
      return replace(rowAt(call, key), fields, write, condition.version)
    },

    putMany: (writes, request) => commitMany(calls.begin("putMany", request), writes, toWrite, rows.applied),

    async delete(key, { id, condition }, request) {
      const call = calls.begin("delete", request, key)
      if (condition === undefined) {
        return commit(call, [{ id: rows.toDocumentId(key) }], () => ({ applied: true }))
      }
      const tombstone = rows.encodeTombstone(id, runtime.now())
      const { applied } = await replace(rowAt(call, key), tombstone, { id }, condition.version)
      return { applied }
    },

    deleteMany: (removals, request) =>
      commitMany(
        calls.begin("deleteMany", request),
        removals,
        (key) => ({ id: rows.toDocumentId(key) }),
        () => ({ applied: true }),
      ),

    async scan(prefix, page) {
      const call = calls.begin("scan", page)
      const answer = scanPage(calls.requests(call), prefix, page, runtime.now, call.limits)
      return calls.answered(call, "read", answer, (found) => found)
    },

    async probe(keys, request) {
      const call = calls.begin("probe", request)
      const ids = keys.map(rows.toDocumentId)
      const answer = calls.requests(call).read(ids, call.limits(), rows.IDENTITY_FIELDS)
      return rowsIn(answer, call, keys, (document): RowHead => {
        const { writeId, version, expiresAt, updateTime } = rows.decodeHead(document)
        return {
          ...(writeId === "" ? {} : { id: writeId }),
          version,
          live: rows.isLive(expiresAt, runtime.now()),
          writtenAt: clock.at(updateTime),
        }
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

/** Database and project; the database alone for a client, which does not tell its project. */
function databaseOf(client: Firestore | FirestoreSettings): string {
  const database = client.databaseId ?? DEFAULT_DATABASE
  return isClient(client) ? database : `${client.projectId}/${database}`
}

/** Whether the backend was closed before any part of the call was sent. */
function wasClosedBefore({ code, cause }: KvError): boolean {
  return code === "CLOSED" && cause === undefined
}
