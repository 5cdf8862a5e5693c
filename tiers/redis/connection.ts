import { KvError } from "../errors.ts"
import type { Runtime } from "../runtime.ts"
import { within } from "../util/deadline.ts"
import { OpenOnce } from "../util/open-once.ts"
import { type Lease, SharedResource } from "../util/shared-resource.ts"
import { isClient, isCluster, loadIoRedis, newClient, type RedisClient } from "./client.ts"
import type { ServerClock } from "./clock.ts"
import { type Connected, keepConnected } from "./connected.ts"
import { connectionError, KIND, type RedisRequest, toKvError } from "./errors.ts"
import type { ClientTiming, RedisSettings } from "./settings.ts"

/** The commands of one backend, from when it opens until it closes. */
export interface RedisConnection {
  /** Rejects with `DEPENDENCY_MISSING`, `BINDING_INVALID`, `STORE_NOT_FOUND`, `ACCESS_DENIED` or `UNAVAILABLE`. */
  open(): Promise<void>
  /** The client, for one command that it sends at once. Throws a `KvError` unless it is connected. */
  client(request: RedisRequest): RedisClient
  /** The client if it is connected, for questions during which the process may end. */
  idle(): RedisClient | undefined
  /** Call it before several commands are sent: they are written together. */
  gather(): void
  /** The answer to a command; failures are `KvError`s. Call it as soon as the command is sent. */
  answered<T>(request: RedisRequest, answer: Promise<T>): Promise<T>
  /** What is known of the clock of the server; `undefined` for a client of the caller. */
  clock(): ServerClock | undefined
  /** Asks which server this is, for the clock. Rejects as ioredis does. */
  identify(): Promise<void>
  /** Waits for the commands under way. */
  close(): Promise<void>
}

/** Over the caller's client, which stays open, or over one that all backends with the same settings share. */
export function redisConnection(target: RedisClient | RedisSettings, timing: ClientTiming): RedisConnection {
  const { runtime } = timing
  const connection = new OpenOnce(KIND, async () =>
    drained(await (isClient(target) ? borrow(target, timing) : share(target, timing))),
  )
  return {
    open: () => connection.open(),
    close: () => connection.close(),

    client({ operation, key }) {
      const { client, isReady, gather, underWay, lastError } = connection.use(operation, key)
      if (!isReady()) throw connectionError(lastError(), operation, key)
      // A lone command is written at once, which is cheaper than in a later step of the turn.
      if (underWay() > 0) gather()
      return client
    },

    idle: () => (connection.held?.isReady() ? connection.held.client : undefined),

    gather: () => connection.held?.gather(),

    async answered(request, answer) {
      const { begin, end, giveUp } = connection.use(request.operation, request.key)
      const { effect, timeoutMs } = request
      begin()
      try {
        return await within(runtime, answer, timeoutMs, () => {
          giveUp(effect, timeoutMs)
          return late(request)
        })
      } catch (error) {
        throw toKvError(error, request)
      } finally {
        end()
      }
    },

    clock: () => connection.held?.clock,
    identify: async () => connection.held?.identify?.(),
  }
}

/** A client in use. */
type UsedClient = Pick<
  Connected,
  "client" | "isReady" | "lastError" | "gather" | "underWay" | "begin" | "end" | "giveUp"
> &
  Partial<Pick<Connected, "clock" | "identify">>

/** The client with a close that waits for the commands under way. */
function drained({ resource, release }: Lease<UsedClient>): UsedClient & { close(): Promise<void> } {
  let underWay = 0
  let wake = () => {}
  return {
    ...resource,
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

function late({ operation, key, effect, timeoutMs }: RedisRequest): KvError {
  const code = effect === "write" ? "OUTCOME_UNKNOWN" : "TIMEOUT"
  return new KvError(code, `the server did not answer within ${Math.round(timeoutMs)} ms`, {
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
  { runtime, connectTimeoutMs, opensLazily }: ClientTiming,
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
    if (!isReady(client) && !opensLazily) {
      const ready = new Promise<void>((resolve) => client.once("ready", resolve))
      await within(runtime, ready, connectTimeoutMs, () => connectionError(lastError, "open"))
    }
  } finally {
    client.off("error", note)
  }
  const resource = {
    client,
    isReady: () => isReady(client),
    lastError: () => undefined,
    gather() {},
    underWay: () => 0,
    begin() {},
    end() {},
    giveUp() {},
  }
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
    refuse(
      'the ioredis client reads from replicas, which may be behind; set scaleReads to "master", or give settings with `replicas`',
    )
  }
}

/** The clients made here that are in use, by runtime. */
const sharedClients = new WeakMap<Runtime, SharedResource<Connected>>()

async function share(settings: RedisSettings, timing: ClientTiming): Promise<Lease<UsedClient>> {
  const { runtime } = timing
  const sdk = await loadIoRedis()
  const clients = sharedClients.get(runtime) ?? new SharedResource((own: Connected) => own.disconnect())
  sharedClients.set(runtime, clients)
  // JSON leaves functions out, which TLS options may hold, so such a client is not shared.
  const isOwn = typeof settings.tls === "object" || settings.credentials !== undefined
  const identity = isOwn ? runtime.id() : identityOf(settings, timing)
  const connect = () => keepConnected(newClient(sdk, settings, timing), timing, settings.credentials)
  const lease = await clients.acquire(identity, runtime, connect)
  try {
    await lease.resource.ready(timing.opensLazily)
    return lease
  } catch (error) {
    await lease.release()
    throw error
  }
}

function identityOf(
  settings: RedisSettings,
  { runtime: _, opensLazily: __, ...shared }: ClientTiming,
): string {
  return JSON.stringify([settings, shared])
}
