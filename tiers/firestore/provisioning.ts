import { KvError } from "../errors.ts"
import type { ProvisioningReport, ProvisioningStep } from "../provisioning.ts"
import { type Runtime, systemRuntime } from "../runtime.ts"
import {
  bool,
  type Checks,
  checkAllOptions,
  optional,
  runtimeOption,
  text,
  wholeNumber,
} from "../util/checks.ts"
import { type Database, type Field, type FirestoreAdmin, openAdmin, PROVISION } from "./admin.ts"
import { GRPC, KIND, statusOf, toKvError } from "./errors.ts"
import { checkFirestoreSettings, DEFAULT_DATABASE, type FirestoreSettings } from "./settings.ts"

export interface FirestoreProvisioning {
  collection: string
  /** Region (`europe-west1`) or multi-region (`eur3`) of a database that is created here. It cannot be changed later. */
  location?: string
  /** Whether a database that is created here has deletion protection: it cannot be deleted before that is turned off. @default true */
  deletionProtection?: boolean
  /**
   * Longest time of the whole call, ms. Google takes half a minute to create a database. A TTL policy or an index can take many minutes; Google
   * continues with them after the call has ended.
   * @default 120_000
   */
  timeoutMs?: number
  /** Clock and timers. @default the system's */
  runtime?: Runtime
}

const DEFAULT_TIMEOUT_MS = 120_000
const MAX_REQUEST_TIMEOUT_MS = 30_000

const OPTIONS: Checks = {
  collection: text("collection"),
  location: optional(text("location")),
  deletionProtection: optional(bool("deletionProtection")),
  timeoutMs: optional(wholeNumber("timeoutMs", 1)),
  runtime: runtimeOption,
}

/** The role of a service that reads and writes a store. */
export const FIRESTORE_DATA_ROLE = "roles/datastore.user"

/** The permissions that {@link provisionFirestore} needs. */
export const FIRESTORE_PROVISIONING_PERMISSIONS = [
  "datastore.databases.create",
  "datastore.databases.getMetadata",
  "datastore.indexes.get",
  "datastore.indexes.update",
] as const

const POLL_MS = 1_000
const EXPIRY = "expires_at"
const TTL = `TTL policy on \`${EXPIRY}\``
/** The other fields, which no query uses either. Firestore indexes every field without an exemption. */
const UNINDEXED = ["value", "version", "created_at"] as const

/**
 * Creates the database of a store, in native mode and with deletion protection, if there is none. Sets a TTL policy on `expires_at` of the
 * collection, and exempts it, `value`, `version` and `created_at` from indexing. A setting that somebody has made otherwise is reported and
 * not changed.
 *
 * Rejects with `BINDING_INVALID` if the database is in Datastore mode, or if there is none and `location` is not given; with
 * `INVALID_OPTION` if a setting or an option is unknown or has no legal value.
 */
export async function provisionFirestore(
  settings: FirestoreSettings,
  options: FirestoreProvisioning,
): Promise<ProvisioningReport> {
  checkFirestoreSettings(settings)
  checkAllOptions(options, OPTIONS, PROVISION)
  const { collection, timeoutMs = DEFAULT_TIMEOUT_MS, runtime = systemRuntime } = options
  const { projectId, databaseId = DEFAULT_DATABASE } = settings
  const target = `${projectId}/${databaseId}/${collection}`
  const patience = { runtime, deadline: runtime.monotonic() + timeoutMs }
  try {
    const admin = await openAdmin(settings, collection, Math.min(timeoutMs, MAX_REQUEST_TIMEOUT_MS))
    try {
      const steps = await ensureDatabase(admin, options, patience)
      steps.push(...(await ensureExpiry(admin, patience)))
      for (const field of UNINDEXED) steps.push(...(await ensureUnindexed(admin, field, patience)))
      return { target: `collection ${target}`, steps }
    } finally {
      admin.close()
    }
  } catch (error) {
    const needs = FIRESTORE_PROVISIONING_PERMISSIONS.join(", ")
    throw toKvError(error, { operation: PROVISION, effect: "read", target, needs })
  }
}

/** How long {@link eventually} asks again. */
interface Patience {
  runtime: Runtime
  /** On the monotonic clock. */
  deadline: number
}

function ensureDatabase(
  admin: FirestoreAdmin,
  options: FirestoreProvisioning,
  patience: Patience,
): Promise<ProvisioningStep[]> {
  const { location, deletionProtection = true } = options
  const name = "database in native mode"
  return orUnsupported([name], async () => {
    const { found } = await eventually(patience, async () => ({ found: await orAbsent(admin.getDatabase()) }))
    if (found === undefined) await createDatabase(admin, options, patience)
    const database = found ?? (await eventually(patience, () => orAbsent(admin.getDatabase())))
    if (database.type !== "FIRESTORE_NATIVE") throw notNative(database)

    const isProtected = database.deleteProtectionState === "DELETE_PROTECTION_ENABLED"
    const step = (name: string, holds: boolean, detail = ""): ProvisioningStep =>
      holds
        ? { name, outcome: found === undefined ? "created" : "verified" }
        : { name, outcome: "differs", detail }
    return [
      step(name, true),
      step(
        `location ${location ?? database.locationId}`,
        location === undefined || location === database.locationId,
        `it is in ${database.locationId}, and a database cannot be moved`,
      ),
      step(
        `deletion protection ${deletionProtection ? "on" : "off"}`,
        isProtected === deletionProtection,
        `it is ${isProtected ? "on" : "off: anyone who may delete databases can drop the store"}`,
      ),
    ]
  })
}

