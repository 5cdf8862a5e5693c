import http from "node:http"
import https from "node:https"
import type { TableClient } from "@azure/data-tables"
import type { DefaultAzureCredential } from "@azure/identity"
import { KvError } from "../errors.ts"
import { type Runtime, systemRuntime } from "../runtime.ts"
import { within } from "../util/deadline.ts"
import { KIND, toKvError } from "./errors.ts"
import {
  type AzureTablesSettings,
  checkTableName,
  isEmulator,
  resolveTarget,
  type Target,
} from "./settings.ts"

/** A client that is shared with every other user of the same settings and table in this process. */
export interface ClientLease {
  readonly client: TableClient
  /** Gives it up; the last one closes its idle connections. Idempotent. */
  release(): void
}

/**
 * A client for a table, which sends every request once, over connections that are kept alive. Rejects with `DEPENDENCY_MISSING`, `BINDING_INVALID`, `ACCESS_DENIED` or `UNAVAILABLE`.
 */
export async function leaseClient(
  settings: AzureTablesSettings,
  table: string,
  runtime: Runtime = systemRuntime,
): Promise<ClientLease> {
  checkTableName(table)
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

/**
 * The caller's client, which is not ours to close. If it retries, then one with its pipeline, so its credential and its
 * policies, less the retries; a custom `httpClient` is beyond reach, and stays in use only if the caller has removed the
 * policy `defaultRetryPolicy` from the pipeline.
 */
export async function borrowClient(client: TableClient, table: string): Promise<ClientLease> {
  if (client.tableName !== table) {
    throw new KvError("BINDING_INVALID", `the client is for table ${client.tableName}, not for ${table}`, {
      operation: "open",
      backend: KIND,
    })
  }
  const release = () => {}
  const retries = client.pipeline.getOrderedPolicies().some(({ name }) => name === RETRIES)
  if (!retries) return { client, release }
  const sdk = await load("@azure/data-tables", () => import("@azure/data-tables"))
  const pipeline = client.pipeline.clone()
  pipeline.removePolicy({ name: RETRIES })
  const options = { pipeline, allowInsecureConnection: client.url.startsWith("http:") }
  return { client: new sdk.TableClient(client.url, table, options), release }
}

interface SharedClient {
  readonly client: Promise<TableClient>
  users: number
}

const clients = new Map<string, SharedClient>()

async function makeClient(target: Target, table: string, runtime: Runtime): Promise<TableClient> {
  const sdk = await load("@azure/data-tables", () => import("@azure/data-tables"))
  const { endpoint, signing } = target
  const options = { allowInsecureConnection: isEmulator(endpoint) }
  if (signing === "identity") {
    return tuned(new sdk.TableClient(endpoint, table, await signedInCredential(runtime), options))
  }
  if ("signature" in signing) {
    return tuned(new sdk.TableClient(endpoint, table, new sdk.AzureSASCredential(signing.signature), options))
  }
  const credential = new sdk.AzureNamedKeyCredential(signing.account, signing.key)
  return tuned(new sdk.TableClient(endpoint, table, credential, options))
}

/** They would hide that an earlier attempt may still land. */
const RETRIES = "defaultRetryPolicy"

/**
 * What the SDK does to every request that this backend has no use for: forms and redirects do not occur, and spans of their
 * own nobody asked for. Without them a read costs the client a tenth less.
 */
const NEEDLESS_POLICIES: readonly string[] = [
  RETRIES,
  "formDataPolicy",
  "multipartPolicy",
  "redirectPolicy",
  "tracingPolicy",
]

function tuned(client: TableClient): TableClient {
  for (const name of NEEDLESS_POLICIES) client.pipeline.removePolicy({ name })
  client.pipeline.addPolicy(
    {
      name: "agentPolicy",
      sendRequest(request, next) {
        // A proxy from the environment has been set as an agent by now.
        request.agent ??= agentFor(request.url)
        return next(request)
      },
    },
    { afterPolicies: ["proxyPolicy"] },
  )
  return client
}

/** What Azure asks a token for when it is to be used on storage. */
const STORAGE_SCOPE = "https://storage.azure.com/.default"
/** DefaultAzureCredential tries one way of signing in after the other, some of them by starting a program. */
const SIGN_IN_TIMEOUT_MS = 30_000

let signIn: Promise<DefaultAzureCredential> | undefined

/** One credential for all tables. A token is had at once, so that a missing sign-in fails the opening, and no request waits for it. */
async function signedInCredential(runtime: Runtime): Promise<DefaultAzureCredential> {
  const identity = await load("@azure/identity", () => import("@azure/identity"))
  signIn ??= (async () => {
    const credential = new identity.DefaultAzureCredential()
    await within(runtime, credential.getToken(STORAGE_SCOPE), SIGN_IN_TIMEOUT_MS, signInTooLong)
    return credential
  })()
  try {
    return await signIn
  } catch (error) {
    signIn = undefined
    throw toKvError(error, { operation: "open", effect: "read" })
  }
}

const signInTooLong = () =>
  new KvError("UNAVAILABLE", `signing in to Azure took more than ${SIGN_IN_TIMEOUT_MS} ms`, {
    operation: "open",
    backend: KIND,
  })

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
/** `keepAlive` probes idle connections as well, so that no load balancer on the way forgets them. */
const AGENT_OPTIONS = { keepAlive: true, maxSockets: MAX_SOCKETS }
let httpAgent: http.Agent | undefined
let httpsAgent: https.Agent | undefined

/** One agent for each protocol: it pools the connections to each host by themselves, and idle ones keep no process alive. */
function agentFor(url: string): http.Agent {
  if (url.startsWith("https:")) {
    httpsAgent ??= new https.Agent({ ...AGENT_OPTIONS, minVersion: "TLSv1.2" })
    return httpsAgent
  }
  httpAgent ??= new http.Agent(AGENT_OPTIONS)
  return httpAgent
}

function closeAgents(): void {
  httpAgent?.destroy()
  httpsAgent?.destroy()
  httpAgent = httpsAgent = undefined
}
