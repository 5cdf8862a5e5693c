import { KvError } from "../errors.ts"
import { dependencyMissing, installedVersion } from "../util/packages.ts"
import { KIND } from "./errors.ts"

export type TablesSdk = typeof import("@azure/data-tables")

const PACKAGE = "@azure/data-tables"
/** The lowest version that keeps concurrent transactions of one client apart. Lower ones lose keys of batches that they report as written. */
const LOWEST_VERSION = "13.2.1"

/** Loads the SDK. Rejects with `DEPENDENCY_MISSING` if it is not installed, or if its version is too low. */
export async function loadTablesSdk(): Promise<TablesSdk> {
  let sdk: TablesSdk
  try {
    sdk = await import("@azure/data-tables")
  } catch (cause) {
    throw dependencyMissing(KIND, "Azure Tables", PACKAGE, cause)
  }
  checkTablesVersion()
  return sdk
}

/** Throws `DEPENDENCY_MISSING` if the installed SDK is too old. A version that is not known passes. */
export function checkTablesVersion(): void {
  const version = installedVersion(PACKAGE)
  if (version === undefined || version.localeCompare(LOWEST_VERSION, "en", { numeric: true }) >= 0) return
  throw new KvError(
    "DEPENDENCY_MISSING",
    `${PACKAGE} ${version} is installed, and version ${LOWEST_VERSION} or later is needed: npm install ${PACKAGE}`,
    { operation: "open", backend: KIND },
  )
}

/** Loads the package that signs in. Rejects with `DEPENDENCY_MISSING`. */
export async function loadIdentity(): Promise<typeof import("@azure/identity")> {
  try {
    return await import("@azure/identity")
  } catch (cause) {
    throw dependencyMissing(KIND, "Signing in to Azure without a key", "@azure/identity", cause)
  }
}
