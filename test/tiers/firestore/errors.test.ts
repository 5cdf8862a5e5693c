import { afterEach, beforeEach, describe, expect, test, vi } from "vitest"
import type { Backend, Write } from "../../../tiers/backend.ts"
import { KvError } from "../../../tiers/errors.ts"
import { firestore } from "../../../tiers/firestore/backend.ts"
import { NotSent, toKvError } from "../../../tiers/firestore/errors.ts"
import {
  checkVersion,
  clientOptions,
  type FirestoreSettings,
  loadSdk,
} from "../../../tiers/firestore/settings.ts"
import { systemRuntime } from "../../../tiers/runtime.ts"
import { codeOf, failureOf } from "../../support/failures.ts"
import { GrpcFailure, grpcServer, type Handler } from "../../support/grpc-server.ts"
import { testRuntime } from "../../support/runtime.ts"

const KEY = "personal-key"
const SECRET = "secret-value"
/** Time for calls that are to be answered on a busy machine, ms. */
const PATIENT_MS = 20_000
const write: Write = { value: Buffer.from(SECRET), id: systemRuntime.id() }

async function failing(fail: Handler) {
  const server = await grpcServer("Firestore", { batchGetDocuments: fail, commit: fail, runQuery: fail })
  const backend = firestore({ projectId: "some-project", endpoint: server.endpoint }, { collection: "rows" })
  await backend.open()
  return {
    server,
    backend,
    async [Symbol.asyncDispose]() {
      await backend.close()
      await server[Symbol.asyncDispose]()
    },
  }
}

const READS: Record<string, (backend: Backend) => unknown> = {
  get: (backend) => backend.get(KEY),
  getMany: (backend) => backend.getMany([KEY]),
  exists: (backend) => backend.exists(KEY),
  probe: (backend) => backend.probe([KEY]),
  scan: (backend) => backend.scan("", { limit: 1 }),
}

const WRITES: Record<string, (backend: Backend) => unknown> = {
  put: (backend) => backend.put(KEY, write),
  create: (backend) => backend.put(KEY, { ...write, condition: { absent: true } }),
  replace: (backend) =>
    backend.put(KEY, { ...write, condition: { version: `1795376164.945485000-${write.id}-` } }),
  delete: (backend) => backend.delete(KEY, { id: write.id }),
  putMany: async (backend) => throwIt((await backend.putMany(new Map([[KEY, write]]))).get(KEY)),
  deleteMany: async (backend) =>
    throwIt((await backend.deleteMany(new Map([[KEY, { id: write.id }]]))).get(KEY)),
}

function throwIt(result: unknown): void {
  if (result instanceof KvError) throw result
}

describe("a status of the service", () => {
  const statuses: [name: string, code: number, read: string, write: string][] = [
    ["CANCELLED", 1, "UNAVAILABLE", "OUTCOME_UNKNOWN"],
    ["UNKNOWN", 2, "UNAVAILABLE", "OUTCOME_UNKNOWN"],
    ["INVALID_ARGUMENT", 3, "BINDING_INVALID", "BINDING_INVALID"],
    ["DEADLINE_EXCEEDED", 4, "TIMEOUT", "OUTCOME_UNKNOWN"],
    ["NOT_FOUND", 5, "STORE_NOT_FOUND", "STORE_NOT_FOUND"],
    ["PERMISSION_DENIED", 7, "ACCESS_DENIED", "ACCESS_DENIED"],
    ["RESOURCE_EXHAUSTED", 8, "THROTTLED", "OUTCOME_UNKNOWN"],
    ["FAILED_PRECONDITION", 9, "BINDING_INVALID", "BINDING_INVALID"],
    ["ABORTED", 10, "THROTTLED", "THROTTLED"],
    ["OUT_OF_RANGE", 11, "UNAVAILABLE", "OUTCOME_UNKNOWN"],
    ["UNIMPLEMENTED", 12, "BINDING_INVALID", "BINDING_INVALID"],
    ["INTERNAL", 13, "UNAVAILABLE", "OUTCOME_UNKNOWN"],
    ["UNAVAILABLE", 14, "UNAVAILABLE", "OUTCOME_UNKNOWN"],
    ["DATA_LOSS", 15, "UNAVAILABLE", "OUTCOME_UNKNOWN"],
    ["UNAUTHENTICATED", 16, "ACCESS_DENIED", "ACCESS_DENIED"],
  ]

  test.each(statuses)("%s", async (name, code, read, wrote) => {
    const details = `${name} at projects/p/databases/d/documents/rows/${KEY}`
    await using service = await failing(() => {
      throw new GrpcFailure(code, details)
    })
    for (const [operations, expected] of [
      [READS, read],
      [WRITES, wrote],
    ] as const) {
      for (const [operation, call] of Object.entries(operations)) {
        service.server.calls.length = 0
        const error = await failureOf(call(service.backend))
        expect(error.code, operation).toBe(expected)
        expect(error.backend).toBe("firestore")
        expect(error.message, "the key belongs in its property").not.toContain(KEY)
        expect(error.message).not.toContain(SECRET)
        expect(innermost(error)).toMatchObject({ code, details })
        // After a commit whose precondition did not hold the row is read; no request is sent twice.
        expect(service.server.calls.filter((method) => method === service.server.calls[0])).toHaveLength(1)
        if (!["getMany", "probe", "scan"].includes(operation)) expect(error.key, operation).toBe(KEY)
      }
    }
  })
})

