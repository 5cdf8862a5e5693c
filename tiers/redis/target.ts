import { KvError } from "../errors.ts"
import { isClient, isCluster, type RedisClient } from "./client.ts"
import { KIND } from "./errors.ts"
import { checkSettings, describeSettings, parseRedisUrl, type RedisSettings } from "./settings.ts"

export interface RedisTarget {
  source: RedisClient | RedisSettings
  prefix: string
  cluster: boolean
  /** Hosts, ports and database: for messages and spans, so never a credential. */
  description: string
}

/** What a backend is to talk to, from the forms that its caller may give it in. Throws `BINDING_INVALID`. */
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
    const settings = checkSettings(database === undefined ? target : { ...target, database })
    const description = describeSettings(settings)
    return { source: settings, prefix: prefix ?? "", cluster: settings.cluster, description }
  }
  if (database !== undefined) {
    const message =
      "an ioredis client has a database of its own: give `database` with a URL or settings alone"
    throw new KvError("BINDING_INVALID", message, { operation: "open", backend: KIND })
  }
  return {
    source: target,
    prefix: prefix ?? "",
    cluster: isCluster(target),
    description: isCluster(target) ? "cluster" : describeClient(target.options),
  }
}

function describeClient({ host, port, path, db }: DescribedOptions): string {
  const address = path ?? `${host ?? "localhost"}:${port ?? 6379}`
  return db ? `${address}/${db}` : address
}

interface DescribedOptions {
  host?: string | undefined
  port?: number | undefined
  path?: string | undefined
  db?: number | undefined
}
