import { KvError } from "../errors.ts"
import type { Runtime } from "../runtime.ts"
import { within } from "../util/deadline.ts"
import { type Lease, SharedResource } from "../util/shared-resource.ts"
import { type FirestoreStub, type Metadata, newDialer } from "./channel.ts"
import { Channels } from "./channels.ts"
import { KIND, toKvError } from "./errors.ts"
import { DEFAULT_CHANNELS, endpointOf, type FirestoreSettings } from "./settings.ts"
import { AccessToken } from "./token.ts"

/** The channels to a project. Backends of this process with the same settings, the database apart, share them. */
export interface Connection {
  readonly channels: Channels
  newMetadata(): Metadata
  /** What requests are sent with; `undefined` for an emulator. */
  readonly token: AccessToken | undefined
  /** Whether it is connected to an emulator, which needs no credentials. */
  readonly emulator: boolean
}

const connections = new SharedResource<Connection>(({ channels }) => channels.close())

/** Rejects with `DEPENDENCY_MISSING`, `BINDING_INVALID`, `ACCESS_DENIED` or `UNAVAILABLE`. */
export async function leaseConnection(
  settings: FirestoreSettings,
  runtime: Runtime,
  openTimeoutMs: number,
): Promise<Lease<Connection>> {
  const { projectId, keyFilename, credentials, channels = DEFAULT_CHANNELS } = settings
  const identity = JSON.stringify([endpointOf(settings), projectId, keyFilename, credentials, channels])
  try {
    return await connections.acquire(identity, runtime, () => connect(settings, runtime, openTimeoutMs))
  } catch (error) {
    throw toKvError(error, { operation: "open", effect: "read" })
  }
}

async function connect(
  settings: FirestoreSettings,
  runtime: Runtime,
  openTimeoutMs: number,
): Promise<Connection> {
  const dialer = await newDialer(settings)
  const dial = () => inTime(dialer.dial(), runtime, openTimeoutMs)
  const stubs = [await dial()]
  while (stubs.length < (settings.channels ?? DEFAULT_CHANNELS)) stubs.push(await dial())
  const emulator = endpointOf(settings)?.emulator ?? false
  const auth = dialer.auth()
  return {
    channels: new Channels(stubs, dial, runtime),
    newMetadata: dialer.newMetadata,
    token: emulator || auth === undefined ? undefined : new AccessToken(auth, runtime),
    emulator,
  }
}

/** Bounds the search for credentials, which may hang. A channel that is ready too late is closed. */
async function inTime(
  opening: Promise<FirestoreStub>,
  runtime: Runtime,
  limitMs: number,
): Promise<FirestoreStub> {
  const late = () => {
    opening.then((stub) => stub.close()).catch(() => {})
    return credentialsLate(limitMs)
  }
  return within(runtime, opening, limitMs, late)
}

function credentialsLate(limitMs: number): KvError {
  return new KvError(
    "UNAVAILABLE",
    `Google's credentials could not be found within ${limitMs} ms; set GOOGLE_APPLICATION_CREDENTIALS, or run ` +
      "`gcloud auth application-default login`",
    { operation: "open", backend: KIND },
  )
}