function innermost(error: unknown): unknown {
  return error instanceof KvError ? innermost(error.cause) : error
}

describe("an answer that settles nothing", () => {
  test("a document that the service leaves out is not absent", async () => {
    await using service = await failing(() => [])
    for (const read of [READS.get, READS.exists]) {
      expect((await failureOf(read?.(service.backend))).code).toBe("THROTTLED")
    }
    for (const answer of [await service.backend.getMany([KEY]), await service.backend.probe([KEY])]) {
      expect(answer.get(KEY)).toMatchObject({ code: "THROTTLED", key: KEY })
    }
  })

  test("a create gives up against a row that comes and goes", async () => {
    const server = await grpcServer("Firestore", {
      commit: () => {
        throw new GrpcFailure(6, "it is there")
      },
      batchGetDocuments: ({ documents }) => ({ missing: String([documents].flat()[0]) }),
    })
    const backend = firestore({ projectId: "p", endpoint: server.endpoint }, { collection: "rows" })
    await backend.open()
    const error = await failureOf(WRITES.create?.(backend))
    expect(error).toMatchObject({ code: "THROTTLED", retryable: true, key: KEY })
    await backend.close()
    await server[Symbol.asyncDispose]()
  })
})

describe("the limit of a call", () => {
  test("bounds all its requests together: nothing is sent after it", async () => {
    const runtime = testRuntime()
    const refuse: Handler = async () => {
      await runtime.advance(1_000)
      throw new GrpcFailure(6, "it is there")
    }
    await using server = await grpcServer("Firestore", { commit: refuse })
    const backend = firestore({ projectId: "p", endpoint: server.endpoint }, { collection: "rows", runtime })
    await backend.open()
    const late = backend.put(KEY, { ...write, condition: { absent: true } }, { timeoutMs: 1_000 })
    expect(await failureOf(late)).toMatchObject({ code: "UNAVAILABLE", key: KEY })
    expect(server.calls).toEqual(["commit"])
    await backend.close()
  })

  test("is the option of the backend if the call has none", async () => {
    const runtime = testRuntime()
    await using server = await grpcServer("Firestore", {
      commit: async () => {
        await runtime.advance(PATIENT_MS)
        throw new GrpcFailure(6, "it is there")
      },
      batchGetDocuments: ({ documents }) => ({ missing: String([documents].flat()[0]) }),
    })
    const options = { collection: "rows", runtime, requestTimeoutMs: 2 * PATIENT_MS - 1 }
    const backend = firestore({ projectId: "p", endpoint: server.endpoint }, options)
    await backend.open()
    expect(await codeOf(backend.put(KEY, { ...write, condition: { absent: true } }))).toBe("UNAVAILABLE")
    expect(server.calls).toEqual(["commit", "batchGetDocuments", "commit"])
    await backend.close()
  })
})

