import { KvError } from "../errors.ts"
import type { Runtime } from "../runtime.ts"
import { within } from "../util/deadline.ts"
import { OpenOnce } from "../util/open-once.ts"
import { type Lease, SharedResource } from "../util/shared-resource.ts"
import { isClient, isCluster, loadIoRedis, newClient, type RedisClient } from "./client.ts"
import { type Connected, keepConnected } from "./connected.ts"
import { connectionError, KIND, type RedisRequest, toKvError } from "./errors.ts"
import type { ClientTiming, RedisSettings } from "./settings.ts"

/** The commands of one backend, from when it opens until it closes. */
export interface RedisConnection {
  /** Rejects with `DEPENDENCY_MISSING`, `BINDING_INVALID`, `STORE_NOT_FOUND`, `ACCESS_DENIED` or `UNAVAILABLE`. */
  open(): Promise<void>
  /** The client, for one command that it sends at once. Throws a `KvError` unless it is connected. */
  client(request: RedisRequest): RedisClient
  /** The answer to a command; failures are `KvError`s. Call it as soon as the command is sent. */
  answered<T>(request: RedisRequest, answer: Promise<T>): Promise<T>
  /** Waits for the commands under way. */
  close(): Promise<void>
}

/** Over the caller's client, which stays open, or over one that all backends with the same settings share. */
export function redisConnection(target: RedisClient | RedisSettings, timing: ClientTiming): RedisConnection {
  const { runtime, requestTimeoutMs } = timing
  const connection = new OpenOnce(KIND, async () =>
    drained(await (isClient(target) ? borrow(target, timing) : share(target, timing))),
  )
  return {
    open: () => connection.open(),
    close: () => connection.close(),

    client({ operation, key }) {
      const { client, gather, lastError } = connection.use(operation, key)
      if (!isReady(client)) throw connectionError(lastError(), operation, key)
      gather()
      return client
    },

    async answered(request, answer) {
      const { begin, end } = connection.use(request.operation, request.key)
      begin()
      try {
        return await within(runtime, answer, requestTimeoutMs, () => late(request, requestTimeoutMs))
      } catch (error) {
        throw toKvError(error, request)
      } finally {
        end()
      }
    },
  }
}

/** A client in use. */
type UsedClient = Pick<Connected, "client" | "lastError" | "gather" | "begin" | "end">

/** The client with a close that waits for the commands under way. */
function drained({ resource, release }: Lease<UsedClient>): UsedClient & { close(): Promise<void> } {
  let underWay = 0
  let wake = () => {}
  return {
    client: resource.client,
    lastError: resource.lastError,
    gather: resource.gather,
    begin() {
      underWay++
      resource.begin()
    },
    end() {
      resource.end()
      if (--underWay === 0) wake()
    },
    async close() {
      if (underWay > 0) {
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
      await release()
    },
  }
}

function late({ operation, key, effect }: RedisRequest, requestTimeoutMs: number): KvError {
  const code = effect === "write" ? "OUTCOME_UNKNOWN" : "TIMEOUT"
  return new KvError(code, `the server did not answer within ${requestTimeoutMs} ms`, {
    operation,
    backend: KIND,
    key,
  })
}

/** ioredis-mock has no status: it is always ready. */
function isReady(client: RedisClient): boolean {
  return client.status === "ready" || client.status === undefined
}

async function borrow(
  client: RedisClient,
  { runtime, connectTimeoutMs }: ClientTiming,
): Promise<Lease<UsedClient>> {
  checkBorrowed(client)
  let lastError: unknown
  const note = (error: unknown) => {
    lastError = error
  }
  client.on("error", note)
  try {
    if (client.status === "end") throw connectionError(new Error("the ioredis client is closed"), "open")
    if (client.status === "wait") client.connect().catch(note)
    if (!isReady(client)) {
      const ready = new Promise<void>((resolve) => client.once("ready", resolve))
      await within(runtime, ready, connectTimeoutMs, () => connectionError(lastError, "open"))
    }
  } finally {
    client.off("error", note)
  }
  const resource = { client, lastError: () => undefined, gather() {}, begin() {}, end() {} }
  return { resource, async release() {} }
}

/** Refuses options of a client with which a backend cannot keep its contract. */
function checkBorrowed(client: RedisClient): void {
  const refuse = (message: string) => {
    throw new KvError("BINDING_INVALID", message, { operation: "open", backend: KIND })
  }
  const { keyPrefix } = client.options
  if (keyPrefix) refuse("the ioredis client has a keyPrefix, which scans cannot see; give `prefix` instead")
  if (isCluster(client) && (client.options.scaleReads ?? "master") !== "master") {
    refuse('the ioredis client reads from replicas, which may be behind; set scaleReads to "master"')
  }
}

/** The clients made here that are in use, by runtime. */
const sharedClients = new WeakMap<Runtime, SharedResource<Connected>>()

async function share(settings: RedisSettings, timing: ClientTiming): Promise<Lease<UsedClient>> {
  const { runtime } = timing
  const sdk = await loadIoRedis()
  const clients = sharedClients.get(runtime) ?? new SharedResource((own: Connected) => own.disconnect())
  sharedClients.set(runtime, clients)
  // TLS options may hold functions, which JSON leaves out, so such a client is not shared.
  const identity = typeof settings.tls === "object" ? runtime.id() : identityOf(settings, timing)
  const connect = () => keepConnected(newClient(sdk, settings, timing), timing)
  const lease = await clients.acquire(identity, runtime, connect)
  try {
    await lease.resource.ready()
    return lease
  } catch (error) {
    await lease.release()
    throw error
  }
}

function identityOf(settings: RedisSettings, { requestTimeoutMs, connectTimeoutMs }: ClientTiming): string {
  return JSON.stringify([settings, requestTimeoutMs, connectTimeoutMs])
}
