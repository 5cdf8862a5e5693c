import type { Runtime } from "../runtime.ts"
import { leaseChannel, type ResponseStream } from "./channel.ts"
import type { FirestoreDocument, FirestoreRequests } from "./requests.ts"
import { DEFAULT_DATABASE, type FirestoreSettings } from "./settings.ts"
import { type DocumentResponse, toDocument, toInstant, toWireQuery, toWireWrite } from "./wire.ts"

/**
 * The requests, straight over gRPC: each is sent once and has `requestTimeoutMs` to be answered. A lone read takes about half the
 * processor time of the SDK's `doc.get()`.
 */
export async function rpcRequests(
  settings: FirestoreSettings,
  collection: string,
  runtime: Runtime,
  requestTimeoutMs: number,
): Promise<FirestoreRequests> {
  const { resource: channel, release } = await leaseChannel(settings, runtime, requestTimeoutMs)
  const { stub } = channel
  const database = `projects/${settings.projectId}/databases/${settings.databaseId ?? DEFAULT_DATABASE}`
  const root = `${database}/documents`
  const nameOf = (id: string) => `${root}/${collection}/${id}`

  const metadata = channel.newMetadata()
  metadata.set("google-cloud-resource-prefix", database)
  metadata.set("x-goog-request-params", `database=${encodeURIComponent(database)}`)
  // Tells the emulator that its security rules do not bind this caller.
  if (channel.emulator) metadata.set("authorization", "Bearer owner")
  const options = () => ({ deadline: Date.now() + requestTimeoutMs })

  return {
    async read(ids, fields) {
      const documents = new Map<string, FirestoreDocument | undefined>()
      if (ids.length === 0) return documents
      const request = {
        database,
        documents: ids.map(nameOf),
        ...(fields === undefined ? {} : { mask: { fieldPaths: fields } }),
      }
      await responses(
        stub.batchGetDocuments(request, metadata, options()),
        undefined,
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

    commit(writes) {
      const request = { database, writes: writes.map((write) => toWireWrite(write, nameOf)) }
      return new Promise((resolve, reject) => {
        stub.commit(request, metadata, options(), (error, response) => {
          if (error !== null) return reject(error)
          resolve(
            response.writeResults.map(({ updateTime }) =>
              updateTime === null ? undefined : toInstant(updateTime),
            ),
          )
        })
      })
    },

    async query(range, limit, signal) {
      const documents: FirestoreDocument[] = []
      const request = { parent: root, structuredQuery: toWireQuery(collection, range, limit, nameOf) }
      await responses(stub.runQuery(request, metadata, options()), signal, ({ document }) => {
        if (document) documents.push(toDocument(document))
      })
      return documents
    },

    close: release,
  }
}

/** Hands on each message of a stream; resolves with its end, and ends it when `signal` is aborted. */
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
