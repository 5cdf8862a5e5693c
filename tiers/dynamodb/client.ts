import type { DynamoDBClient } from "@aws-sdk/client-dynamodb"
import { KvError } from "../errors.ts"
import { DEFAULTS } from "../limits.ts"
import type { Runtime } from "../runtime.ts"
import { type Checks, checkAllOptions, isObject, optional, text, withTexts } from "../util/checks.ts"
import { dependencyMissing } from "../util/packages.ts"
import { SharedResource } from "../util/shared-resource.ts"
import { KIND } from "./errors.ts"
import { addExchanges } from "./exchange.ts"

export type DynamoDbSdk = typeof import("@aws-sdk/client-dynamodb")

/** Location and credentials. Settings that are left out come from the AWS default chain. */
export interface DynamoDbSettings {
  /** @default `AWS_REGION`, else the region of the AWS profile */
  region?: string
  /** URL of an emulator or a VPC endpoint. @default `AWS_ENDPOINT_URL_DYNAMODB`, else AWS's own for the region */
  endpoint?: string
  /** @default the SDK's chain: environment, profile, SSO, web identity, container, instance */
  credentials?: { accessKeyId: string; secretAccessKey: string; sessionToken?: string }
}

const SETTINGS: Checks = {
  region: optional(text("region")),
  endpoint: optional(text("endpoint")),
  credentials: optional(withTexts("credentials", ["accessKeyId", "secretAccessKey"])),
}

/** Throws `INVALID_OPTION` unless `target` is a client, or settings that are all known and legal. */
export function checkTarget(target: DynamoDBClient | DynamoDbSettings): void {
  if (!isClient(target)) checkAllOptions(target, SETTINGS, "open")
}

/** Where requests go. */
interface Address {
  readonly region: string
  /** Name and port; absent if it is AWS's own for the region. */
  readonly host: string | undefined
}

export interface DynamoDbConnection {
  readonly sdk: DynamoDbSdk
  /** Sends each command once, without retries. */
  readonly client: DynamoDBClient
  readonly address: Address
  /** The options to send a command with, whose exchange has begun: see `beginExchange`. */
  optionsOf(cancel: AbortSignal): { abortSignal: AbortSignal } | undefined
  /** Closes the client if it was made here and has no other user. */
  close(): Promise<void>
}

/**
 * Connects over the client of the caller, or over a client that all backends of this process with the same settings share. Rejects with
 * `DEPENDENCY_MISSING` or `BINDING_INVALID`; sends nothing.
 */
export async function connectDynamodb(
  target: DynamoDBClient | DynamoDbSettings,
  runtime: Runtime,
): Promise<DynamoDbConnection> {
  const sdk = await loadSdk()
  const connection = await (isClient(target)
    ? overClient(sdk, target)
    : overSharedClient(sdk, target, runtime))
  return { ...connection, address: await addressOf(connection.client) }
}

async function loadSdk(): Promise<DynamoDbSdk> {
  try {
    return await import("@aws-sdk/client-dynamodb")
  } catch (cause) {
    throw dependencyMissing(KIND, "DynamoDB", "@aws-sdk/client-dynamodb", cause)
  }
}

/** Where requests go. Without an endpoint of the client, the variables of the environment that the SDK reads. */
async function addressOf({ config }: DynamoDBClient): Promise<Address> {
  const { AWS_ENDPOINT_URL_DYNAMODB: own, AWS_ENDPOINT_URL: general } = process.env
  const [region, endpoint] = await Promise.all([config.region(), config.endpoint?.()])
  if (endpoint === undefined) return { region, host: hostOf(own || general) }
  const { hostname, port, protocol } = endpoint
  return { region, host: hostOf(`${protocol}//${hostname}${port === undefined ? "" : `:${port}`}`) }
}

function hostOf(url: string | undefined): string | undefined {
  return url !== undefined && URL.canParse(url) ? new URL(url).host : undefined
}

function isClient(target: unknown): target is DynamoDBClient {
  return isObject(target) && "send" in target
}

/**
 * Uses the connections, credentials and middleware of the caller's client, but not its retries: a retry would hide that an earlier attempt
 * got no answer.
 */
function overClient(sdk: DynamoDbSdk, client: DynamoDBClient): Omit<DynamoDbConnection, "address"> {
  const middlewareStack = client.middlewareStack.clone()
  middlewareStack.add((next) => next, {
    name: "retryMiddleware",
    step: "finalizeRequest",
    priority: "high",
    override: true,
  })
  const once: DynamoDBClient = Object.create(client, {
    middlewareStack: { value: middlewareStack },
  })
  addExchanges(once)
  // With options the SDK does not use the middleware chains that it may have built for `client`.
  return { sdk, client: once, optionsOf: (abortSignal) => ({ abortSignal }), async close() {} }
}

/** The clients made here that are in use, by their settings. */
const sharedClients = new SharedResource<DynamoDBClient>((client) => client.destroy())

/** Longest time until a new connection is established, ms. */
const CONNECT_TIMEOUT_MS = 2_000
/**
 * Maximum number of connections of a client: as many as the requests that a store sends at once. A request that waits for a connection
 * cannot be told from one that was sent, so a write that ends while it waits would be in doubt.
 */
const MAX_SOCKETS = DEFAULTS.maxConcurrency

async function overSharedClient(
  sdk: DynamoDbSdk,
  settings: DynamoDbSettings,
  runtime: Runtime,
): Promise<Omit<DynamoDbConnection, "address">> {
  const { region, endpoint, credentials } = settings
  if (endpoint !== undefined && !(URL.canParse(endpoint) && /^https?:/i.test(endpoint))) {
    throw invalid("the endpoint of DynamoDB is not an http or https URL; give one as http://localhost:8000")
  }
  const identity = JSON.stringify([region, endpoint, credentials])
  const open = () => openClient(sdk, settings)
  const { resource: client, release } = await sharedClients.acquire(identity, runtime, open)
  // Without options the SDK uses the middleware chain that it has built. To build it takes a quarter of the CPU of a request.
  return { sdk, client, optionsOf: () => undefined, close: release }
}

async function openClient(sdk: DynamoDbSdk, settings: DynamoDbSettings): Promise<DynamoDBClient> {
  const client = makeClient(sdk, settings)
  try {
    await client.config.region()
    return client
  } catch (cause) {
    client.destroy()
    throw invalid(
      "no AWS region is configured, or not a valid one; give `region`, as in dynamodb://eu-central-1/TABLE, or set AWS_REGION",
      cause,
    )
  }
}

function makeClient(sdk: DynamoDbSdk, { region, endpoint, credentials }: DynamoDbSettings): DynamoDBClient {
  const client = new sdk.DynamoDBClient({
    ...(region === undefined ? {} : { region }),
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(credentials === undefined ? {} : { credentials }),
    maxAttempts: 1,
    // The SDK then builds its middleware chain once instead of for each request, which saves a fifth of the CPU of a request.
    cacheMiddleware: true,
    // There is no `requestTimeout`, because it ends at the headers of an answer. Each request has an abort signal instead.
    requestHandler: {
      connectionTimeout: CONNECT_TIMEOUT_MS,
      httpAgent: { maxSockets: MAX_SOCKETS },
      httpsAgent: { maxSockets: MAX_SOCKETS },
    },
  })
  // This middleware copies requests and answers even without a logger, which takes a fifth of the CPU of a page of rows.
  client.middlewareStack.remove("loggerMiddleware")
  addExchanges(client)
  return client
}

function invalid(message: string, cause?: unknown): KvError {
  return new KvError("BINDING_INVALID", message, { operation: "open", backend: KIND, cause })
}
