import { afterEach, describe, expect, test } from "vitest"
import { KvError } from "../../../tiers/errors.ts"
import type { Database, Field } from "../../../tiers/firestore/admin.ts"
import type { FirestoreProvisioning } from "../../../tiers/firestore/provisioning.ts"
import { provisionFirestore } from "../../../tiers/firestore/provisioning.ts"
import type { ProvisioningReport } from "../../../tiers/provisioning.ts"
import { type Runtime, systemRuntime } from "../../../tiers/runtime.ts"
import { GrpcFailure, type GrpcServer, grpcServer } from "../../support/grpc-server.ts"

const DATABASE = "projects/some-project/databases/kv"
const NATIVE: Database = {
  type: "FIRESTORE_NATIVE",
  locationId: "eur3",
  deleteProtectionState: "DELETE_PROTECTION_ENABLED",
}

/** The state behind the Admin API of the test's server. The emulator has no Admin API. */
interface Admin {
  database?: Database
  fields: Map<string, Field>
  /** Number of calls of `getDatabase` before a created database is visible. */
  makingTakes: number
}

const servers: GrpcServer[] = []
afterEach(async () => {
  for (const server of servers.splice(0)) await server[Symbol.asyncDispose]()
})

async function adminServer(admin: Admin, failures: GrpcFailure[] = []): Promise<GrpcServer> {
  let made: Database | undefined
  const failing =
    <Request, Response>(answer: (request: Request) => Response) =>
    (request: Request): Response => {
      const failure = failures.shift()
      if (failure !== undefined) throw failure
      return answer(request)
    }
  const server = await grpcServer("FirestoreAdmin", {
    getDatabase: failing(({ name }) => {
      expect(name).toBe(DATABASE)
      if (made !== undefined && admin.makingTakes-- <= 0) admin.database = made
      if (admin.database === undefined)
        throw new GrpcFailure(5, "Project 'p' or database 'kv' does not exist.")
      return admin.database
    }),
    createDatabase: failing(({ parent, databaseId, database }) => {
      expect([parent, databaseId]).toEqual(["projects/some-project", "kv"])
      if (made !== undefined || admin.database !== undefined)
        throw new GrpcFailure(6, "Database already exists.")
      made = isObject(database) ? database : {}
      return { name: `${DATABASE}/operations/1` }
    }),
    getField: failing(
      ({ name }) => admin.fields.get(String(name)) ?? { indexConfig: { usesAncestorConfig: true } },
    ),
    updateField: failing(({ field, updateMask }) => {
      if (!isObject(field) || !isObject(updateMask)) throw new GrpcFailure(3, "no field")
      const name = String(field.name)
      const before = admin.fields.get(name) ?? { indexConfig: { usesAncestorConfig: true } }
      const after = { ...before }
      for (const path of [updateMask.paths].flat()) {
        if (path === "ttl_config" && isObject(field.ttlConfig)) after.ttlConfig = { state: "CREATING" }
        else if (path === "index_config" && isObject(field.indexConfig)) {
          after.indexConfig = { ...field.indexConfig }
        } else throw new GrpcFailure(3, `unexpected mask ${path}`)
      }
      admin.fields.set(name, after)
      return { name: `${DATABASE}/operations/2` }
    }),
  })
  servers.push(server)
  return server
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null

/** A runtime whose timers fire at once, with the monotonic clock moved on by their delay. */
function hastyRuntime(): Runtime {
  let skippedMs = 0
  return {
    ...systemRuntime,
    monotonic: () => systemRuntime.monotonic() + skippedMs,
    setTimer(callback, delayMs) {
      skippedMs += delayMs
      const due = setImmediate(callback)
      return { cancel: () => clearImmediate(due) }
    },
  }
}

function provision(server: GrpcServer, options: Partial<FirestoreProvisioning> = {}) {
  const settings = { projectId: "some-project", databaseId: "kv", endpoint: server.endpoint }
  return provisionFirestore(settings, { collection: "cache", runtime: hastyRuntime(), ...options })
}

function outcomes(report: ProvisioningReport): Record<string, string> {
  return Object.fromEntries(report.steps.map(({ name, outcome }) => [name, outcome]))
}

describe("provisionFirestore", () => {
  test("makes the database, the TTL policy and the exemptions; run again, it verifies and changes nothing", async () => {
    const admin: Admin = { fields: new Map(), makingTakes: 3 }
    const server = await adminServer(admin)
    const first = await provision(server, { location: "eur3" })
    expect(first.target).toBe("collection some-project/kv/cache")
    expect(outcomes(first)).toEqual({
      "database in native mode": "created",
      "location eur3": "created",
      "deletion protection on": "created",
      "TTL policy on `expires_at`": "created",
      "no index on `expires_at`": "created",
      "no index on `value`": "created",
      "no index on `version`": "created",
      "no index on `created_at`": "created",
    })
    expect(admin.database).toMatchObject(NATIVE)
    const fieldOf = (name: string) => admin.fields.get(`${DATABASE}/collectionGroups/cache/fields/${name}`)
    expect(fieldOf("expires_at")?.ttlConfig?.state).toBe("CREATING")
    for (const name of ["expires_at", "value", "version", "created_at"]) {
      expect(fieldOf(name)?.indexConfig).toMatchObject({ indexes: [], usesAncestorConfig: false })
    }

    server.calls.length = 0
    const second = await provision(server, { location: "eur3" })
    expect(new Set(Object.values(outcomes(second)))).toEqual(new Set(["verified"]))
    expect(server.calls.filter((call) => /create|update/.test(call))).toEqual([])
  })

  test("reports what differs and leaves it alone", async () => {
    const fields = new Map<string, Field>([
      [
        `${DATABASE}/collectionGroups/cache/fields/expires_at`,
        { ttlConfig: { state: "NEEDS_REPAIR" }, indexConfig: { indexes: [{}] } },
      ],
      [`${DATABASE}/collectionGroups/cache/fields/value`, { indexConfig: { indexes: [{}, {}] } }],
    ])
    const database = { ...NATIVE, deleteProtectionState: "DELETE_PROTECTION_DISABLED" }
    const server = await adminServer({ database, fields, makingTakes: 0 })
    const report = await provision(server, { location: "nam5" })
    expect(outcomes(report)).toEqual({
      "database in native mode": "verified",
      "location nam5": "differs",
      "deletion protection on": "differs",
      "TTL policy on `expires_at`": "differs",
      "no index on `expires_at`": "differs",
      "no index on `value`": "differs",
      "no index on `version`": "created",
      "no index on `created_at`": "created",
    })
    for (const step of report.steps) expect(step.detail !== undefined).toBe(step.outcome === "differs")
  })

  test("exempts `expires_at` from indexing where a TTL policy alone was set, and keeps the policy", async () => {
    const name = `${DATABASE}/collectionGroups/cache/fields/expires_at`
    const indexes = [{ fields: [{ fieldPath: "expires_at" }] }]
    const field = { ttlConfig: { state: "ACTIVE" }, indexConfig: { usesAncestorConfig: true, indexes } }
    const admin = { database: NATIVE, fields: new Map<string, Field>([[name, field]]), makingTakes: 0 }
    const server = await adminServer(admin)
    expect(outcomes(await provision(server))).toMatchObject({
      "TTL policy on `expires_at`": "verified",
      "no index on `expires_at`": "created",
    })
    expect(admin.fields.get(name)).toMatchObject({
      ttlConfig: { state: "ACTIVE" },
      indexConfig: { indexes: [], usesAncestorConfig: false },
    })
  })

  test("keeps asking through failures that pass", async () => {
    const failures = [14, 10, 8, 4].map((code) => new GrpcFailure(code, "not now"))
    const server = await adminServer({ database: NATIVE, fields: new Map(), makingTakes: 0 }, failures)
    expect(outcomes(await provision(server))["database in native mode"]).toBe("verified")
  })

  test.each([
    ["no location to make the database in", {}, undefined, "BINDING_INVALID"],
    ["a database in Datastore mode", {}, { ...NATIVE, type: "DATASTORE_MODE" }, "BINDING_INVALID"],
    ["a database that is never ready", { location: "eur3", timeoutMs: 5_000 }, undefined, "TIMEOUT"],
  ])("rejects: %s", async (_, options, database, code) => {
    const server = await adminServer({
      ...(database === undefined ? {} : { database }),
      fields: new Map(),
      makingTakes: Number.POSITIVE_INFINITY,
    })
    await expect(provision(server, options)).rejects.toMatchObject({ code, operation: "provision" })
  })

  test("rejects without permission, and says which it takes", async () => {
    const server = await adminServer({ fields: new Map(), makingTakes: 0 }, [new GrpcFailure(7, "denied")])
    const error = await provision(server).catch((error: unknown) => error)
    expect(error).toBeInstanceOf(KvError)
    expect(error).toMatchObject({
      code: "ACCESS_DENIED",
      message: expect.stringContaining("datastore.indexes.update"),
    })
  })

  test("finds nothing to do on an emulator, which has no Admin API", async () => {
    const server = await grpcServer("FirestoreAdmin", {})
    servers.push(server)
    expect(new Set(Object.values(outcomes(await provision(server))))).toEqual(new Set(["unsupported"]))
  })
})
