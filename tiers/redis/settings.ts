import type { ConnectionOptions } from "node:tls"
import { KvError } from "../errors.ts"
import type { Runtime } from "../runtime.ts"
import {
  bool,
  type Checks,
  checkAllOptions,
  describe,
  group,
  invalidOption,
  isObject,
  optional,
  rule,
  text,
  wholeNumber,
} from "../util/checks.ts"

/** Location of the server, and credentials. */
export interface RedisSettings {
  /** One server; some nodes of a cluster, from which the others are discovered; or, with `sentinel`, some sentinels. */
  nodes: readonly RedisNode[]
  /** Whether the nodes belong to a cluster. @default `true` if there are several, and no `sentinel` */
  cluster?: boolean
  /** The nodes are sentinels. They are asked at each connect which server is the primary. */
  sentinel?: RedisSentinel
  /** Replicas for cached reads. @default none: all reads go to primaries */
  replicas?: RedisReplicaSettings
  username?: string
  password?: string
  /**
   * Gives the credentials, instead of `username` and `password`: for tokens that expire, such as those of IAM. It is called before each connect,
   * of a cluster before the first one and after each lost connection, and has `connectTimeout` of the client to answer, 1.5 s at most. If
   * they have an `expiresAt`, it is called again after three quarters of their time, and open connections sign in anew with `AUTH`.
   */
  credentials?: () => RedisCredentials | Promise<RedisCredentials>
  /** Number of the database; a cluster has only 0. @default 0 */
  database?: number
  /** Whether to use TLS, or options for it: certificates that the system does not trust, a server name. @default false */
  tls?: boolean | ConnectionOptions
}

export type RedisNode = RedisHost | RedisSocket

export interface RedisHost {
  host: string
  /** @default 6379, of a sentinel 26379 */
  port?: number
}

/** A Unix socket. */
export interface RedisSocket {
  /** An absolute path. */
  path: string
}

export interface RedisSentinel {
  /** The name that the sentinels have for the primary. */
  name: string
  /** Credentials for the sentinels; those of the servers are beside `nodes`. */
  username?: string
  password?: string
}

/**
 * Replicas that answer cached reads, with the credentials, the database and the TLS of the primary. Strong reads, conditions, scans, `exists` and
 * second attempts ask the primary; so does a read of a key that a replica does not have, and of one that this process wrote or showed after
 * the last moment for which a replica is known to be complete.
 *
 * So a process goes on to read its own writes, and reads never go back. That an entry is the older of the two by up to `maxLagMs` counts
 * against its time to live in L1: the bound of staleness is that time to live, or `maxLagMs` if that is longer.
 */
export interface RedisReplicaSettings {
  /** The replicas of one server. Those of a cluster and those behind sentinels are discovered, and `nodes` is left out. */
  nodes?: readonly RedisHost[]
  /**
   * A replica that is further behind answers nothing, ms. It is measured: each primary and each replica is asked `INFO replication` four times in
   * this time while there are cached reads. @default 1_000
   */
  maxLagMs?: number
}

export interface RedisCredentials {
  username?: string
  password: string
  /** When they expire, Unix ms. */
  expiresAt?: number
}

export interface ClientTiming {
  runtime: Runtime
  /** Longest time of a command that gives none, ms. A connection whose oldest command has waited so long is replaced. */
  requestTimeoutMs: number
  /** Longest time of the opening, ms. */
  connectTimeoutMs: number
  /** Whether the opening waits only for the first attempt to connect, and not for a connection. */
  opensLazily: boolean
  /** What a server has to be. A replica is connected to for reads that may lag; `any` is for a look at a server. */
  role: "primary" | "replica" | "any"
}

export const DEFAULT_MAX_LAG_MS = 1_000
/** Replicas are asked four times in the time that they may lag: more often than every 5 ms is no use. */
const LEAST_LAG_MS = 20
export const DEFAULT_PORT = 6379
export const DEFAULT_SENTINEL_PORT = 26_379

