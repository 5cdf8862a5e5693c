import type { Place } from "../backend.ts"
import { KvError } from "../errors.ts"
import { isClient, isCluster, type RedisClient } from "./client.ts"
import { KIND } from "./errors.ts"
import {
  checkSettings,
  DEFAULT_PORT,
  describeSettings,
  type RedisHost,
  type RedisSettings,
} from "./settings.ts"
import { parseRedisUrl } from "./url.ts"

export interface RedisTarget {
  source: RedisClient | RedisSettings
  /** The settings, if they have replicas. */
  replicated: RedisSettings | undefined
  prefix: string
  cluster: boolean
  /** Hosts, ports and database: for messages and spans, so never a credential. */
  description: string
  /** As `BackendTraits.rows`: the database, since processes may reach one server under different host names. */
  rows: string
  /** As `BackendTraits.root`. The client itself if it does not tell where it is connected. */
  root: string | object
  place: Place
}

/** The target of a backend, from a URL, settings or a client. Throws `BINDING_INVALID` or `INVALID_OPTION`. */
export function resolveTarget(
  target: RedisClient | RedisSettings | string,
  { prefix, database }: { prefix?: string; database?: number },
): RedisTarget {
  if (typeof target === "string") {
    const { settings, prefix: urlPrefix } = parseRedisUrl(target)
    const chosen = prefix ?? urlPrefix
    return resolveTarget(settings, {
      ...(chosen === undefined ? {} : { prefix: chosen }),
      ...(database === undefined ? {} : { database }),
    })
  }
  if (!isClient(target)) {
    const checked = checkSettings(database === undefined ? target : { ...target, database })
    const { replicas, ...settings } = checked
    const description = describeSettings(settings)
    const [node, ...others] = settings.nodes
    const isOne = node !== undefined && !("path" in node) && others.length === 0 && !settings.sentinel
    return {
      source: settings,
      replicated: replicas && checked,
      prefix: prefix ?? "",
      cluster: settings.cluster,
      description,
      rows: String(settings.database),
      root: rootOf(description),
      place: isOne ? placeOf(node, settings.database) : { address: description },
    }
  }
  if (database !== undefined) {
    const message =
      "an ioredis client has a database of its own: give `database` with a URL or settings alone"
    throw new KvError("BINDING_INVALID", message, { operation: "open", backend: KIND })
  }
  const common = { source: target, replicated: undefined, prefix: prefix ?? "" }
  if (isCluster(target)) {
    return {
      ...common,
      cluster: true,
      description: "cluster",
      rows: "0",
      root: target,
      place: { address: "cluster" },
    }
  }
  const { host = "localhost", port = DEFAULT_PORT, path, db = 0 } = target.options
  const address = path || `${host}:${port}`
  const description = db === 0 ? address : `${address}/${db}`
  const place = path ? { address: description } : placeOf({ host, port }, db)
  return { ...common, cluster: false, description, rows: String(db), root: rootOf(description), place }
}

function rootOf(description: string): string {
  return `${KIND}:${description}`
}

function placeOf({ host, port = DEFAULT_PORT }: RedisHost, database: number): Place {
  return { namespace: String(database), address: host, port }
}
