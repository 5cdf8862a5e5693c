import { clientOptions, type FirestoreSettings, type GoogleAuth, loadSdk, stubOf } from "./settings.ts"
import type { CommitResponse, DocumentResponse } from "./wire.ts"

/** A gRPC channel to the service, with the used calls of the stub that the SDK's `v1.FirestoreClient` makes. */
export interface FirestoreStub {
  batchGetDocuments(request: object, metadata: Metadata, options: CallOptions): ResponseStream
  runQuery(request: object, metadata: Metadata, options: CallOptions): ResponseStream
  commit(
    request: object,
    metadata: Metadata,
    options: CallOptions,
    callback: (error: Error | null, response: CommitResponse) => void,
  ): void
  /** Calls that were sent continue. */
  close(): void
}

export interface ResponseStream {
  on(event: "data", listener: (response: DocumentResponse) => void): this
  on(event: "error", listener: (error: Error) => void): this
  on(event: "end", listener: () => void): this
  cancel(): void
}

export interface CallOptions {
  /** Unix ms on the system clock, which gRPC uses. The request carries it, and the service stops at it too. */
  deadline: number
}

export interface Metadata {
  set(name: string, value: string): void
}

/** Opens channels with the same settings. */
export interface Dialer {
  /** Opens one more channel. It connects with its first call. */
  dial(): Promise<FirestoreStub>
  newMetadata(): Metadata
  /** Holds the access token, once a channel was opened. */
  auth(): GoogleAuth | undefined
}

/** Rejects with `DEPENDENCY_MISSING` or `BINDING_INVALID`. */
export async function newDialer(settings: FirestoreSettings): Promise<Dialer> {
  const { sdk, gax } = await loadSdk()
  let auth: GoogleAuth | undefined
  return {
    async dial() {
      const client = new sdk.v1.FirestoreClient(clientOptions(settings, gax, auth), gax)
      auth ??= client.auth
      // Not the methods of the client: they repeat failed calls for up to ten minutes without reporting it.
      return (await stubOf(client)) as FirestoreStub
    },
    newMetadata: () => new gax.grpc.Metadata(),
    auth: () => auth,
  }
}
