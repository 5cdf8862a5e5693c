import type { ConnectionOptions } from "node:tls"
import { KvError } from "../errors.ts"
import type { Runtime } from "../runtime.ts"
import {
  bool,
  type Checks,
  checkAllOptions,
  describe,
  invalidOption,
  isObject,
  optional,
  rule,
  text,
  wholeNumber,
} from "../util/checks.ts"

/** Location of the server, and credentials. */
export interface RedisSettings {
  /** One server, or some nodes of a cluster, from which the others are discovered. */
  nodes: readonly RedisNode[]
  /** Whether the nodes belong to a cluster. @default `true` if there are several */
  cluster?: boolean
  username?: string
  password?: string
  /** Number of the database; a cluster has only 0. @default 0 */
  database?: number
  /** Whether to use TLS, or options for it: certificates that the system does not trust, a server name. @default false */
  tls?: boolean | ConnectionOptions
}

export interface RedisNode {
  host: string
  /** @default 6379 */
  port?: number
}

export interface ClientTiming {
  runtime: Runtime
  /** Longest time of a command that gives none, ms. A connection whose oldest command has waited so long is replaced. */
  requestTimeoutMs: number
  /** Longest time of the opening, ms. */
  connectTimeoutMs: number
  /** Whether the opening waits only for the first attempt to connect, and not for a connection. */
  opensLazily: boolean
  /** Whether a server that is a replica is used. */
  allowsReplica: boolean
}

export const DEFAULT_PORT = 6379

const URL_FORM = /^(rediss?):\/\/(?:([^@/?#]*)@)?([^@/?#]+)(?:\/([^/?#]*))?(?:\?([^#]*))?$/
const NODE_FORM = /^(\[[0-9a-fA-F:.]+\]|[^:[\]\s]+)(?::(\d{1,5}))?$/
const FORM = "redis://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]…][/DATABASE][?cluster], or rediss:// for TLS"

/**
 * Reads `redis://` and `rediss://` URLs. Several hosts, or `?cluster`, mean a cluster; `prefix=` is the key prefix. User
 * name, password and prefix are percent-encoded where they hold what a URL cannot. Throws `BINDING_INVALID`.
 */
export function parseRedisUrl(url: string): { settings: RedisSettings; prefix: string | undefined } {
  const parts = URL_FORM.exec(url)
  if (parts === null) throw invalid(`the Redis URL is not of the form ${FORM}`)
  const [, scheme, credentials, hosts = "", path = "", query = ""] = parts
  const nodes = hosts.split(",").map(parseNode)
  const parameters = new URLSearchParams(query)
  for (const name of parameters.keys()) {
    if (name !== "cluster" && name !== "prefix") {
      throw invalid(
        `the Redis URL has an unknown parameter ${JSON.stringify(name)}; allowed are cluster and prefix`,
      )
    }
  }
  const settings: RedisSettings = {
    nodes,
    ...parseCredentials(credentials),
    ...(path === "" ? {} : { database: parseDatabase(path) }),
    ...(parameters.has("cluster") ? { cluster: parseFlag(parameters.get("cluster") ?? "") } : {}),
    ...(scheme === "rediss" ? { tls: true } : {}),
  }
  return { settings: checkSettings(settings), prefix: parameters.get("prefix") ?? undefined }
}

const NODE: Checks = {
  host: text("nodes.host"),
  port: optional(wholeNumber("nodes.port", 1, 65_535)),
}

const SETTINGS: Checks = {
  nodes(value, operation) {
    if (!Array.isArray(value) || value.length === 0) {
      throw invalidOption(`nodes is a list of at least one node; got ${describe(value)}`, operation)
    }
    for (const node of value) checkAllOptions(node, NODE, operation)
  },
  cluster: optional(bool("cluster")),
  username: optional(text("username", 0)),
  password: optional(text("password", 0)),
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
  const { nodes, cluster = nodes.length > 1, database = 0 } = settings
  if (nodes.length > 1 && !cluster)
    throw invalid("several Redis nodes are a cluster; `cluster: false` wants one")
  if (cluster && database !== 0) throw invalid(`a Redis cluster has database 0 alone, not ${database}`)
  return { ...settings, cluster, database }
}

/** `host:port` of every node and the database, without credentials. */
export function describeSettings({ nodes, database }: RedisSettings): string {
  const hosts = nodes.map(({ host, port = DEFAULT_PORT }) => `${host}:${port}`).join(",")
  return database ? `${hosts}/${database}` : hosts
}

function parseNode(text: string): RedisNode {
  const [, host, port] = NODE_FORM.exec(text) ?? []
  if (host === undefined || Number(port ?? 1) < 1 || Number(port ?? 1) > 65_535) {
    throw invalid(`the Redis URL has a host that is not HOST or HOST:PORT; its form is ${FORM}`)
  }
  return { host: host.replace(/^\[|\]$/g, ""), port: port === undefined ? DEFAULT_PORT : Number(port) }
}

/** `USER:PASSWORD`, `:PASSWORD`, or `USER` alone. */
function parseCredentials(text: string | undefined): { username?: string; password?: string } {
  if (text === undefined) return {}
  const colon = text.indexOf(":")
  const username = decode(colon < 0 ? text : text.slice(0, colon))
  const password = colon < 0 ? "" : decode(text.slice(colon + 1))
  return { ...(username === "" ? {} : { username }), ...(password === "" ? {} : { password }) }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw invalid("the user name or the password in the Redis URL is not percent-encoded as it should be")
  }
}

function parseDatabase(text: string): number {
  if (!/^\d{1,9}$/.test(text))
    throw invalid(`the database in the Redis URL is not a number; its form is ${FORM}`)
  return Number(text)
}

function parseFlag(text: string): boolean {
  if (text === "" || text === "true") return true
  if (text === "false") return false
  throw invalid("`cluster` in the Redis URL is a flag: `?cluster`, `?cluster=true` or `?cluster=false`")
}

function invalid(message: string): KvError {
  return new KvError("BINDING_INVALID", message, { operation: "open", backend: "redis" })
}
