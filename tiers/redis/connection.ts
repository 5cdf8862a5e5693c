import { KvError } from "../errors.ts"
import type { Runtime } from "../runtime.ts"
import { within } from "../util/deadline.ts"
import { isClient, isCluster, loadIoRedis, newClient, type RedisClient } from "./client.ts"
import { type Connected, keepConnected } from "./connected.ts"
import { connectionError, KIND, type RedisCall, toKvError } from "./errors.ts"
import type { ClientTiming, RedisSettings } from "./settings.ts"

/** The commands of one backend, from when it opens until it closes. */
export interface RedisConnection {
  /** Rejects with `DEPENDENCY_MISSING`, `BINDING_INVALID`, `STORE_NOT_FOUND`, `ACCESS_DENIED` or `UNAVAILABLE`. */
  open(): Promise<void>
  /** Sends at once or not at all; whatever breaks it leaves as a `KvError`. */
  run<T>(call: RedisCall, send: (client: RedisClient) => Promise<T>): Promise<T>
  /** Waits for what is under way. */
  close(): Promise<void>
}

/** A client, and what comes with using it. */
interface Lease {
  readonly client: RedisClient
  lastError(): unknown
  begin(): void
  end(): void
  release(): void
}

/** Over the caller's client, which stays open, or over one that all backends with the same settings share. */
export function redisConnection(target: RedisClient | RedisSettings, timing: ClientTiming): RedisConnection {
  const { runtime, timeoutMs } = timing
  let opening: Promise<Lease> | undefined
  let lease: Lease | undefined
  let underWay = 0
  let wake = () => {}
  let closing = Promise.resolve()

  async function send<T>({ client, begin, end, lastError }: Lease, call: RedisCall, ask: Ask<T>): Promise<T> {
    if (!isReady(client)) throw connectionError(lastError(), call.operation, call.key)
    begin()
    underWay++
    try {
      return await within(runtime, ask(client), timeoutMs, () => late(call, timeoutMs))
    } catch (error) {
      throw toKvError(error, call)
    } finally {
      end()
      if (--underWay === 0) wake()
    }
  }

  async function finish(opened: Promise<Lease>): Promise<void> {
    if (underWay > 0) {
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    }
    const made = await opened.catch(() => undefined)
    made?.release()
  }

  return {
    async open() {
      opening ??= isClient(target) ? borrow(target, timing) : share(target, timing)
      const opened = opening
      try {
        const made = await opened
        if (opening === opened) lease = made
      } catch (error) {
        if (opening === opened) opening = undefined
        throw error
      }
    },

    run(call, ask) {
      if (lease !== undefined) return send(lease, call, ask)
      const { operation, key } = call
      return Promise.reject(
        new KvError("CLOSED", "the backend is not open", { operation, backend: KIND, key }),
      )
    },

    async close() {
      const opened = opening
      if (opened !== undefined) {
        opening = undefined
        lease = undefined
        closing = finish(opened)
      }
      await closing
    },
  }
}

type Ask<T> = (client: RedisClient) => Promise<T>

function late({ operation, key, effect }: RedisCall, timeoutMs: number): KvError {
  const code = effect === "write" ? "OUTCOME_UNKNOWN" : "TIMEOUT"
  return new KvError(code, `the server did not answer within ${timeoutMs} ms`, {
    operation,
    backend: KIND,
    key,
  })
}

/** ioredis-mock has no status: it is always ready. */
function isReady(client: RedisClient): boolean {
  return client.status === "ready" || client.status === undefined
}

async function borrow(client: RedisClient, { runtime, connectTimeoutMs }: ClientTiming): Promise<Lease> {
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
  return { client, lastError: () => undefined, begin() {}, end() {}, release() {} }
}

/** Refuses options that the contract of a backend cannot be kept under. */
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

interface SharedClient {
  own: Connected
  users: number
}

/** The clients made here that are in use, by runtime and settings. */
const sharedClients = new WeakMap<Runtime, Map<string, SharedClient>>()

async function share(settings: RedisSettings, timing: ClientTiming): Promise<Lease> {
  const sdk = await loadIoRedis()
  const clients = sharedClients.get(timing.runtime) ?? new Map<string, SharedClient>()
  sharedClients.set(timing.runtime, clients)
  // Options of TLS may hold functions, of which JSON would know nothing: such a client is not shared.
  const identity = typeof settings.tls === "object" ? timing.runtime.id() : identityOf(settings, timing)
  const shared = clients.get(identity) ?? {
    own: keepConnected(newClient(sdk, settings, timing), timing),
    users: 0,
  }
  clients.set(identity, shared)
  shared.users++
  let released = false
  const release = () => {
    if (released) return
    released = true
    if (--shared.users > 0) return
    clients.delete(identity)
    shared.own.disconnect()
  }
  try {
    await shared.own.ready()
  } catch (error) {
    release()
    throw error
  }
  const { client, lastError, begin, end } = shared.own
  return { client, lastError, begin, end, release }
}

function identityOf(settings: RedisSettings, { timeoutMs, connectTimeoutMs }: ClientTiming): string {
  return JSON.stringify([settings, timeoutMs, connectTimeoutMs])
}
