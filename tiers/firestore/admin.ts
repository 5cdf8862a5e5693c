import type { CallOptions, Metadata } from "./channel.ts"
import { clientOptions, DEFAULT_DATABASE, type FirestoreSettings, loadSdk, stubOf } from "./settings.ts"

export const PROVISION = "provision"

/** The calls of the Firestore Admin API that provisioning makes. They reject with gRPC's errors. */
export interface FirestoreAdmin {
  getDatabase(): Promise<Database>
  createDatabase(database: Database): Promise<void>
  getField(field: string): Promise<Field>
  /** Changes the settings that `paths` names, and no others. */
  updateField(field: string, config: Partial<Field>, paths: readonly string[]): Promise<void>
  close(): void
}

/** The messages of the protocol, `google.firestore.admin.v1`. Only the used fields are declared. */
export interface Database {
  type?: string
  locationId?: string
  deleteProtectionState?: string
}

export interface Field {
  indexConfig?: { indexes?: object[]; usesAncestorConfig?: boolean } | null
  ttlConfig?: { state?: string } | null
}

interface AdminStub {
  getDatabase: Unary<Database>
  createDatabase: Unary<Operation>
  getField: Unary<Field>
  updateField: Unary<Operation>
  close(): void
}

type Unary<Response> = (
  request: object,
  metadata: Metadata,
  options: CallOptions,
  callback: (error: Error | null, response: Response) => void,
) => void

interface Operation {
  /** Present if the operation failed at once. */
  error?: { code: number; message: string } | null
}

/** Rejects with `DEPENDENCY_MISSING`, `BINDING_INVALID` or `ACCESS_DENIED`. */
export async function openAdmin(
  settings: FirestoreSettings,
  collection: string,
  requestTimeoutMs: number,
): Promise<FirestoreAdmin> {
  const { sdk, gax } = await loadSdk()
  const client = new sdk.v1.FirestoreAdminClient(clientOptions(settings, gax), gax)
  const stub = (await stubOf(client)) as AdminStub
  const { projectId, databaseId = DEFAULT_DATABASE } = settings
  const parent = `projects/${projectId}`
  const database = `${parent}/databases/${databaseId}`
  const nameOf = (field: string) => `${database}/collectionGroups/${collection}/fields/${field}`

  function call<Response>(send: Unary<Response>, request: object, route: string): Promise<Response> {
    const metadata = new gax.grpc.Metadata()
    metadata.set("x-goog-request-params", route)
    return new Promise((resolve, reject) => {
      send.call(stub, request, metadata, { deadline: Date.now() + requestTimeoutMs }, (error, response) => {
        if (error === null) resolve(response)
        else reject(error)
      })
    })
  }

  async function begin(send: Unary<Operation>, request: object, route: string): Promise<void> {
    const { error } = await call(send, request, route)
    if (error) throw Object.assign(new Error(error.message), { code: error.code, details: error.message })
  }

  return {
    getDatabase: () => call(stub.getDatabase, { name: database }, `name=${encodeURIComponent(database)}`),
    createDatabase: (created) =>
      begin(
        stub.createDatabase,
        { parent, databaseId, database: created },
        `parent=${encodeURIComponent(parent)}`,
      ),
    getField: (field) =>
      call(stub.getField, { name: nameOf(field) }, `name=${encodeURIComponent(nameOf(field))}`),
    updateField: (field, config, paths) =>
      begin(
        stub.updateField,
        { field: { name: nameOf(field), ...config }, updateMask: { paths } },
        `field.name=${encodeURIComponent(nameOf(field))}`,
      ),
    close: () => stub.close(),
  }
}
