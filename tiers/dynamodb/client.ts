import type {
  $Command,
  DynamoDBClient,
  DynamoDBClientResolvedConfig,
  ServiceInputTypes,
  ServiceOutputTypes,
} from "@aws-sdk/client-dynamodb"
import { KvError } from "../errors.ts"
import type { Runtime } from "../runtime.ts"
import { type Checks, checkAllOptions, isObject, optional, text, withTexts } from "../util/checks.ts"
import { SharedResource } from "../util/shared-resource.ts"
import { KIND } from "./errors.ts"

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

/** Throws `INVALID_OPTION` unless it is a client, or settings that are all known and legal. */
export function checkTarget(target: DynamoDBClient | DynamoDbSettings): void {
  if (!isClient(target)) checkAllOptions(target, SETTINGS, "open")
}

export interface DynamoDbConnection {
  readonly sdk: DynamoDbSdk
  /** Sends a command once, without retries, until `cancel` is aborted. */
  send<Input extends ServiceInputTypes, Output extends ServiceOutputTypes>(
    command: DynamoDbCommand<Input, Output>,
    cancel: AbortSignal,
  ): Promise<Output>
  /** Closes the client if it was made here and has no other user. */
  close(): Promise<void>
}

export type DynamoDbCommand<Input extends ServiceInputTypes, Output extends ServiceOutputTypes> = $Command<
  Input,
  Output,
  DynamoDBClientResolvedConfig,
  ServiceInputTypes,
  ServiceOutputTypes
>

/**
 * Connects over the client of the caller, or over a client that all backends of this process with the same settings share. Rejects with
 * `DEPENDENCY_MISSING` or `BINDING_INVALID`; sends nothing.
 */
export async function connectDynamodb(
  target: DynamoDBClient | DynamoDbSettings,
  runtime: Runtime,
): Promise<DynamoDbConnection> {
  const sdk = await loadSdk()
  return isClient(target) ? overClient(sdk, target) : overSharedClient(sdk, target, runtime)
}

async function loadSdk(): Promise<DynamoDbSdk> {
  try {
    return await import("@aws-sdk/client-dynamodb")
  } catch (cause) {
    throw new KvError(
      "DEPENDENCY_MISSING",
      "DynamoDB needs the package @aws-sdk/client-dynamodb, which could not be loaded: npm install @aws-sdk/client-dynamodb",
      { operation: "open", backend: KIND, cause },
    )
  }
}

function isClient(target: unknown): target is DynamoDBClient {
  return isObject(target) && "send" in target
}

/**
 * Uses the connections, credentials and middleware of the caller's client, but not its retries: a retry would hide that an earlier attempt
 * got no answer.
 */
function overClient(sdk: DynamoDbSdk, client: DynamoDBClient): DynamoDbConnection {
  const middlewareStack = client.middlewareStack.clone()
  middlewareStack.add((next) => next, {
    name: "retryMiddleware",
    step: "finalizeRequest",
    priority: "high",
    override: true,
  })
  const once: DynamoDBClient = Object.create(client, { middlewareStack: { value: middlewareStack } })
  return { sdk, send: (command, abortSignal) => once.send(command, { abortSignal }), async close() {} }
}

/** A client made here. */
interface OwnClient {
  readonly client: DynamoDBClient
  /** The input of each request under way → what cancels the request. */
  readonly cancels: WeakMap<object, AbortSignal>
}

/** The clients made here that are in use, by their settings. */
const sharedClients = new SharedResource<OwnClient>(({ client }) => client.destroy())

/** Longest time until a new connection is established, ms. */
const CONNECT_TIMEOUT_MS = 2_000

async function overSharedClient(
  sdk: DynamoDbSdk,
  settings: DynamoDbSettings,
  runtime: Runtime,
): Promise<DynamoDbConnection> {
  const { region, endpoint, credentials } = settings
  if (endpoint !== undefined && !(URL.canParse(endpoint) && /^https?:/i.test(endpoint))) {
    throw invalid("the endpoint of DynamoDB is not an http or https URL; give one as http://localhost:8000")
  }
  const identity = JSON.stringify([region, endpoint, credentials])
  const open = () => openClient(sdk, settings)
  const { resource, release } = await sharedClients.acquire(identity, runtime, open)
  const { client, cancels } = resource
  return {
    sdk,
    send(command, cancel) {
      cancels.set(command.input, cancel)
      return client.send(command)
    },
    close: release,
  }
}

async function openClient(sdk: DynamoDbSdk, settings: DynamoDbSettings): Promise<OwnClient> {
  const own = makeClient(sdk, settings)
  const { client } = own
  try {
    await client.config.region()
    return own
  } catch (cause) {
    client.destroy()
    throw invalid(
      "no AWS region is configured, or not a valid one; give `region`, as in dynamodb://eu-central-1/TABLE, or set AWS_REGION",
      cause,
    )
  }
}

function makeClient(sdk: DynamoDbSdk, { region, endpoint, credentials }: DynamoDbSettings): OwnClient {
  const client = new sdk.DynamoDBClient({
    ...(region === undefined ? {} : { region }),
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(credentials === undefined ? {} : { credentials }),
    maxAttempts: 1,
    // The SDK then builds its middleware chain once, not for each request: that saves a fifth of the CPU of a request.
    cacheMiddleware: true,
    // No `requestTimeout`: it would end at the headers of an answer. Each request has an abort signal for its whole time.
    requestHandler: { connectionTimeout: CONNECT_TIMEOUT_MS },
  })
  // It copies requests and answers for a logger even without one: a fifth of the CPU of a page of rows.
  client.middlewareStack.remove("loggerMiddleware")
  const cancels = new WeakMap<object, AbortSignal>()
  // An option of `client.send` would do, but with options the SDK builds its middleware chain anew.
  client.middlewareStack.add(
    () => (args) => {
      const abortSignal = cancels.get(args.input)
      return client.config.requestHandler.handle(args.request, { abortSignal })
    },
    { name: "cancelMiddleware", step: "deserialize", priority: "low" },
  )
  return { client, cancels }
}

function invalid(message: string, cause?: unknown): KvError {
  return new KvError("BINDING_INVALID", message, { operation: "open", backend: KIND, cause })
}
