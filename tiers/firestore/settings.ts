import { KvError } from "../errors.ts"
import { type Checks, checkAllOptions, optional, text, wholeNumber, withTexts } from "../util/checks.ts"
import { dependencyMissing, installedVersion } from "../util/packages.ts"
import { MAX_CHANNELS } from "./channel-limit.ts"
import { KIND } from "./errors.ts"

/** Location of a database, and credentials. */
export interface FirestoreSettings {
  /** Id of the Google Cloud project. */
  projectId: string
  /** Id of the database. @default "(default)" */
  databaseId?: string
  /**
   * `host:port` or an `http:` URL of an emulator, which gets no credentials; or an `https:` URL of another address of the service.
   * @default the environment variable `FIRESTORE_EMULATOR_HOST`, else Google's own address
   */
  endpoint?: string
  /** Path of the key file of a service account. @default application-default credentials */
  keyFilename?: string
  /** The key of a service account, in place of its file. */
  credentials?: { client_email: string; private_key: string }
  /**
   * Number of gRPC channels, 1 to 100, each a connection with at most 100 concurrent requests. A further one is used if all before it are
   * full; requests beyond that wait. All backends of this process with the same settings share them.
   * @default 4
   */
  channels?: number
}

/**
 * Default of {@link FirestoreSettings.channels}: room for the 256 concurrent requests of a store. With 256 or 3,000 concurrent calls, 4 channels
 * were two to three times as fast as one, and 8 no faster than 4.
 */
export const DEFAULT_CHANNELS = 4

const SETTINGS: Checks = {
  projectId: text("projectId"),
  databaseId: optional(text("databaseId")),
  endpoint: optional(text("endpoint", 0)),
  keyFilename: optional(text("keyFilename")),
  credentials: optional(withTexts("credentials", ["client_email", "private_key"])),
  channels: optional(wholeNumber("channels", 1, MAX_CHANNELS)),
}

/** Throws `INVALID_OPTION`. */
export function checkFirestoreSettings(settings: FirestoreSettings): void {
  checkAllOptions(settings, SETTINGS, "open")
}

export const DEFAULT_DATABASE = "(default)"

export type Sdk = typeof import("@google-cloud/firestore")
type ClientParameters = ConstructorParameters<Sdk["v1"]["FirestoreClient"]>
type ClientOptions = NonNullable<ClientParameters[0]>
type TransportOverGrpc = Extract<ClientParameters[1], { grpc: unknown }>
/** `google-gax`, the transport of the SDK: only the members that every supported version of it has. */
export type Gax = Pick<TransportOverGrpc, "grpc" | "GoogleAuth">
/** Finds credentials, and holds the access token. */
export type GoogleAuth = NonNullable<ClientOptions["auth"]>

const PACKAGE = "@google-cloud/firestore"
/** Lowest supported version of the SDK: versions before it do not send the deletion protection of a new database. */
const LOWEST = { major: 7, minor: 2 }

/** Loads the SDK. Rejects with `DEPENDENCY_MISSING` if it is not installed, or if its version is not supported. */
export async function loadSdk(): Promise<{ sdk: Sdk; gax: TransportOverGrpc }> {
  let sdk: Sdk
  try {
    sdk = (await import("@google-cloud/firestore")).default
  } catch (cause) {
    throw dependencyMissing(KIND, "Firestore", PACKAGE, cause)
  }
  checkVersion(installedVersion(PACKAGE))
  return { sdk, gax: gaxOf(sdk) }
}

/** Throws `DEPENDENCY_MISSING` if the version is too old. One that is not known passes. */
export function checkVersion(version: string | undefined): void {
  if (version === undefined) return
  const [major = 0, minor = 0] = version.split(".").map(Number)
  if (major > LOWEST.major || (major === LOWEST.major && minor >= LOWEST.minor)) return
  throw new KvError(
    "DEPENDENCY_MISSING",
    `${PACKAGE} ${version} is installed, and version ${LOWEST.major}.${LOWEST.minor} or later is needed: npm install ${PACKAGE}`,
    { operation: "open", backend: KIND },
  )
}