const HOST: Checks = {
  host: text("nodes.host"),
  port: optional(wholeNumber("nodes.port", 1, 65_535)),
}

const SOCKET: Checks = { path: text("nodes.path") }

const REPLICAS = group("replicas", {
  nodes: optional((value, operation) => {
    if (!Array.isArray(value) || value.length === 0) {
      throw invalidOption(`replicas.nodes is a list of at least one host; got ${describe(value)}`, operation)
    }
    for (const node of value) checkAllOptions(node, HOST, operation)
  }),
  maxLagMs: optional(wholeNumber("replicas.maxLagMs", LEAST_LAG_MS)),
})

const SENTINEL = group("sentinel", {
  name: text("sentinel.name"),
  username: optional(text("sentinel.username", 0)),
  password: optional(text("sentinel.password", 0)),
})

const SETTINGS: Checks = {
  nodes(value, operation) {
    if (!Array.isArray(value) || value.length === 0) {
      throw invalidOption(`nodes is a list of at least one node; got ${describe(value)}`, operation)
    }
    for (const node of value) {
      checkAllOptions(node, isObject(node) && "path" in node ? SOCKET : HOST, operation)
    }
  },
  cluster: optional(bool("cluster")),
  sentinel: optional(SENTINEL),
  replicas: optional(REPLICAS),
  username: optional(text("username", 0)),
  password: optional(text("password", 0)),
  credentials: optional(rule("credentials", (value) => typeof value === "function", "a function")),
  database: optional(wholeNumber("database", 0)),
  tls: optional(
    rule("tls", (value) => typeof value === "boolean" || isObject(value), "true, false or options of TLS"),
  ),
}

/** The settings with their defaults filled in. Throws `INVALID_OPTION`, or `BINDING_INVALID` if they contradict each other. */
export function checkSettings(
  settings: RedisSettings,
): RedisSettings & { cluster: boolean; database: number } {
  checkAllOptions(settings, SETTINGS, "open")
  const { nodes, sentinel, replicas, credentials, database = 0 } = settings
  const { cluster = nodes.length > 1 && sentinel === undefined } = settings
  const hasSocket = nodes.some((node) => "path" in node)
  if (cluster && sentinel !== undefined) throw invalid("a Redis cluster has no sentinels")
  if (nodes.length > 1 && !cluster && sentinel === undefined)
    throw invalid("several Redis nodes are a cluster; `cluster: false` wants one")
  if (cluster && database !== 0) throw invalid(`a Redis cluster has database 0 alone, not ${database}`)
  if (hasSocket && (cluster || sentinel !== undefined))
    throw invalid("a Unix socket leads to one Redis server, neither to a cluster nor to a sentinel")
  const discovers = cluster || sentinel !== undefined
  if (discovers && replicas?.nodes !== undefined)
    throw invalid("the replicas of a Redis cluster, and those behind sentinels, are discovered: name none")
  if (replicas !== undefined && replicas.nodes === undefined && !discovers)
    throw invalid(
      "a Redis server does not tell how its replicas are reached: name them, `replicas=HOST:PORT`",
    )
  if (credentials !== undefined && (settings.username ?? settings.password) !== undefined)
    throw invalid("Redis credentials are either a function, or a user name and a password")
  return { ...settings, cluster, database }
}

/** `host:port` or the path of every node, and the database, without credentials. */
export function describeSettings({ nodes, sentinel, database }: RedisSettings): string {
  const port = sentinel === undefined ? DEFAULT_PORT : DEFAULT_SENTINEL_PORT
  const hosts = nodes.map((node) => ("path" in node ? node.path : `${node.host}:${node.port ?? port}`))
  const places = sentinel === undefined ? hosts.join(",") : `${sentinel.name}@${hosts.join(",")}`
  return database ? `${places}/${database}` : places
}

export function invalid(message: string): KvError {
  return new KvError("BINDING_INVALID", message, { operation: "open", backend: "redis" })
}
