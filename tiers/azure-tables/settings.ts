import { KvError } from "../errors.ts"
import { type Checks, checkAllOptions, optional, text } from "../util/checks.ts"
import { KIND } from "./errors.ts"

/** Storage account and credentials. Settings that are left out come from the environment. */
export interface AzureTablesSettings {
  /** Name of the storage account. @default `AZURE_STORAGE_ACCOUNT`, or the one in the connection string */
  account?: string
  /**
   * URL of the account's table service, for other clouds and for emulators. It is `https:`, except for an emulator.
   * @default `https://ACCOUNT.table.core.windows.net`
   */
  endpoint?: string
  /**
   * A storage connection string with a key or a shared access signature, or `UseDevelopmentStorage=true` for Azurite.
   * @default `AZURE_STORAGE_CONNECTION_STRING`, if it is of the same account or of an emulator
   */
  connectionString?: string
}

const SETTINGS: Checks = {
  account: optional(text("account", 0)),
  endpoint: optional(text("endpoint", 0)),
  connectionString: optional(text("connectionString", 0)),
}

/** Throws `INVALID_OPTION`. */
export function checkAzureSettings(settings: AzureTablesSettings): void {
  checkAllOptions(settings, SETTINGS, "open")
}

/** The address for requests, and the credential that signs them. */
export interface Target {
  endpoint: string
  signing: { account: string; key: string } | { signature: string } | "identity"
}

/** The account of every Azurite and its key, which Microsoft has published. */
const EMULATOR = {
  account: "devstoreaccount1",
  key: "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
}
const EMULATOR_ENDPOINT = `http://127.0.0.1:10002/${EMULATOR.account}`

/** Takes what the settings leave out from the environment. Throws `BINDING_INVALID` or `BINDING_NOT_CONFIGURED`. */
export function resolveTarget(settings: AzureTablesSettings, env: NodeJS.ProcessEnv): Target {
  const { endpoint, signing } = settings.connectionString
    ? parseConnectionString(settings.connectionString)
    : (targetOfEnvironment(settings, env) ?? targetOfAccount(settings, env))
  if (parseUrl(endpoint).protocol !== "https:" && !isEmulator(endpoint)) {
    throw invalid(
      "the endpoint has to be https; plain http is for emulators: on loopback, or of devstoreaccount1",
    )
  }
  return { endpoint: endpoint.replace(/\/+$/, ""), signing }
}

/** The connection string of the environment, unless the settings name another account. */
function targetOfEnvironment(settings: AzureTablesSettings, env: NodeJS.ProcessEnv): Target | undefined {
  const { AZURE_STORAGE_CONNECTION_STRING: connectionString } = env
  if (!connectionString) return undefined
  const target = parseConnectionString(connectionString)
  const account = accountOf(settings)
  if (account === undefined || account === accountOf(target)) {
    return { ...target, endpoint: settings.endpoint ?? target.endpoint }
  }
  // The connection string of an emulator replaces any account.
  return settings.endpoint === undefined && isEmulator(target.endpoint) ? target : undefined
}

function targetOfAccount(settings: AzureTablesSettings, env: NodeJS.ProcessEnv): Target {
  const { AZURE_STORAGE_ACCOUNT: envAccount } = env
  const key = env.AZURE_STORAGE_KEY || env.AZURE_STORAGE_ACCESS_KEY
  const account = accountOf(settings) ?? envAccount
  if (!account) {
    throw new KvError(
      "BINDING_NOT_CONFIGURED",
      "no storage account is named: set AZURE_STORAGE_CONNECTION_STRING or AZURE_STORAGE_ACCOUNT, or name one",
      { operation: "open", backend: KIND },
    )
  }
  if (!/^[a-z0-9-]{3,63}$/.test(account)) {
    throw invalid("a storage account's name is 3 to 24 lower-case letters and digits")
  }
  const endpoint = settings.endpoint ?? `https://${account}.table.core.windows.net`
  if (key && envAccount === account) return { endpoint, signing: { account, key } }
  if (account === EMULATOR.account) return { endpoint, signing: EMULATOR }
  if (key && !envAccount) return { endpoint, signing: { account, key } }
  return { endpoint, signing: "identity" }
}

function parseConnectionString(text: string): Target {
  const fields = new Map<string, string>()
  for (const field of text.split(";")) {
    const at = field.indexOf("=")
    if (at > 0) fields.set(field.slice(0, at).trim().toLowerCase(), field.slice(at + 1).trim())
  }
  if (fields.get("usedevelopmentstorage")?.toLowerCase() === "true") {
    return { endpoint: EMULATOR_ENDPOINT, signing: EMULATOR }
  }
  const account = fields.get("accountname")
  const key = fields.get("accountkey")
  const signature = fields.get("sharedaccesssignature")
  const protocol = fields.get("defaultendpointsprotocol") ?? "https"
  const suffix = fields.get("endpointsuffix") ?? "core.windows.net"
  const endpoint =
    fields.get("tableendpoint") ??
    (account === undefined ? undefined : `${protocol}://${account}.table.${suffix}`)
  if (endpoint !== undefined && signature !== undefined) return { endpoint, signing: { signature } }
  if (endpoint !== undefined && account !== undefined && key !== undefined) {
    return { endpoint, signing: { account, key } }
  }
  throw invalid(
    "the connection string has to hold AccountName and AccountKey, or TableEndpoint and SharedAccessSignature, " +
      "or UseDevelopmentStorage=true",
  )
}

/** The account in the settings, or that of the endpoint: the first label of its host, or the first segment of the path of an emulator. */
function accountOf({ account, endpoint }: { account?: string; endpoint?: string }): string | undefined {
  if (account !== undefined || endpoint === undefined) return account
  const { hostname, pathname } = parseUrl(endpoint)
  return pathname.split("/")[1] || hostname.split(".")[0]
}

/** Throws `BINDING_INVALID`. */
export function checkTableName(table: string): void {
  if (/^[A-Za-z][A-Za-z0-9]{2,62}$/.test(table)) return
  throw invalid("a table's name is 3 to 63 letters and digits, and begins with a letter")
}

export function isEmulator(endpoint: string): boolean {
  const { hostname, pathname } = parseUrl(endpoint)
  return /^(localhost|127(\.\d+){3}|\[::1\])$/.test(hostname) || pathname.split("/")[1] === EMULATOR.account
}

function parseUrl(endpoint: string): URL {
  if (!URL.canParse(endpoint)) throw invalid("the endpoint is not a URL")
  return new URL(endpoint)
}

function invalid(message: string): KvError {
  return new KvError("BINDING_INVALID", message, { operation: "open", backend: KIND })
}
