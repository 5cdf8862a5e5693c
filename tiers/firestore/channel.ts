import { KvError } from "../errors.ts"
import type { Runtime } from "../runtime.ts"
import { within } from "../util/deadline.ts"
import { type Lease, SharedResource } from "../util/shared-resource.ts"
import { KIND, toKvError } from "./errors.ts"
import { clientOptions, endpointOf, type FirestoreSettings, loadSdk, stubOf } from "./settings.ts"
import type { CommitResponse, DocumentResponse } from "./wire.ts"

/** A gRPC connection to the service. Backends of this process with the same project and endpoint share it. */
export interface Channel {
  readonly stub: FirestoreStub
  newMetadata(): Metadata
  /** Whether it is connected to an emulator, which needs no credentials. */
  readonly emulator: boolean
}

/** The used calls of the stub that the SDK's `v1.FirestoreClient` makes. */
interface FirestoreStub {
  batchGetDocuments(request: object, metadata: Metadata, options: CallOptions): ResponseStream
  runQuery(request: object, metadata: Metadata, options: CallOptions): ResponseStream
  commit(
    request: object,
    metadata: Metadata,
    options: CallOptions,
    callback: (error: Error | null, response: CommitResponse) => void,
  ): void
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

const channels = new SharedResource<Channel>(({ stub }) => stub.close())

/** Rejects with `DEPENDENCY_MISSING`, `BINDING_INVALID`, `ACCESS_DENIED` or `UNAVAILABLE`. */
export async function leaseChannel(
  settings: FirestoreSettings,
  runtime: Runtime,
  requestTimeoutMs: number,
): Promise<Lease<Channel>> {
  const { projectId, keyFilename, credentials } = settings
  const identity = JSON.stringify([endpointOf(settings), projectId, keyFilename, credentials])
  try {
    return await channels.acquire(identity, runtime, () => openInTime(settings, runtime, requestTimeoutMs))
  } catch (error) {
    throw toKvError(error, { operation: "open", effect: "read" })
  }
}

/** Bounds `open`, because the search for credentials may hang. A channel that is ready too late is closed. */
async function openInTime(
  settings: FirestoreSettings,
  runtime: Runtime,
  requestTimeoutMs: number,
): Promise<Channel> {
  const opening = openChannel(settings)
  const late = () => {
    opening.then(({ stub }) => stub.close()).catch(() => {})
    return credentialsLate(requestTimeoutMs)
  }
  return within(runtime, opening, requestTimeoutMs, late)
}

async function openChannel(settings: FirestoreSettings): Promise<Channel> {
  const { sdk, gax } = await loadSdk()
  const client = new sdk.v1.FirestoreClient(clientOptions(settings, gax), gax)
  // Not the methods of the client: they repeat failed calls for up to ten minutes without reporting it.
  const stub = await stubOf(client)
  return {
    stub: stub as FirestoreStub,
    newMetadata: () => new gax.grpc.Metadata(),
    emulator: endpointOf(settings)?.emulator ?? false,
  }
}

function credentialsLate(requestTimeoutMs: number): KvError {
  return new KvError(
    "UNAVAILABLE",
    `Google's credentials could not be found within ${requestTimeoutMs} ms; set GOOGLE_APPLICATION_CREDENTIALS, or run ` +
      "`gcloud auth application-default login`",
    { operation: "open", backend: KIND },
  )
}
