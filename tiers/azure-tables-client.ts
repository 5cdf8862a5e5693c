import http from "node:http"
import https from "node:https"
import type { TableClient } from "@azure/data-tables"
import { KIND, toKvError } from "./azure-tables-errors.ts"
import { within } from "./deadline.ts"
import { KvError } from "./errors.ts"
import { type Runtime, systemRuntime } from "./runtime.ts"

/** Which storage account, and how to be let in. Everything left out comes from the environment. */
export interface AzureTablesSettings {
  /** Name of the storage account. @default `AZURE_STORAGE_ACCOUNT`, or the one in the connection string */
  account?: string
  /**
   * URL of the account's table service, for other clouds and for emulators; `https:` unless it is an emulator's.
   * @default `https://ACCOUNT.table.core.windows.net`
   */
  endpoint?: string
  /**
   * A storage connection string, with a key or a shared access signature; `UseDevelopmentStorage=true` is Azurite.
   * @default `AZURE_STORAGE_CONNECTION_STRING`, if it is of the same account, or an emulator's
   */
  connectionString?: string
}

/** A client that is shared with every other user of the same settings and table in this process. */
export interface ClientLease {
  readonly client: TableClient
  /** Gives it up; the last one closes its idle connections. Idempotent. */
  release(): void
}

/** Where to send requests, and what to sign them with. */
interface Target {
  endpoint: string
  signing: { account: string; key: string } | { signature: string } | "identity"
}

/**
 * A client for a table, with an agent of ours and without the SDK's retries: those would hide from the caller that an
 * earlier attempt may still land. Rejects with `DEPENDENCY_MISSING`, `BINDING_INVALID`, `ACCESS_DENIED` or `UNAVAILABLE`.
 */
export async function leaseClient(
  settings: AzureTablesSettings,
  table: string,
  runtime: Runtime = systemRuntime,
): Promise<ClientLease> {
  const target = resolveTarget(settings, process.env)
  const name = JSON.stringify([target, table])
  let shared = clients.get(name)
  if (shared === undefined) {
    shared = { client: makeClient(target, table, runtime), users: 0 }
    clients.set(name, shared)
  }
  const { client } = shared
  let leased: SharedClient | undefined = shared
  leased.users++
  const release = () => {
    if (leased !== undefined && --leased.users === 0) {
      clients.delete(name)
      if (clients.size === 0) closeAgents()
    }
    leased = undefined
  }
  try {
    return { client: await client, release }
  } catch (error) {
    release()
    throw error
  }
}

interface SharedClient {
  readonly client: Promise<TableClient>
  users: number
}

const clients = new Map<string, SharedClient>()

async function makeClient(
  { endpoint, signing }: Target,
  table: string,
  runtime: Runtime,
): Promise<TableClient> {
  const sdk = await load("@azure/data-tables", () => import("@azure/data-tables"))
  const options = {
    agent: agentFor(endpoint),
    allowInsecureConnection: isEmulator(endpoint),
    retryOptions: { maxRetries: 0 },
  }
  if (signing === "identity") {
    return new sdk.TableClient(endpoint, table, await signedInCredential(runtime), options)
  }
  if ("signature" in signing) {
    return new sdk.TableClient(endpoint, table, new sdk.AzureSASCredential(signing.signature), options)
  }
  const credential = new sdk.AzureNamedKeyCredential(signing.account, signing.key)
  return new sdk.TableClient(endpoint, table, credential, options)
}

/** What Azure asks a token for when it is to be used on storage. */
const STORAGE_SCOPE = "https://storage.azure.com/.default"
/** DefaultAzureCredential tries one way of signing in after the other, some of them by starting a program. */
const SIGN_IN_TIMEOUT_MS = 30_000

/** A token is had at once, so that a missing sign-in fails the opening, and no request spends its time on it. */
async function signedInCredential(runtime: Runtime) {
  const identity = await load("@azure/identity", () => import("@azure/identity"))
  const credential = new identity.DefaultAzureCredential()
  try {
    const token = credential.getToken(STORAGE_SCOPE)
    await within(runtime, token, SIGN_IN_TIMEOUT_MS, () => new Error("signing in to Azure took too long"))
  } catch (error) {
    throw toKvError(error, { operation: "open", effect: "read" })
  }
  return credential
}

async function load<Module>(name: string, importModule: () => Promise<Module>): Promise<Module> {
  try {
    return await importModule()
  } catch (error) {
    throw new KvError("DEPENDENCY_MISSING", `Azure Tables needs the package ${name}: npm install ${name}`, {
      operation: "open",
      backend: KIND,
      cause: error,
    })
  }
}

/** Connections at once to one host: a burst of point reads queues for them instead of opening one each. */
const MAX_SOCKETS = 128
/** Azure's load balancers forget an idle connection after 4 minutes, without telling; a write sent on one is left unanswered. */
const IDLE_SOCKET_MS = 60_000

const AGENT_OPTIONS = { keepAlive: true, maxSockets: MAX_SOCKETS, timeout: IDLE_SOCKET_MS }
const agents = new Map<string, http.Agent>()

