import type { Runtime } from "../runtime.ts"
import type { CallOptions, FirestoreStub, ResponseStream } from "./channel.ts"
import { leaseConnection } from "./connection.ts"
import type { FirestoreDocument, FirestoreRequests, Limits } from "./requests.ts"
import type { ServiceClock } from "./service-clock.ts"
import { DEFAULT_DATABASE, type FirestoreSettings } from "./settings.ts"
import {
  type CommitResponse,
  type DocumentResponse,
  toDocument,
  toInstant,
  toWireQuery,
  toWireWrite,
} from "./wire.ts"

export interface RpcOptions {
  runtime: Runtime
  clock: ServiceClock
  /** Longest time of the search for credentials, ms. */
  openTimeoutMs: number
}

/**
 * The requests, directly over gRPC: each is sent once, with its limit as the deadline. A single read takes about half the processor time of
 * the SDK's `doc.get()`.
 */
export async function rpcRequests(
  settings: FirestoreSettings,
  collection: string,
  { runtime, clock, openTimeoutMs }: RpcOptions,
): Promise<FirestoreRequests> {
  const { resource: connection, release } = await leaseConnection(settings, runtime, openTimeoutMs)
  const { channels } = connection
  const database = `projects/${settings.projectId}/databases/${settings.databaseId ?? DEFAULT_DATABASE}`
  const root = `${database}/documents`
  const nameOf = (id: string) => `${root}/${collection}/${id}`

  const metadata = connection.newMetadata()
  metadata.set("google-cloud-resource-prefix", database)
  metadata.set("x-goog-request-params", `database=${encodeURIComponent(database)}`)
  // Exempts the caller from the security rules of the emulator.
  if (connection.emulator) metadata.set("authorization", "Bearer owner")

  /** Makes a streaming call, and passes on each message of its answer. */
  async function stream(
    limits: Limits,
    start: (stub: FirestoreStub, options: CallOptions) => ResponseStream,
    receive: (response: DocumentResponse) => void,
  ): Promise<void> {
    const begun = clock.begin()
    let readTime: DocumentResponse["readTime"]
    await channels.send(limits, (stub, options) =>
      responses(start(stub, options), limits.signal, (response) => {
        readTime = response.readTime ?? readTime
        receive(response)
      }),
    )
    if (readTime) clock.read(begun, toInstant(readTime))
  }

  return {
    async read(ids, limits, fields) {
      const documents = new Map<string, FirestoreDocument | undefined>()
      if (ids.length === 0) return documents
      const request = {
        database,
        documents: ids.map(nameOf),
        ...(fields === undefined ? {} : { mask: { fieldPaths: fields } }),
      }
      await stream(
        limits,
        (stub, options) => stub.batchGetDocuments(request, metadata, options),
        ({ found, missing }) => {
          if (found) {
            const document = toDocument(found)
            documents.set(document.id, document)
          } else if (missing) {
            documents.set(missing.slice(missing.lastIndexOf("/") + 1), undefined)
          }
        },
      )
      return documents
    },

    async commit(writes, limits) {
      const request = { database, writes: writes.map((write) => toWireWrite(write, nameOf)) }
      const begun = clock.begin()
      const { writeResults, commitTime } = await channels.send(
        limits,
        (stub, options) =>
          new Promise<CommitResponse>((resolve, reject) => {
            stub.commit(request, metadata, options, (error, response) => {
              if (error === null) resolve(response)
              else reject(error)
            })
          }),
      )
      if (commitTime) clock.committed(begun, toInstant(commitTime))
      return writeResults.map(({ updateTime }) => (updateTime === null ? undefined : toInstant(updateTime)))
    },

    async query(range, limit, limits) {
      const documents: FirestoreDocument[] = []
      const request = { parent: root, structuredQuery: toWireQuery(collection, range, limit, nameOf) }
      await stream(
        limits,
        (stub, options) => stub.runQuery(request, metadata, options),
        ({ document }) => {
          if (document) documents.push(toDocument(document))
        },
      )
      return documents
    },

    close: release,
  }
}

/** Passes on each message of a stream. Resolves with its end. Cancels it when `signal` is aborted. */
function responses(
  stream: ResponseStream,
  signal: AbortSignal | undefined,
  receive: (response: DocumentResponse) => void,
): Promise<void> {
  return new Promise<void>((resolve, reject) => {
    const abort = () => {
      reject(signal?.reason)
      stream.cancel()
    }
    const settle = (error?: Error) => {
      signal?.removeEventListener("abort", abort)
      if (error === undefined) resolve()
      else reject(error)
    }
    signal?.addEventListener("abort", abort)
    stream
      .on("data", receive)
      .on("error", settle)
      .on("end", () => settle())
  })
}