describe("opening", () => {
  beforeEach(() => {
    // Otherwise the search for credentials asks the metadata service of the machine.
    vi.stubEnv("METADATA_SERVER_DETECTION", "none")
    vi.stubEnv("GOOGLE_APPLICATION_CREDENTIALS", "")
    vi.stubEnv("HOME", "/nowhere")
    vi.stubEnv("FIRESTORE_EMULATOR_HOST", "")
  })
  afterEach(() => vi.unstubAllEnvs())

  const open = (settings: Partial<FirestoreSettings>) =>
    firestore({ projectId: "p", ...settings }, { collection: "rows" }).open()

  test("without credentials is denied, and says what to do", async () => {
    const error = await failureOf(open({}))
    expect(error.code).toBe("ACCESS_DENIED")
    expect(error.message).toContain("gcloud auth application-default login")
  })

  test("with a key file that is not there is denied", async () => {
    expect((await failureOf(open({ keyFilename: "/nowhere/key.json" }))).code).toBe("ACCESS_DENIED")
  })

  test("fails again, and for the same reason, when it is tried again", async () => {
    const backend = firestore({ projectId: "p" }, { collection: "rows" })
    for (let round = 0; round < 2; round++) {
      expect((await failureOf(backend.open())).code).toBe("ACCESS_DENIED")
    }
    expect((await failureOf(backend.get(KEY))).code).toBe("CLOSED")
  })

  test.each(["not a host", "http://host:1/path", "ftp://host", "http://user@host:1"])(
    "refuses the endpoint %s",
    async (endpoint) => {
      expect((await failureOf(open({ endpoint }))).code).toBe("BINDING_INVALID")
    },
  )

  test.each(["6.8.0", "7.1.0"])(
    "names the version %s of the package, which is too old, and the version that is needed",
    async (version) => {
      const error = await failureOf(() => checkVersion(version))
      expect(error).toMatchObject({ code: "DEPENDENCY_MISSING", retryable: false })
      expect(error.message).toContain(`@google-cloud/firestore ${version} is installed`)
      expect(error.message).toContain("version 7.2 or later is needed")
    },
  )

  test.each(["7.2.0", "7.11.6", "8.0.0", "9.4.1", undefined])(
    "accepts version %s of the package",
    (version) => {
      checkVersion(version)
    },
  )

  test("an emulator needs nothing of google-gax that version 4, which comes with version 7 of the package, lacks", async () => {
    const { gax } = await loadSdk()
    const { grpc, GoogleAuth } = gax
    const { auth } = clientOptions({ projectId: "p", endpoint: "127.0.0.1:1" }, { grpc, GoogleAuth })
    expect(await auth?.getUniverseDomain()).toBe("googleapis.com")
  })
})

describe("an error that the service did not send", () => {
  test("without a status is an outage of a read, a doubt of a write", () => {
    const cause = new Error("socket hang up")
    expect(toKvError(cause, { operation: "get", effect: "read" })).toMatchObject({
      code: "UNAVAILABLE",
      cause,
    })
    expect(toKvError(cause, { operation: "put", effect: "write" }).code).toBe("OUTCOME_UNKNOWN")
    expect(toKvError("thrown", { operation: "put", effect: "write" }).code).toBe("OUTCOME_UNKNOWN")
  })

  test("for want of an access token is ACCESS_DENIED, or UNAVAILABLE if the network was to blame", () => {
    const call = { operation: "put", effect: "write" } as const
    const failed = (why: string) =>
      toKvError(
        Object.assign(new Error(), {
          code: 2,
          details: `Getting metadata from plugin failed with error: ${why}`,
        }),
        call,
      )
    expect(failed("invalid_grant: account not found").code).toBe("ACCESS_DENIED")
    expect(failed("request to https://oauth2… failed, reason: connect ECONNREFUSED").code).toBe("UNAVAILABLE")
    expect(failed("Request failed with status code 503").code).toBe("UNAVAILABLE")
    expect(failed("Request failed with status code 429").code).toBe("UNAVAILABLE")
    expect(failed("network timeout at: http://metadata.google.internal").code).toBe("UNAVAILABLE")
    expect(failed("Request failed with status code 403").code).toBe("ACCESS_DENIED")
  })

  test("before there was a connection leaves no doubt, unless an earlier attempt may have been sent", () => {
    const refused = Object.assign(new Error(), {
      code: 14,
      details: "No connection established. Last error: …",
    })
    const call = { operation: "put", effect: "write" } as const
    expect(toKvError(refused, call).code).toBe("UNAVAILABLE")
    expect(toKvError(refused, { ...call, mayRepeat: true }).code).toBe("OUTCOME_UNKNOWN")
  })

  test("because no channel had room in time is a timeout of a read, and UNAVAILABLE for a write", () => {
    const late = new NotSent("late")
    expect(toKvError(late, { operation: "get", effect: "read" }).code).toBe("TIMEOUT")
    expect(toKvError(late, { operation: "put", effect: "write" }).code).toBe("UNAVAILABLE")
    expect(toKvError(late, { operation: "put", effect: "write", mayRepeat: true }).code).toBe("UNAVAILABLE")
    expect(toKvError(late, { operation: "put", effect: "reread" }).code).toBe("UNAVAILABLE")
    expect(toKvError(late, { operation: "put", effect: "reread", mayRepeat: true }).code).toBe(
      "OUTCOME_UNKNOWN",
    )
  })

  test.each([
    ["ABORTED", 10],
    ["RESOURCE_EXHAUSTED", 8],
    ["UNAVAILABLE", 14],
  ])("%s, after which a client repeats a commit, leaves a doubt over a client", (_, code) => {
    const last = Object.assign(new Error(), { code, details: "" })
    expect(toKvError(last, { operation: "put", effect: "write", mayRepeat: true }).code).toBe(
      "OUTCOME_UNKNOWN",
    )
  })
})
