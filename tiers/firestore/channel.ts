import { KvError } from "../errors.ts"
import type { Runtime } from "../runtime.ts"
import { within } from "../util/deadline.ts"
import { toKvError } from "./errors.ts"
import { clientOptions, endpointOf, type FirestoreSettings, loadSdk, stubOf } from "./settings.ts"
import type { CommitResponse, DocumentResponse } from "./wire.ts"

/** A gRPC connection to the service. The backends of a process that ask the same project at one place share it. */
export interface Channel {
  readonly stub: FirestoreStub
  newMetadata(): Metadata
  /** Whether it goes to an emulator, which asks for no credentials. */
  readonly emulator: boolean
}

/** Of the stub that the SDK's `v1.FirestoreClient` makes: the calls that are used here. */
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
  /** Unix ms by the real clock, gRPC's own. The service is told, and gives up then, too. */
  deadline: number
}

export interface Metadata {
  set(name: string, value: string): void
}

interface Shared {
  users: number
  channel: Promise<Channel>
}

const channels = new Map<string, Shared>()

/**
 * Gives the channel for these settings and a function to give it back with. The last one to do that closes it.
 * Rejects with `DEPENDENCY_MISSING`, `BINDING_INVALID`, `ACCESS_DENIED` or `UNAVAILABLE`.
 */
export async function acquireChannel(
  settings: FirestoreSettings,
  runtime: Runtime,
  timeoutMs: number,
): Promise<{ channel: Channel; release: () => void }> {
  const { projectId, keyFilename, credentials } = settings
  const identity = JSON.stringify([endpointOf(settings), projectId, keyFilename, credentials])
  const shared = channels.get(identity) ?? { users: 0, channel: openChannel(settings) }
  channels.set(identity, shared)
  shared.users++

  const forget = () => {
    if (channels.get(identity) === shared) channels.delete(identity)
  }
  const release = () => {
    if (--shared.users > 0) return
    forget()
    shared.channel.then(({ stub }) => stub.close()).catch(() => {})
  }
  try {
    const channel = await within(runtime, shared.channel, timeoutMs, () => credentialsLate(timeoutMs))
    return { channel, release }
  } catch (error) {
    // Whoever opens next starts anew.
    forget()
    release()
    throw toKvError(error, { operation: "open", effect: "read" })
  }
}

async function openChannel(settings: FirestoreSettings): Promise<Channel> {
  const { sdk, gax } = await loadSdk()
  const client = new sdk.v1.FirestoreClient(clientOptions(settings, gax), gax)
  // Not the methods of the client: they repeat what failed, for up to ten minutes, and do not tell.
  const stub = await stubOf(client)
  return {
    stub: stub as FirestoreStub,
    newMetadata: () => new gax.grpc.Metadata(),
    emulator: endpointOf(settings)?.emulator ?? false,
  }
}

function credentialsLate(timeoutMs: number): KvError {
  return new KvError(
    "UNAVAILABLE",
    `Google's credentials could not be found within ${timeoutMs} ms; set GOOGLE_APPLICATION_CREDENTIALS, or run ` +
      "`gcloud auth application-default login`",
    { operation: "open", backend: "firestore" },
  )
}