async function createDatabase(
  admin: FirestoreAdmin,
  { location, deletionProtection = true }: FirestoreProvisioning,
  patience: Patience,
): Promise<void> {
  if (location === undefined) {
    throw new KvError(
      "BINDING_INVALID",
      "there is no such database, and no `location` to create it in; name a region or multi-region, for example `eur3`",
      { operation: PROVISION, backend: KIND },
    )
  }
  const database = {
    type: "FIRESTORE_NATIVE",
    locationId: location,
    deleteProtectionState: deletionProtection ? "DELETE_PROTECTION_ENABLED" : "DELETE_PROTECTION_DISABLED",
  }
  await eventually(patience, async () => {
    try {
      await admin.createDatabase(database)
    } catch (error) {
      // Somebody else has just created it, or an attempt of this call whose reply was lost.
      if (statusOf(error) !== GRPC.ALREADY_EXISTS) throw error
    }
    return true
  })
}

function notNative({ type }: Database): KvError {
  return new KvError(
    "BINDING_INVALID",
    `the database is of type ${type}; a store needs one in native mode: use another database`,
    { operation: PROVISION, backend: KIND },
  )
}

/**
 * A TTL policy works on a field without an index. An index on times that rise, as expiries do, limits the writes of a collection to about 500
 * a second. One update sets both, because an operation on a field can refuse another that is sent before it has ended.
 */
function ensureExpiry(admin: FirestoreAdmin, patience: Patience): Promise<ProvisioningStep[]> {
  return orUnsupported([TTL, unindexed(EXPIRY)], async () => {
    const { ttlConfig, indexConfig } = await eventually(patience, () => admin.getField(EXPIRY))
    const hasIndexes = isIndexedAsOthers(indexConfig)
    const paths = [...(ttlConfig ? [] : ["ttl_config"]), ...(hasIndexes ? ["index_config"] : [])]
    const config = {
      ...(ttlConfig ? {} : { ttlConfig: {} }),
      ...(hasIndexes ? { indexConfig: NO_INDEXES } : {}),
    }
    if (paths.length > 0) await change(patience, () => admin.updateField(EXPIRY, config, paths))
    return [timeToLiveStep(ttlConfig), indexStep(EXPIRY, indexConfig)]
  })
}

function timeToLiveStep(found: Field["ttlConfig"]): ProvisioningStep {
  if (!found) return { name: TTL, outcome: "created" }
  if (found.state !== "NEEDS_REPAIR") return { name: TTL, outcome: "verified" }
  const detail = "Google could not set it up on every document; remove the policy, and provision again"
  return { name: TTL, outcome: "differs", detail }
}

function ensureUnindexed(
  admin: FirestoreAdmin,
  field: string,
  patience: Patience,
): Promise<ProvisioningStep[]> {
  return orUnsupported([unindexed(field)], async () => {
    const { indexConfig } = await eventually(patience, () => admin.getField(field))
    if (isIndexedAsOthers(indexConfig)) {
      await change(patience, () => admin.updateField(field, { indexConfig: NO_INDEXES }, ["index_config"]))
    }
    return [indexStep(field, indexConfig)]
  })
}

const NO_INDEXES = { indexes: [] }

const unindexed = (field: string) => `no index on \`${field}\``

/** Whether the field has the indexes that every field of the database has, and no setting of its own. */
function isIndexedAsOthers(found: Field["indexConfig"]): boolean {
  return !found || found.usesAncestorConfig === true
}

function indexStep(field: string, found: Field["indexConfig"]): ProvisioningStep {
  const name = unindexed(field)
  if (isIndexedAsOthers(found)) return { name, outcome: "created" }
  const indexes = found?.indexes?.length ?? 0
  if (indexes === 0) return { name, outcome: "verified" }
  const cost =
    field === EXPIRY
      ? "which limit the collection to about 500 writes a second"
      : "which every write pays for"
  return {
    name,
    outcome: "differs",
    detail: `it has ${indexes} of its own, ${cost}; remove them if nothing asks by them`,
  }
}

async function orUnsupported(
  names: readonly string[],
  ensure: () => Promise<ProvisioningStep[]>,
): Promise<ProvisioningStep[]> {
  try {
    return await ensure()
  } catch (error) {
    if (statusOf(error) === GRPC.UNIMPLEMENTED) {
      return names.map((name) => ({ name, outcome: "unsupported" }))
    }
    throw error
  }
}

/** The answer; `undefined` if the service answers `NOT_FOUND`. */
async function orAbsent<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer
  } catch (error) {
    if (statusOf(error) === GRPC.NOT_FOUND) return undefined
    throw error
  }
}

async function change(patience: Patience, make: () => Promise<void>): Promise<void> {
  await eventually(patience, async () => {
    await make()
    return true
  })
}

const PASSING: ReadonlySet<number | undefined> = new Set([
  GRPC.ABORTED,
  GRPC.DEADLINE_EXCEEDED,
  GRPC.RESOURCE_EXHAUSTED,
  GRPC.UNAVAILABLE,
])

/**
 * Asks until there is an answer, again after failures that can pass. Rejects with the last failure at the deadline, or with `TIMEOUT` if
 * there was none.
 */
async function eventually<T>({ runtime, deadline }: Patience, ask: () => Promise<T | undefined>): Promise<T> {
  for (;;) {
    let failure: unknown
    try {
      const answer = await ask()
      if (answer !== undefined) return answer
    } catch (error) {
      if (!PASSING.has(statusOf(error))) throw error
      failure = error
    }
    if (runtime.monotonic() + POLL_MS > deadline) {
      const message = "the database was not ready in time; provision again to go on from here"
      throw failure ?? new KvError("TIMEOUT", message, { operation: PROVISION, backend: KIND })
    }
    await new Promise<void>((resolve) => void runtime.setTimer(resolve, POLL_MS))
  }
}
