import type { Cluster, ClusterOptions, Redis, RedisOptions } from "ioredis"
import { KvError } from "./errors.ts"
import { connectionError, isFatal, KIND } from "./redis-errors.ts"
import type { ClientTiming, RedisSettings } from "./redis-settings.ts"
import { watchSilence } from "./redis-silence.ts"
import type { Timer } from "./runtime.ts"

export type RedisClient = Redis | Cluster
type IoRedis = Pick<typeof import("ioredis"), "Redis" | "Cluster">

/** A client that was made here. It reconnects by itself, and keeps no process alive but by {@link OwnClient.begin}. */
export interface OwnClient {
  readonly client: RedisClient
  /** Resolves once commands can be sent; rejects when the time is up, or when waiting cannot mend what is wrong. */
  ready(): Promise<void>
  /** Why there is no connection at the moment. */
  lastError(): unknown
  /** A command is under way: the process waits for it. */
  begin(): void
  end(): void
  disconnect(): void
}

/** The bound of the wait before the first attempt to reconnect, ms; it doubles with every further one. */
const BACKOFF_BASE_MS = 100
const BACKOFF_MAX_MS = 3_000
/** How long a connection may be idle before the first TCP keep-alive probe, ms: less than any load balancer's patience. */
const KEEP_ALIVE_MS = 10_000
/** How long a connection that is closed, with nothing under way, may take to say goodbye, ms. */
const DISCONNECT_MS = 100

export async function loadIoRedis(): Promise<IoRedis> {
  try {
    return await import("ioredis")
  } catch (cause) {
    throw new KvError("DEPENDENCY_MISSING", "Redis needs the package ioredis: npm install ioredis", {
      operation: "open",
      backend: KIND,
      cause,
    })
  }
}

/**
 * Makes a client that never sends a command twice and never keeps one back for later, so that the outcome of each is
 * known, or known to be unknown. Reconnecting is done here, not by ioredis, whose timers would keep a script alive for as
 * long as the server is away.
 */
export function makeClient(sdk: IoRedis, settings: RedisSettings, timing: ClientTiming): OwnClient {
  const { runtime, connectTimeoutMs } = timing
  const client = settings.cluster
    ? new sdk.Cluster([...settings.nodes], clusterOptions(settings, timing))
    : new sdk.Redis({ ...settings.nodes[0], ...nodeOptions(settings, timing), retryStrategy: null })

  let lastError: unknown
  let attempts = 0
  let reconnect: Timer | undefined
  let done = false
  const waiting = new Set<{ resolve(): void; reject(error: unknown): void }>()

  const fail = (error: unknown) => {
    for (const { reject } of waiting) reject(connectionError(error, "open"))
  }
  const note = (error: unknown) => {
    lastError = error
    if (!isFatal(error)) return
    fail(error)
    // ioredis would go on in database 0 if the one that was asked for could not be selected.
    if (client.status !== "ready") client.disconnect()
  }
  const connect = () => {
    silence.watch()
    client.connect().catch((error: unknown) => {
      lastError ??= error
    })
  }
  client.on("error", note)
  if (client.isCluster) client.on("node error", note)
  client.on("ready", () => {
    attempts = 0
    lastError = undefined
    for (const { resolve } of waiting) resolve()
  })
  client.on("end", () => {
    if (done) return
    const bound = Math.min(BACKOFF_MAX_MS, BACKOFF_BASE_MS * 2 ** attempts++)
    reconnect = runtime.setTimer(connect, runtime.random() * bound)
  })

  const processHold = setInterval(() => {}, 2 ** 30).unref()
  let underWay = 0
  const silence = watchSilence(timing, () =>
    underWay > 0 || client.status !== "ready" ? nodesOf(client) : [],
  )
  forEachNode(client, (node) => {
    node.on("connecting", () => setImmediate(() => node.stream?.unref()))
  })
  const gather = gatherWrites(() => nodesOf(client))
  const begin = () => {
    if (underWay++ === 0) processHold.ref()
    silence.watch()
    gather()
  }
  const end = () => {
    if (--underWay === 0) processHold.unref()
  }
  connect()

  return {
    client,
    async ready() {
      if (client.status === "ready") return
      begin()
      let timer: Timer | undefined
      let waiter: { resolve(): void; reject(error: unknown): void } | undefined
      try {
        await new Promise<void>((resolve, reject) => {
          waiter = { resolve, reject }
          waiting.add(waiter)
          timer = runtime.setTimer(() => reject(connectionError(lastError, "open")), connectTimeoutMs)
        })
      } finally {
        timer?.cancel()
        if (waiter !== undefined) waiting.delete(waiter)
        end()
      }
    },
    lastError: () => lastError,
    begin,
    end,
    disconnect() {
      done = true
      reconnect?.cancel()
      silence.stop()
      clearInterval(processHold)
      if (client.status !== "end") client.disconnect()
    },
  }
}

/** Lets the commands of one turn of the event loop leave together: a system call for each would cost more than all else. */
function gatherWrites(nodes: () => readonly Redis[]): () => void {
  let gathering = false
  return () => {
    if (gathering) return
    gathering = true
    const streams = nodes().flatMap(({ stream }) => stream ?? [])
    for (const stream of streams) stream.cork()
    process.nextTick(() => {
      gathering = false
      for (const stream of streams) stream.uncork()
    })
  }
}

function nodeOptions({ username, password, database, tls }: RedisSettings, { timeoutMs }: ClientTiming) {
  return {
    lazyConnect: true,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    maxRetriesPerRequest: 0,
    connectTimeout: timeoutMs,
    disconnectTimeout: DISCONNECT_MS,
    keepAlive: KEEP_ALIVE_MS,
    connectionName: "tiered-kv",
    disableClientInfo: true,
    // After a failover behind one address, the next connection may lead to the new primary.
    reconnectOnError: (error) => error.message.startsWith("READONLY"),
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(database === undefined ? {} : { db: database }),
    ...(tls === undefined || tls === false ? {} : { tls: tls === true ? {} : tls }),
  } satisfies RedisOptions
}

function clusterOptions(settings: RedisSettings, timing: ClientTiming) {
  return {
    redisOptions: nodeOptions(settings, timing),
    lazyConnect: true,
    clusterRetryStrategy: null,
    // The connection to a node is made when a command needs it, which then waits for it.
    enableOfflineQueue: true,
    slotsRefreshTimeout: timing.timeoutMs,
    // Never sent again after the connection was lost; after a refusal (MOVED, ASK, TRYAGAIN) it is.
    retryDelayOnFailover: 0,
    retryDelayOnClusterDown: 0,
    // The certificate of a node bears its name, not its address.
    ...(settings.tls ? { dnsLookup } : {}),
  } satisfies ClusterOptions
}

const dnsLookup: NonNullable<ClusterOptions["dnsLookup"]> = (host, callback) => callback(null, host)

/** The connections of a client: one, or one for each node of a cluster. */
export function nodesOf(client: RedisClient): Redis[] {
  return isCluster(client) ? client.nodes("all") : [client]
}

/** The connections that read and write: one, or one for each primary of a cluster. */
export function primaryNodes(client: RedisClient): Redis[] {
  return isCluster(client) ? client.nodes("master") : [client]
}

export function isClient(target: RedisClient | RedisSettings): target is RedisClient {
  return !("nodes" in target) || typeof target.nodes === "function"
}

export function isCluster(client: RedisClient): client is Cluster {
  return client.isCluster
}

function forEachNode(client: RedisClient, visit: (node: Redis) => void): void {
  if (isCluster(client)) client.on("+node", visit)
  else visit(client)
}
