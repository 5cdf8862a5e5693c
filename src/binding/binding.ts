import { join } from "node:path"
import { KvError } from "../../tiers/errors.ts"
import { parseRedisUrl } from "../../tiers/redis/settings.ts"
import { describe } from "../operations/keys.ts"

/** Where a store lies: what the URLs, the environment variables and the bindings all come down to. */
export type Binding =
  | { service: "memory" }
  | { service: "lmdb"; path: string; keyPrefix?: string }
  | { service: "redis"; url: string; keyPrefix?: string; database?: number }
  | { service: "dynamodb"; region?: string; table: string; endpoint?: string }
  | { service: "firestore"; project: string; database: string; collection: string; endpoint?: string }
  | { service: "azure-tables"; account: string; table: string; endpoint?: string }

type Environment = Readonly<Record<string, string | undefined>>

/**
 * The binding of the store called `name`: the variable `KV_<NAME>_URL`, else `ALIEN_<NAME>_BINDING`, else LMDB under
 * `.kv/<name>` of the working directory, but in production. Reads no variable of any other name.
 */
export function resolveBinding(name: string, environment: Environment): Binding {
  const suffix = name.toUpperCase().replaceAll("-", "_")
  const urlVariable = `KV_${suffix}_URL`
  const bindingVariable = `ALIEN_${suffix}_BINDING`
  const url = environment[urlVariable]
  if (url !== undefined && url !== "") return parseUrl(url, `The environment variable ${urlVariable}`)
  const json = environment[bindingVariable]
  if (json !== undefined && json !== "") return parseAlienBinding(json, bindingVariable)
  if (environment.NODE_ENV !== "production") return { service: "lmdb", path: join(".kv", name) }
  throw new KvError(
    "BINDING_NOT_CONFIGURED",
    `The store "${name}" has no binding, and NODE_ENV is production, where there is no default. Set ${urlVariable} ` +
      `to a URL such as dynamodb://REGION/TABLE, or ${bindingVariable} to a JSON binding`,
    { operation: "open" },
  )
}

const URL_FORMS =
  "dynamodb://REGION/TABLE, firestore://PROJECT/DATABASE/COLLECTION, azure-tables://ACCOUNT/TABLE, " +
  "redis://HOST:PORT/DATABASE, rediss://…, lmdb:PATH or memory:"

/** Parses the URL of a store. `source` says where it came from; the URL itself may hold a credential and is not shown. */
export function parseUrl(text: string, source = "The backend URL"): Binding {
  const refuse = (message: string) => invalid(`${source} ${message}`)
  const scheme = /^([a-z][a-z0-9+-]*):/i.exec(text)?.[1]?.toLowerCase()
  if (scheme === "memory" && text.length === "memory:".length) return { service: "memory" }
  if (scheme === "lmdb") {
    const path = text.slice("lmdb:".length).replace(/^\/\/(?=\/)/, "")
    if (path === "" || path.startsWith("//")) throw refuse("names no path; write lmdb:PATH")
    return { service: "lmdb", path }
  }
  if (scheme === "redis" || scheme === "rediss") return { service: "redis", url: checkRedisUrl(text, refuse) }
  const parse = scheme !== undefined && Object.hasOwn(CLOUD_URLS, scheme) ? CLOUD_URLS[scheme] : undefined
  if (parse === undefined) throw refuse(`is none of ${URL_FORMS}`)

  const url = asUrl(text, refuse)
  if (url.username !== "" || url.password !== "" || url.hash !== "") {
    throw refuse(
      "holds a user, a password or a fragment; credentials come from where the service's SDK finds them",
    )
  }
  const parts = [url.host, ...url.pathname.split("/").slice(1)].map((part) => decoded(part, refuse))
  const parameters = readParameters(url, ["endpoint"], refuse)
  const endpoint = parameters.endpoint === undefined ? {} : { endpoint: parameters.endpoint }
  return parse(parts, endpoint, refuse)
}

type Refuse = (message: string) => KvError

const CLOUD_URLS: Record<
  string,
  (parts: string[], endpoint: { endpoint?: string }, refuse: Refuse) => Binding
> = {
  dynamodb(parts, endpoint, refuse) {
    const [region, table] = exactly(2, parts, "dynamodb://REGION/TABLE", refuse)
    return { service: "dynamodb", region, table, ...endpoint }
  },
  firestore(parts, endpoint, refuse) {
    const [project, database, collection] = exactly(
      3,
      parts,
      "firestore://PROJECT/DATABASE/COLLECTION",
      refuse,
    )
    return { service: "firestore", project, database, collection, ...endpoint }
  },
  "azure-tables"(parts, endpoint, refuse) {
    const [account, table] = exactly(2, parts, "azure-tables://ACCOUNT/TABLE", refuse)
    return { service: "azure-tables", account, table, ...endpoint }
  },
}