/**
 * The transport that the SDK has loaded. It is a dependency of the SDK, which is not necessarily installed where this file could find it. The
 * client is used for nothing else; it makes no connection.
 */
function gaxOf(sdk: Sdk): TransportOverGrpc {
  const { _gaxModule: gax }: { _gaxModule: TransportOverGrpc } = Object(
    new sdk.v1.FirestoreClient({ fallback: false }),
  )
  return gax
}

/**
 * Options of the SDK's generated clients. `auth` is the `auth` of an earlier client with the same settings, so that both share one access
 * token. Throws `BINDING_INVALID` if the endpoint is not valid.
 */
export function clientOptions(
  settings: FirestoreSettings,
  { grpc, GoogleAuth }: Gax,
  auth?: GoogleAuth,
): ClientOptions {
  const { projectId, keyFilename, credentials } = settings
  const endpoint = endpointOf(settings)
  return {
    projectId,
    ...CHANNEL_OPTIONS,
    ...(endpoint === undefined ? {} : { servicePath: endpoint.host, port: endpoint.port }),
    ...(endpoint?.emulator
      ? { sslCreds: grpc.credentials.createInsecure(), auth: auth ?? withoutCredentials(GoogleAuth) }
      : {
          ...(keyFilename === undefined ? {} : { keyFilename }),
          ...(credentials === undefined ? {} : { credentials }),
          ...(auth === undefined ? {} : { auth }),
        }),
  }
}

/** For an emulator. Google's own class would ask the metadata service of the machine for credentials, for seconds. */
function withoutCredentials(GoogleAuth: Gax["GoogleAuth"]): GoogleAuth {
  return Object.assign(new GoogleAuth(), { getUniverseDomain: async () => "googleapis.com" })
}

/** The stub of a generated client. It sends each call once. Rejects with `ACCESS_DENIED` if there are no credentials. */
export async function stubOf(client: { initialize(): Promise<unknown> }): Promise<unknown> {
  try {
    return await client.initialize()
  } catch (cause) {
    throw new KvError(
      "ACCESS_DENIED",
      "no credentials for Google Cloud could be loaded; set GOOGLE_APPLICATION_CREDENTIALS to a key file, or run " +
        "`gcloud auth application-default login`",
      { operation: "open", backend: KIND, cause },
    )
  }
}

const CHANNEL_OPTIONS = {
  // Otherwise channels to one address share one connection, and a new channel would get the dead connection of the one that it replaces.
  "grpc.use_local_subchannel_pool": 1,
  // Pings detect a dead connection while calls wait; the service allows one in 30 s.
  "grpc.keepalive_time_ms": 30_000,
  "grpc.keepalive_timeout_ms": 5_000,
  // The default is 1 s to 2 min, during which every call fails even if the service is reachable again.
  "grpc.initial_reconnect_backoff_ms": 200,
  "grpc.max_reconnect_backoff_ms": 2_000,
  // With the default of 64 KiB, a batch of values would wait for a round trip per 64 KiB.
  "grpc-node.flow_control_window": 1_048_576,
}

export interface Endpoint {
  host: string
  port: number
  /** Whether the connection is neither encrypted nor authenticated. */
  emulator: boolean
}

/** The address to connect to; `undefined` for Google's own. Throws `BINDING_INVALID` if the endpoint is neither `host:port` nor a URL. */
export function endpointOf({ endpoint }: FirestoreSettings): Endpoint | undefined {
  const given = endpoint ?? process.env.FIRESTORE_EMULATOR_HOST
  if (given === undefined || given === "") return undefined
  const text = /^https?:\/\//.test(given) ? given : `http://${given}`
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || url.pathname !== "/" || url.search !== "" || url.username !== "") {
    throw new KvError(
      "BINDING_INVALID",
      `${endpoint === undefined ? "FIRESTORE_EMULATOR_HOST" : "the endpoint of Firestore"} has to be host:port, or a URL without a path`,
      { operation: "open", backend: KIND },
    )
  }
  const emulator = url.protocol === "http:"
  return { host: url.hostname, port: Number(url.port) || (emulator ? 80 : 443), emulator }
}
