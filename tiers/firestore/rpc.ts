import type { Runtime } from "../runtime.ts"
import type { ResponseStream } from "./channel.ts"
import type { Slot } from "./channels.ts"
import { leaseConnection } from "./connection.ts"
import { isRefusedToken, TokenRefused } from "./errors.ts"
import type { FirestoreDocument, FirestoreRequests } from "./requests.ts"
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

  /** Renews an access token that the service refused. */
  const authorized = async <T>(answer: Promise<T>): Promise<T> => {
    const sentAt = runtime.monotonic()
    try {
      const answered = await answer
      connection.token?.accepted()
      return answered
    } catch (error) {
      if (isRefusedToken(error) && (await connection.token?.refused(sentAt))) throw new TokenRefused(error)
      throw error
    }
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
      const begun = clock.begin()
      const slot = await channels.enter(limits)
      const answer = slot.stub.batchGetDocuments(request, metadata, slot.options)
      const received = receive(answer, slot, limits.signal, ({ found, missing }) => {
        if (found) {
          const document = toDocument(found)
          documents.set(document.id, document)
        } else if (missing) {
          documents.set(missing.slice(missing.lastIndexOf("/") + 1), undefined)
        }
      })
      const readTime = await authorized(received)
      if (readTime) clock.read(begun, toInstant(readTime))
      return documents
    },

    async commit(writes, limits) {
      const request = { database, writes: writes.map((write) => toWireWrite(write, nameOf)) }
      const begun = clock.begin()
      const { stub, options, end } = await channels.enter(limits)
      const committed = new Promise<CommitResponse>((resolve, reject) => {
        stub.commit(request, metadata, options, (error, response) => {
          end(error ?? undefined)
          if (error === null) resolve(response)
          else reject(error)
        })
      })
      const { writeResults, commitTime } = await authorized(committed)
      if (commitTime) clock.committed(begun, toInstant(commitTime))
      return writeResults.map(({ updateTime }) => (updateTime === null ? undefined : toInstant(updateTime)))
    },

    async query(range, limit, limits) {
      const documents: FirestoreDocument[] = []
      const request = { parent: root, structuredQuery: toWireQuery(collection, range, limit, nameOf) }
      const begun = clock.begin()
      const slot = await channels.enter(limits)
      const answer = slot.stub.runQuery(request, metadata, slot.options)
      const received = receive(answer, slot, limits.signal, ({ document }) => {
        if (document) documents.push(toDocument(document))
      })
      const readTime = await authorized(received)
      if (readTime) clock.read(begun, toInstant(readTime))
      return documents
    },

    close: release,
  }
}

/** Passes on each message of a stream, and resolves at its end with its last read time. Cancels the stream when `signal` is aborted. */
function receive(
  stream: ResponseStream,
  { end }: Slot,
  signal: AbortSignal | undefined,
  each: (response: DocumentResponse) => void,
): Promise<DocumentResponse["readTime"]> {
  return new Promise((resolve, reject) => {
    let readTime: DocumentResponse["readTime"]
    const abort = () => stream.cancel()
    const settle = (error?: Error) => {
      signal?.removeEventListener("abort", abort)
      end(error)
      if (error === undefined) resolve(readTime)
      else reject(signal?.aborted ? signal.reason : error)
    }
    signal?.addEventListener("abort", abort)
    stream
      .on("data", (response) => {
        readTime = response.readTime ?? readTime
        each(response)
      })
      .on("error", settle)
      .on("end", () => settle())
    if (signal?.aborted) abort()
  })
}
