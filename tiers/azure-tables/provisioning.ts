import type { TableClient } from "@azure/data-tables"
import type { ProvisioningReport, ProvisioningStep } from "../provisioning.ts"
import { type Runtime, systemRuntime } from "../runtime.ts"
import { type Checks, checkAllOptions, optional, runtimeOption, text, wholeNumber } from "../util/checks.ts"
import { LimitedRequest } from "../util/limited-request.ts"
import { leaseClient } from "./client.ts"
import { toKvError } from "./errors.ts"
import { tryOldTls, tryPlainHttp, type Verdict } from "./provisioning-transport.ts"
import { type AzureTablesSettings, checkAzureSettings, isEmulator } from "./settings.ts"

export interface AzureTablesProvisioning {
  /** 3 to 63 letters and digits, a letter first. */
  table: string
  /** Longest time to create the table, ms. @default 30_000 */
  timeoutMs?: number
  /** Timers. @default those of the system */
  runtime?: Runtime
}

const DEFAULT_TIMEOUT_MS = 30_000

const OPTIONS: Checks = {
  table: text("table", 0),
  timeoutMs: optional(wholeNumber("timeoutMs", 1)),
  runtime: runtimeOption,
}

/** The role on the account that a service needs to read and write a store, and to provision it. */
export const AZURE_TABLES_ROLE = "Storage Table Data Contributor"

/**
 * Creates the table of a store in an existing account, and checks from outside that the account refuses plain http and TLS below 1.2. A
 * table that exists is not changed.
 *
 * Rejects as opening the backend does, and with `INVALID_OPTION` if a setting or an option is unknown or has no legal value.
 */
export async function provisionAzureTables(
  settings: AzureTablesSettings,
  options: AzureTablesProvisioning,
): Promise<ProvisioningReport> {
  checkAzureSettings(settings)
  checkAllOptions(options, OPTIONS, "provision")
  const { table } = options
  const lease = await leaseClient(settings, table, options.runtime)
  try {
    const client = lease.resource
    const steps = [await ensureTable(client, options), ...(await checkTransport(client.url))]
    return { target: `table ${table}`, steps }
  } finally {
    await lease.release()
  }
}

async function ensureTable(
  client: TableClient,
  { timeoutMs = DEFAULT_TIMEOUT_MS, runtime = systemRuntime }: AzureTablesProvisioning,
): Promise<ProvisioningStep> {
  let status = 0
  try {
    const request = new LimitedRequest(runtime, timeoutMs)
    const created = client.createTable({
      abortSignal: request.cancel,
      // The SDK does not reject if the table exists already. Only the raw answer shows it.
      onResponse: (response) => {
        status = response.status
      },
    })
    await request.bound(created)
  } catch (error) {
    // The effect is "read", because it is safe to provision again after an unknown outcome.
    throw toKvError(error, { operation: "provision", effect: "read" })
  }
  return { name: "table", outcome: status === 409 ? "verified" : "created" }
}

const HTTPS = "plain http refused"
const TLS = "TLS below 1.2 refused"

async function checkTransport(endpoint: string): Promise<ProvisioningStep[]> {
  if (isEmulator(endpoint)) return [HTTPS, TLS].map((name) => ({ name, outcome: "unsupported" }))
  const { hostname, port } = new URL(endpoint)
  const [plain, old] = await Promise.all([
    tryPlainHttp(hostname, 80),
    tryOldTls(hostname, port === "" ? 443 : Number(port)),
  ])
  return [
    stepOf(HTTPS, plain, "turn on “Secure transfer required” of the account"),
    stepOf(TLS, old, "set the account's minimum TLS version to 1.2"),
  ]
}

function stepOf(name: string, verdict: Verdict, remedy: string): ProvisioningStep {
  if (verdict === "refused") return { name, outcome: "verified" }
  if (verdict === "accepted") return { name, outcome: "differs", detail: remedy }
  return { name, outcome: "unsupported", detail: "it could not be tried from here" }
}
