import { Agent } from "node:http"
import { Agent as HttpsAgent } from "node:https"
import type { TableClient } from "@azure/data-tables"
import type { DefaultAzureCredential } from "@azure/identity"
import { KvError } from "../errors.ts"
import { DEFAULTS } from "../limits.ts"
import { type Runtime, systemRuntime } from "../runtime.ts"
import { within } from "../util/deadline.ts"
import { type Lease, SharedResource } from "../util/shared-resource.ts"
import { KIND, toKvError } from "./errors.ts"
import { checkTablesVersion, loadIdentity, loadTablesSdk } from "./sdk.ts"
import {
  type AzureTablesSettings,
  checkTableName,
  isEmulator,
  resolveTarget,
  type Target,
} from "./settings.ts"

/** A client made here. */
interface OwnClient {
  readonly client: TableClient
  /** Releases what the client shares with others. */
  close(): Promise<void>
}

/** The clients made here that are in use, by account and table. */
const clients = new SharedResource<OwnClient>((own) => own.close())

/**
 * Makes a client for a table that sends each request once, over connections that are kept alive. Rejects with `DEPENDENCY_MISSING`,
 * `BINDING_INVALID`, `ACCESS_DENIED` or `UNAVAILABLE`.
 */
export async function leaseClient(
  settings: AzureTablesSettings,
  table: string,
  runtime: Runtime = systemRuntime,
): Promise<Lease<TableClient>> {
  checkTableName(table)
  const target = resolveTarget(settings, process.env)
  const identity = JSON.stringify([target, table])
  const own = await clients.acquire(identity, runtime, () => openClient(target, table, runtime))
  return { resource: own.resource.client, release: own.release }
}

/**
 * The client of the caller, which the backend does not close. If it retries, a client with its pipeline, that is with its credential and
 * policies, but without retries. That client cannot take over a custom `httpClient`: to keep one, the caller has to remove the policy
 * `defaultRetryPolicy` from the pipeline.
 */
export async function borrowClient(client: TableClient, table: string): Promise<Lease<TableClient>> {
  if (client.tableName !== table) {
    throw new KvError("BINDING_INVALID", `the client is for table ${client.tableName}, not for ${table}`, {
      operation: "open",
      backend: KIND,
    })
  }
  checkTablesVersion()
  const release = async () => {}
  const retries = client.pipeline.getOrderedPolicies().some(({ name }) => name === RETRIES)
  if (!retries) return { resource: client, release }
  const sdk = await loadTablesSdk()
  const pipeline = client.pipeline.clone()
  pipeline.removePolicy({ name: RETRIES })
  const options = { pipeline, allowInsecureConnection: client.url.startsWith("http:") }
  return { resource: new sdk.TableClient(client.url, table, options), release }
}

async function openClient(target: Target, table: string, runtime: Runtime): Promise<OwnClient> {
  const leases: Lease<unknown>[] = []
  const close = async () => {
    for (const { release } of leases) await release()
  }
  try {
    const { protocol } = new URL(target.endpoint)
    const agent = await agents.acquire(protocol, runtime, () => newAgent(protocol))
    leases.push(agent)
    const sdk = await loadTablesSdk()
    const { endpoint, signing } = target
    const options = { allowInsecureConnection: isEmulator(endpoint) }
    const tuned = (client: TableClient) => ({ client: tune(client, agent.resource), close })
    if (signing === "identity") {
      const credential = await credentials.acquire(STORAGE_SCOPE, runtime, () => signIn(runtime))
      leases.push(credential)
      return tuned(new sdk.TableClient(endpoint, table, credential.resource, options))
    }
    if ("signature" in signing) {
      const credential = new sdk.AzureSASCredential(signing.signature)
      return tuned(new sdk.TableClient(endpoint, table, credential, options))
    }
    const credential = new sdk.AzureNamedKeyCredential(signing.account, signing.key)
    return tuned(new sdk.TableClient(endpoint, table, credential, options))
  } catch (error) {
    await close()
    throw error
  }
}

/** The policies that retry. They would hide that the service may still apply an earlier attempt. */
const RETRIES = "defaultRetryPolicy"

/**
 * The policies that this backend does not need: it sends no forms, gets no redirects, and has its own spans. Without them a read takes a
 * tenth less CPU.
 */
const NEEDLESS_POLICIES: readonly string[] = [
  RETRIES,
  "formDataPolicy",
  "multipartPolicy",
  "redirectPolicy",
  "tracingPolicy",
]

function tune(client: TableClient, agent: Agent): TableClient {
  for (const name of NEEDLESS_POLICIES) client.pipeline.removePolicy({ name })
  client.pipeline.addPolicy(
    {
      name: "agentPolicy",
      sendRequest(request, next) {
        // An earlier policy has set the agent if the environment names a proxy.
        request.agent ??= agent
        return next(request)
      },
    },
    { afterPolicies: ["proxyPolicy"] },
  )
  return client
}

/** The scope of tokens for Azure Storage. */
const STORAGE_SCOPE = "https://storage.azure.com/.default"
/** Longest time of a sign-in, ms. `DefaultAzureCredential` tries several ways, some of which start a program. */
const SIGN_IN_TIMEOUT_MS = 30_000

/** The credential, shared by all clients. */
const credentials = new SharedResource<DefaultAzureCredential>(() => {})

/** Gets a token when the backend opens, so that a missing sign-in fails `open`, and no request waits for a token. */
async function signIn(runtime: Runtime): Promise<DefaultAzureCredential> {
  const identity = await loadIdentity()
  try {
    const credential = new identity.DefaultAzureCredential()
    await within(runtime, credential.getToken(STORAGE_SCOPE), SIGN_IN_TIMEOUT_MS, signInTooLong)
    return credential
  } catch (error) {
    throw toKvError(error, { operation: "open", effect: "read" })
  }
}

const signInTooLong = () =>
  new KvError("UNAVAILABLE", `signing in to Azure took more than ${SIGN_IN_TIMEOUT_MS} ms`, {
    operation: "open",
    backend: KIND,
  })

/**
 * Maximum number of connections to one host: as many as the requests that a store sends at once. A request that waits for a connection
 * cannot be told from one that was sent, so a write that ends while it waits would be in doubt.
 */
const MAX_SOCKETS = DEFAULTS.maxConcurrency
/** `keepAlive` also sends probes on idle connections, so that a load balancer does not drop them. */
const AGENT_OPTIONS = { keepAlive: true, maxSockets: MAX_SOCKETS }

/** One agent for each protocol. It has a pool for each host; idle connections do not keep the process alive. */
const agents = new SharedResource<Agent>((agent) => agent.destroy())

function newAgent(protocol: string): Agent {
  return protocol === "https:"
    ? new HttpsAgent({ ...AGENT_OPTIONS, minVersion: "TLSv1.2" })
    : new Agent(AGENT_OPTIONS)
}
