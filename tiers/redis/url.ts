import {
  checkSettings,
  DEFAULT_PORT,
  DEFAULT_SENTINEL_PORT,
  invalid,
  type RedisHost,
  type RedisSettings,
} from "./settings.ts"

const AUTHORITY = /^(?:([^@/?#]*)@)?([^@/?#]+)(?:\/([^/?#]*))?(?:\?([^#]*))?$/
const SOCKET = /^(?:([^@/?#]*)@)?(\/[^?#]+)(?:\?([^#]*))?$/
const NODE_FORM = /^(\[[0-9a-fA-F:.]+\]|[^:[\]\s]+)(?::(\d{1,5}))?$/

interface Scheme {
  readonly form: string
  readonly leadsTo: "server" | "sentinels" | "socket"
  readonly tls: boolean
}

const SERVER = "redis://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]…][/DATABASE][?cluster], or rediss:// for TLS"
const SENTINELS =
  "redis-sentinel://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]…][/DATABASE]?name=NAME, or rediss-sentinel:// for TLS"
const UNIX = "unix://[USER:PASSWORD@]/PATH[?db=DATABASE]"

const SCHEMES: Readonly<Record<string, Scheme>> = {
  redis: { form: SERVER, leadsTo: "server", tls: false },
  rediss: { form: SERVER, leadsTo: "server", tls: true },
  valkey: { form: SERVER, leadsTo: "server", tls: false },
  valkeys: { form: SERVER, leadsTo: "server", tls: true },
  "redis-sentinel": { form: SENTINELS, leadsTo: "sentinels", tls: false },
  "rediss-sentinel": { form: SENTINELS, leadsTo: "sentinels", tls: true },
  unix: { form: UNIX, leadsTo: "socket", tls: false },
  "redis+unix": { form: UNIX, leadsTo: "socket", tls: false },
}

interface ParsedUrl {
  settings: RedisSettings
  prefix: string | undefined
}

/**
 * Reads the URLs of Redis: `redis:`, `valkey:`, with TLS `rediss:` and `valkeys:`; `redis-sentinel:`, with TLS `rediss-sentinel:`; `unix:` and
 * `redis+unix:`. Several hosts, or `?cluster`, mean a cluster; `prefix=` is the key prefix, `replicas` and `maxLagMs=` are about replicas. User name, password, path and prefix are
 * percent-encoded where they hold what a URL cannot. Throws `BINDING_INVALID`.
 */
export function parseRedisUrl(url: string): ParsedUrl {
  const [, name = "", rest = ""] = /^([a-z+-]+):\/\/(.*)$/is.exec(url) ?? []
  const key = name.toLowerCase()
  const scheme = Object.hasOwn(SCHEMES, key) ? SCHEMES[key] : undefined
  if (scheme === undefined) throw invalid(`the Redis URL is not of the form ${SERVER}`)
  return scheme.leadsTo === "socket" ? parseSocket(rest, scheme) : parseHosts(rest, scheme)
}

function parseHosts(rest: string, { form, leadsTo, tls }: Scheme): ParsedUrl {
  const parts = AUTHORITY.exec(rest)
  if (parts === null) throw invalid(`the Redis URL is not of the form ${form}`)
  const [, credentials, hosts = "", path = "", query = ""] = parts
  const sentinels = leadsTo === "sentinels"
  const allowed = [sentinels ? "name" : "cluster", "prefix", "replicas", "maxLagMs"]
  const parameters = parseParameters(query, allowed)
  const name = parameters.get("name") ?? ""
  if (sentinels && name === "") throw invalid(`the Redis URL names no primary; its form is ${form}`)
  const port = sentinels ? DEFAULT_SENTINEL_PORT : DEFAULT_PORT
  return parsed(parameters, {
    nodes: hosts.split(",").map((host) => parseNode(host, port, form)),
    ...parseReplicas(parameters, form),
    ...(sentinels ? { sentinel: { name } } : {}),
    ...parseCredentials(credentials),
    ...(path === "" ? {} : { database: parseDatabase(path, form) }),
    ...(parameters.has("cluster") ? { cluster: parseFlag(parameters.get("cluster") ?? "") } : {}),
    ...(tls ? { tls } : {}),
  })
}

function parseSocket(rest: string, { form }: Scheme): ParsedUrl {
  const parts = SOCKET.exec(rest)
  if (parts === null) throw invalid(`the Redis URL is not of the form ${form}`)
  const [, credentials, path = "", query = ""] = parts
  const parameters = parseParameters(query, ["db", "prefix"])
  const database = parameters.get("db")
  return parsed(parameters, {
    nodes: [{ path: decode(path) }],
    ...parseCredentials(credentials),
    ...(database === null ? {} : { database: parseDatabase(database, form) }),
  })
}

function parsed(parameters: URLSearchParams, settings: RedisSettings): ParsedUrl {
  return { settings: checkSettings(settings), prefix: parameters.get("prefix") ?? undefined }
}

function parseParameters(query: string, allowed: readonly string[]): URLSearchParams {
  const parameters = new URLSearchParams(query)
  for (const name of parameters.keys()) {
    if (allowed.includes(name)) continue
    const known = `${allowed.slice(0, -1).join(", ")} and ${allowed.at(-1)}`
    throw invalid(`the Redis URL has an unknown parameter ${JSON.stringify(name)}; allowed are ${known}`)
  }
  return parameters
}

/** `replicas=HOST:PORT,HOST:PORT`; alone where they are discovered. */
function parseReplicas(parameters: URLSearchParams, form: string): Pick<RedisSettings, "replicas"> {
  const [hosts, lag] = [parameters.get("replicas"), parameters.get("maxLagMs")]
  if (hosts === null) {
    if (lag !== null) throw invalid("`maxLagMs` in the Redis URL is about replicas, and it names none")
    return {}
  }
  if (lag !== null && !/^\d{1,9}$/.test(lag)) throw invalid("`maxLagMs` in the Redis URL is not a number")
  return {
    replicas: {
      ...(hosts === "" ? {} : { nodes: hosts.split(",").map((host) => parseNode(host, DEFAULT_PORT, form)) }),
      ...(lag === null ? {} : { maxLagMs: Number(lag) }),
    },
  }
}

function parseNode(text: string, defaultPort: number, form: string): RedisHost {
  const [, host, port] = NODE_FORM.exec(text) ?? []
  if (host === undefined || Number(port ?? 1) < 1 || Number(port ?? 1) > 65_535) {
    throw invalid(`the Redis URL has a host that is not HOST or HOST:PORT; its form is ${form}`)
  }
  return { host: host.replace(/^\[|\]$/g, ""), port: port === undefined ? defaultPort : Number(port) }
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
    throw invalid(
      "the user name, the password or the path in the Redis URL is not percent-encoded as it should be",
    )
  }
}

function parseDatabase(text: string, form: string): number {
  if (!/^\d{1,9}$/.test(text))
    throw invalid(`the database in the Redis URL is not a number; its form is ${form}`)
  return Number(text)
}

function parseFlag(text: string): boolean {
  if (text === "" || text === "true") return true
  if (text === "false") return false
  throw invalid("`cluster` in the Redis URL is a flag: `?cluster`, `?cluster=true` or `?cluster=false`")
}
