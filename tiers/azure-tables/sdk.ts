import { createRequire } from "node:module"
import { KvError } from "../errors.ts"
import { KIND } from "./errors.ts"

export type TablesSdk = typeof import("@azure/data-tables")

const PACKAGE = "@azure/data-tables"
/** The lowest version that keeps concurrent transactions of one client apart. Lower ones lose keys of batches that they report as written. */
const LOWEST_VERSION = "13.2.1"

/** Loads the SDK. Rejects with `DEPENDENCY_MISSING` if it is not installed, or if its version is too low. */
export async function loadTablesSdk(): Promise<TablesSdk> {
  const sdk = await loadPackage(PACKAGE, () => import("@azure/data-tables"))
  checkTablesVersion()
  return sdk
}

/** Throws `DEPENDENCY_MISSING` if the installed SDK is too old. A version that is not known passes: a bundle has no `package.json`. */
export function checkTablesVersion(): void {
  const version = installedVersion()
  if (version === undefined || version.localeCompare(LOWEST_VERSION, "en", { numeric: true }) >= 0) return
  throw missing(
    `${PACKAGE} ${version} is installed, and version ${LOWEST_VERSION} or later is needed: npm install ${PACKAGE}`,
  )
}

function installedVersion(): string | undefined {
  try {
    const { version }: { version?: unknown } = createRequire(import.meta.url)(`${PACKAGE}/package.json`)
    return typeof version === "string" ? version : undefined
  } catch {
    return undefined
  }
}

/** Loads a package of the SDK. Rejects with `DEPENDENCY_MISSING`. */
export async function loadPackage<Module>(
  name: string,
  importModule: () => Promise<Module>,
): Promise<Module> {
  try {
    return await importModule()
  } catch (cause) {
    throw missing(`Azure Tables needs the package ${name}: npm install ${name}`, cause)
  }
}

function missing(message: string, cause?: unknown): KvError {
  return new KvError("DEPENDENCY_MISSING", message, { operation: "open", backend: KIND, cause })
}
