import type { ConnectionOptions } from "node:tls"
import type { Cluster, ClusterOptions, Redis, RedisOptions } from "ioredis"
import { isObject } from "../util/checks.ts"
import { dependencyMissing } from "../util/packages.ts"
import { chooseNode } from "./caught-up.ts"
import { KIND } from "./errors.ts"
import {
  type ClientTiming,
  DEFAULT_SENTINEL_PORT,
  type RedisHost,
  type RedisNode,
  type RedisSentinel,
  type RedisSettings,
} from "./settings.ts"

export type RedisClient = Redis | Cluster
type IoRedis = Pick<typeof import("ioredis"), "Redis" | "Cluster" | "Command">

/** Idle time of a connection before the first TCP keep-alive probe, ms: shorter than the idle time-out of load balancers. */
const KEEP_ALIVE_MS = 10_000
/** Longest time for the first connection to a server, and for each answer of its handshake, ms. */
export const CONNECT_PATIENCE_MS = 1_500
/** Longest wait before a server that was loading its data is asked again, ms. ioredis would wait as long as the server expects to load. */
const LOADING_RETRY_MS = 500
/** Longest time of a graceful close of an idle connection, ms. */
const DISCONNECT_MS = 100

export async function loadIoRedis(): Promise<IoRedis> {
  try {
    return await import("ioredis")
  } catch (cause) {
    throw dependencyMissing(KIND, "Redis", "ioredis", cause)
  }
}

/**
 * Makes a client, not yet connected, that sends no command twice and queues no command while it is disconnected, so that a command whose
 * outcome is unknown is known to be one. It does not reconnect; `keepConnected` does that.
 */
export function newClient(sdk: IoRedis, settings: RedisSettings, timing: ClientTiming): RedisClient {
  const { nodes, sentinel, cluster } = settings
  if (cluster) {
    // Here, and not in `clusterOptions`, because ioredis takes any function.
    const scaleReads = timing.role === "replica" ? chooseNode : "master"
    return new sdk.Cluster(hostsOf(nodes), { ...clusterOptions(settings, timing), scaleReads })
  }
  const options = { ...nodeOptions(settings, timing), retryStrategy: null }
  if (sentinel === undefined) return new sdk.Redis({ ...nodes[0], ...options })
  return new sdk.Redis({ ...options, ...sentinelOptions(sentinel, settings, timing, options) })
}

function hostsOf(nodes: readonly RedisNode[]): RedisHost[] {
  return nodes.flatMap((node) => ("path" in node ? [] : [node]))
}

function sentinelOptions(
  { name, username, password }: RedisSentinel,
  { nodes }: RedisSettings,
  { role }: ClientTiming,
  { connectTimeout, tls }: { connectTimeout: number; tls?: ConnectionOptions },
) {
  return {
    sentinels: hostsOf(nodes).map(({ host, port = DEFAULT_SENTINEL_PORT }) => ({ host, port })),
    name,
    role: role === "replica" ? "slave" : "master",
    sentinelRetryStrategy: () => null,
    sentinelCommandTimeout: connectTimeout,
    ...(username === undefined ? {} : { sentinelUsername: username }),
    ...(password === undefined ? {} : { sentinelPassword: password }),
    ...(tls === undefined ? {} : { sentinelTLS: tls, enableTLSForSentinelMode: true }),
  } satisfies RedisOptions
}

function nodeOptions(
  { username, password, database, tls }: RedisSettings,
  { requestTimeoutMs }: ClientTiming,
) {
  return {
    lazyConnect: true,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    maxRetriesPerRequest: 0,
    connectTimeout: Math.min(requestTimeoutMs, CONNECT_PATIENCE_MS),
    disconnectTimeout: DISCONNECT_MS,
    maxLoadingRetryTime: LOADING_RETRY_MS,
    keepAlive: KEEP_ALIVE_MS,
    connectionName: "tiered-kv",
    disableClientInfo: true,
    // After a failover behind one address, a new connection may reach the new primary. Redis 5 and 6 put the code of an error in a
    // script behind other words.
    reconnectOnError: (error) => /\bREADONLY\b/.test(error.message),
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
    // ioredis connects to a node when a command needs it; the command waits for the connection.
    enableOfflineQueue: true,
    slotsRefreshTimeout: timing.requestTimeoutMs,
    // A command is not sent again after a lost connection, but is after a refusal (MOVED, ASK, TRYAGAIN).
    retryDelayOnFailover: 0,
    retryDelayOnClusterDown: 0,
    // The certificate of a node has its name, not its address.
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

/** The connections that lead to replicas, of a client for replicas. */
export function replicaNodes(client: RedisClient): Redis[] {
  return isCluster(client) ? client.nodes("slave") : [client]
}

export function isClient(target: unknown): target is RedisClient {
  return isObject(target) && "evalsha" in target
}

export function isCluster(client: RedisClient): client is Cluster {
  return client.isCluster === true
}