/** One agent for each protocol; it keeps the connections of each host by themselves, and idle ones keep no process alive. */
function agentFor(endpoint: string): http.Agent {
  const { protocol } = new URL(endpoint)
  let agent = agents.get(protocol)
  if (agent === undefined) {
    agent =
      protocol === "https:"
        ? new https.Agent({ ...AGENT_OPTIONS, minVersion: "TLSv1.2" })
        : new http.Agent(AGENT_OPTIONS)
    agents.set(protocol, agent)
  }
  return agent
}

function closeAgents(): void {
  for (const agent of agents.values()) agent.destroy()
  agents.clear()
}

/** Azurite's account, and its key: the same everywhere, and published by Microsoft. */
const EMULATOR = {
  account: "devstoreaccount1",
  key: "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
}
const EMULATOR_ENDPOINT = `http://127.0.0.1:10002/${EMULATOR.account}`

/** Exported for tests. Throws `BINDING_INVALID` or `BINDING_NOT_CONFIGURED`. */
export function resolveTarget(settings: AzureTablesSettings, env: NodeJS.ProcessEnv): Target {
  const target = settings.connectionString
    ? parseConnectionString(settings.connectionString)
    : (targetOfEnvironment(settings, env) ?? targetOfAccount(settings, env))
  const { protocol } = parseUrl(target.endpoint)
  if (protocol !== "https:" && !isEmulator(target.endpoint)) {
    throw invalid(
      "the endpoint has to be https; plain http is for emulators: on loopback, or of devstoreaccount1",
    )
  }
  return target
}

/** The environment's connection string, unless the settings name an endpoint or an account that is not its. */
function targetOfEnvironment(
  { account, endpoint }: AzureTablesSettings,
  { AZURE_STORAGE_CONNECTION_STRING: connectionString }: NodeJS.ProcessEnv,
): Target | undefined {
  if (!connectionString || endpoint !== undefined) return undefined
  const target = parseConnectionString(connectionString)
  const fits = account === undefined || isEmulator(target.endpoint) || accountOf(target.endpoint) === account
  return fits ? target : undefined
}

function targetOfAccount(settings: AzureTablesSettings, env: NodeJS.ProcessEnv): Target {
  const { AZURE_STORAGE_ACCOUNT: envAccount } = env
  const key = env.AZURE_STORAGE_KEY || env.AZURE_STORAGE_ACCESS_KEY
  const account =
    settings.account ?? (settings.endpoint === undefined ? envAccount : accountOf(settings.endpoint))
  if (!account) {
    throw new KvError(
      "BINDING_NOT_CONFIGURED",
      "no storage account is named: set AZURE_STORAGE_CONNECTION_STRING or AZURE_STORAGE_ACCOUNT, or name one",
      { operation: "open", backend: KIND },
    )
  }
  if (!/^[a-z0-9]{3,24}$/.test(account)) {
    throw invalid("a storage account's name is 3 to 24 lower-case letters and digits")
  }
  const endpoint = settings.endpoint?.replace(/\/+$/, "") ?? `https://${account}.table.core.windows.net`
  if (key && (envAccount === undefined || envAccount === account))
    return { endpoint, signing: { account, key } }
  if (account === EMULATOR.account) return { endpoint, signing: EMULATOR }
  return { endpoint, signing: "identity" }
}

function parseConnectionString(text: string): Target {
  const fields = new Map<string, string>()
  for (const field of text.split(";")) {
    const at = field.indexOf("=")
    if (at > 0) fields.set(field.slice(0, at).trim().toLowerCase(), field.slice(at + 1).trim())
  }
  if (fields.get("usedevelopmentstorage")?.toLowerCase() === "true") {
    return { endpoint: EMULATOR_ENDPOINT, signing: EMULATOR }
  }
  const account = fields.get("accountname")
  const key = fields.get("accountkey")
  const signature = fields.get("sharedaccesssignature")
  const protocol = fields.get("defaultendpointsprotocol") ?? "https"
  const suffix = fields.get("endpointsuffix") ?? "core.windows.net"
  const endpoint =
    fields.get("tableendpoint")?.replace(/\/+$/, "") ??
    (account === undefined ? undefined : `${protocol}://${account}.table.${suffix}`)
  if (endpoint !== undefined && signature !== undefined) return { endpoint, signing: { signature } }
  if (endpoint !== undefined && account !== undefined && key !== undefined) {
    return { endpoint, signing: { account, key } }
  }
  throw invalid(
    "the connection string has to hold AccountName and AccountKey, or TableEndpoint and SharedAccessSignature, " +
      "or UseDevelopmentStorage=true",
  )
}

/** The account that an endpoint is of: the first label of its host, or on an emulator the first segment of its path. */
function accountOf(endpoint: string): string {
  const { hostname, pathname } = parseUrl(endpoint)
  return pathname.split("/")[1] || (hostname.split(".")[0] ?? "")
}

export function isEmulator(endpoint: string): boolean {
  const { hostname, pathname } = parseUrl(endpoint)
  return /^(localhost|127(\.\d+){3}|\[::1\])$/.test(hostname) || pathname.split("/")[1] === EMULATOR.account
}

function parseUrl(endpoint: string): URL {
  if (!URL.canParse(endpoint)) throw invalid("the endpoint is not a URL")
  return new URL(endpoint)
}

function invalid(message: string): KvError {
  return new KvError("BINDING_INVALID", message, { operation: "open", backend: KIND })
}