function exactly<N extends 2 | 3>(count: N, parts: string[], form: string, refuse: Refuse): Parts[N] {
  if (parts.length !== count || parts.includes("")) throw refuse(`is not of the form ${form}`)
  return parts as Parts[N]
}

interface Parts {
  2: [string, string]
  3: [string, string, string]
}

function asUrl(text: string, refuse: Refuse): URL {
  if (URL.canParse(text)) return new URL(text)
  throw refuse(`is not a well-formed URL; it is one of ${URL_FORMS}`)
}

/** Leaves the URL as it is: several hosts, and what stands for a cluster, no `URL` can hold. */
function checkRedisUrl(text: string, refuse: Refuse): string {
  try {
    parseRedisUrl(text)
  } catch (error) {
    throw error instanceof KvError ? refuse(`is wrong: ${error.message}`) : error
  }
  return text
}

function decoded(part: string, refuse: Refuse): string {
  try {
    return decodeURIComponent(part)
  } catch {
    throw refuse("has a % that is not followed by two hexadecimal digits of UTF-8")
  }
}

function readParameters<N extends string>(
  url: URL,
  known: readonly N[],
  refuse: Refuse,
): Partial<Record<N, string>> {
  for (const name of url.searchParams.keys()) {
    if (!known.some((one) => one === name))
      throw refuse(`has an unknown parameter "${name}"; known are ${known.join(", ")}`)
  }
  return Object.fromEntries(url.searchParams) as Partial<Record<N, string>>
}

/** The fields of each kind of Alien binding: required ones `true`. */
const ALIEN_FIELDS = {
  dynamodb: { tableName: true, region: false, endpointUrl: false },
  firestore: { projectId: true, databaseId: true, collectionName: true },
  tablestorage: { resourceGroupName: true, accountName: true, tableName: true },
  redis: { connectionUrl: true, keyPrefix: false, database: false },
  "local-kv": { dataDir: true, keyPrefix: false },
} as const

function parseAlienBinding(json: string, variable: string): Binding {
  const refuse = (message: string) => invalid(`The environment variable ${variable} ${message}`)
  const fields = parseObject(json, refuse)
  const service = fields.service
  if (typeof service !== "string" || !Object.hasOwn(ALIEN_FIELDS, service)) {
    const kinds = Object.keys(ALIEN_FIELDS).join(", ")
    throw refuse(`has ${service === undefined ? "no service" : "an unknown service"}; known are ${kinds}`)
  }
  for (const [field, required] of Object.entries(ALIEN_FIELDS[service as keyof typeof ALIEN_FIELDS])) {
    if (required && fields[field] === undefined)
      throw refuse(`lacks the field "${field}" of a ${service} binding`)
  }
  const text = (field: string): string => {
    const value = fields[field]
    if (typeof value === "string" && value !== "") return value
    throw refuse(`has in "${field}" ${describe(value)}; it is a text`)
  }
  const optionalText = <N extends string>(field: string, as: N) =>
    (fields[field] === undefined || fields[field] === null ? {} : { [as]: text(field) }) as {
      [K in N]?: string
    }

  switch (service) {
    case "dynamodb":
      return {
        service,
        table: text("tableName"),
        ...optionalText("region", "region"),
        ...optionalText("endpointUrl", "endpoint"),
      }
    case "firestore":
      return {
        service,
        project: text("projectId"),
        database: text("databaseId"),
        collection: text("collectionName"),
      }
    case "tablestorage":
      text("resourceGroupName")
      return { service: "azure-tables", account: text("accountName"), table: text("tableName") }
    case "redis":
      return {
        service,
        url: checkRedisUrl(text("connectionUrl"), (message) =>
          refuse(`has a "connectionUrl" that ${message}`),
        ),
        ...optionalText("keyPrefix", "keyPrefix"),
        ...database(fields.database, refuse),
      }
    default:
      return { service: "lmdb", path: text("dataDir"), ...optionalText("keyPrefix", "keyPrefix") }
  }
}

function database(value: unknown, refuse: Refuse): { database?: number } {
  if (value === undefined || value === null) return {}
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return { database: value }
  throw refuse(`has in "database" ${describe(value)}; it is a whole number of at least 0`)
}

function parseObject(json: string, refuse: Refuse): Record<string, unknown> {
  let value: unknown
  try {
    value = JSON.parse(json)
  } catch {
    throw refuse("is not JSON") // the parser's message quotes the text, which may hold a credential
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return { ...value }
  throw refuse("is not a JSON object")
}

function invalid(message: string): KvError {
  return new KvError("BINDING_INVALID", message, { operation: "open" })
}
