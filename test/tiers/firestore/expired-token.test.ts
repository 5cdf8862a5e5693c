import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { createServer, type Server } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, afterEach, describe, expect, test, vi } from "vitest"
import type { Backend } from "../../../tiers/backend.ts"
import { firestore } from "../../../tiers/firestore/backend.ts"
import { systemRuntime } from "../../../tiers/runtime.ts"
import { resilient } from "../../../tiers/wrappers/resilience/resilience.ts"
import { listenOnLoopback } from "../../servers/server.ts"
import { codeOf } from "../../support/failures.ts"
import { GrpcFailure, type GrpcServer, grpcServer } from "../../support/grpc-server.ts"
import { selfSigned } from "../../support/self-signed.ts"

const certificate = await selfSigned()
const folder = mkdtempSync(join(tmpdir(), "tiered-kv-roots-"))
if (certificate !== undefined) {
  writeFileSync(join(folder, "roots.pem"), certificate.cert)
  // gRPC reads it when it is loaded.
  vi.stubEnv("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", join(folder, "roots.pem"))
}

/** Google's metadata service, which gives tokens good for an hour: `token-1`, `token-2`, … */
const metadata = { given: 0, status: 200 }
const metadataServer: Server = createServer(({ url = "" }, response) => {
  response.setHeader("Metadata-Flavor", "Google")
  if (!url.includes("/token")) return void response.writeHead(404).end()
  if (metadata.status !== 200) return void response.writeHead(metadata.status).end("{}")
  const token = { access_token: `token-${++metadata.given}`, expires_in: 3_600, token_type: "Bearer" }
  response.setHeader("Content-Type", "application/json").end(JSON.stringify(token))
})
vi.stubEnv("GCE_METADATA_HOST", `127.0.0.1:${await listenOnLoopback(metadataServer)}`)
vi.stubEnv("METADATA_SERVER_DETECTION", "assume-present")
vi.stubEnv("GOOGLE_APPLICATION_CREDENTIALS", "")
vi.stubEnv("HOME", "/nowhere")
vi.stubEnv("FIRESTORE_EMULATOR_HOST", "")

/** The tokens of the requests, and the numbers of those that the service accepts. */
const seen: string[] = []
const accepted = { from: 1 }
const checked = (authorization: string | undefined) => {
  const token = String(authorization).replace("Bearer ", "")
  seen.push(token)
  if (Number(token.replace("token-", "")) < accepted.from) throw new GrpcFailure(16, "the token has expired")
}

let server: GrpcServer | undefined
const opened: Backend[] = []
async function open(): Promise<Backend> {
  server ??= await grpcServer(
    "Firestore",
    {
      batchGetDocuments({ documents }, authorization) {
        checked(authorization)
        return [documents].flat().map((missing) => ({ missing: String(missing) }))
      },
      commit(_, authorization) {
        checked(authorization)
        return { writeResults: [{}], commitTime: { seconds: 1, nanos: 0 } }
      },
    },
    certificate,
  )
  // A project of its own each, so that none shares the token of another.
  const projectId = `p${systemRuntime.id()}`
  const endpoint = `https://localhost:${server.port}`
  const backend = firestore({ projectId, endpoint, channels: 1 }, { collection: "rows" })
  opened.push(backend)
  await backend.open()
  seen.length = 0
  return backend
}
const write = { value: Buffer.from("1"), id: systemRuntime.id() }

afterEach(async () => {
  await Promise.all(opened.splice(0).map((backend) => backend.close()))
  metadata.status = 200
  accepted.from = 1
})
afterAll(async () => {
  vi.unstubAllEnvs()
  metadataServer.close()
  rmSync(folder, { recursive: true })
  await server?.[Symbol.asyncDispose]()
})

describe.skipIf(certificate === undefined)("an access token that the service refuses (needs openssl)", () => {
  /** Makes the service refuse the tokens given so far. */
  const expire = () => {
    accepted.from = metadata.given + 1
  }

  test.each<[string, (backend: Backend) => unknown]>([
    ["read", (backend) => backend.get("a")],
    ["write", (backend) => backend.put("a", write)],
  ])("is renewed: the %s is UNAVAILABLE, and the next one passes", async (_, call) => {
    const backend = await open()
    await backend.get("a")
    expire()
    expect(await codeOf(() => call(backend))).toBe("UNAVAILABLE")
    expect(await codeOf(() => call(backend))).toBe("answered")
    expect(new Set(seen).size).toBe(2)
  })

  test("is renewed once for all calls that were under way, and their second attempts pass", async () => {
    const backend = resilient(await open())
    await backend.get("a")
    expire()
    const { given } = metadata
    const reads = Array.from({ length: 8 }, (_, index) => codeOf(() => backend.get(`key:${index}`)))
    expect(new Set(await Promise.all(reads))).toEqual(new Set(["answered"]))
    expect(metadata.given).toBe(given + 1)
  })

  test("is not renewed again if the service refuses the new one, too: that is ACCESS_DENIED", async () => {
    const backend = await open()
    await backend.get("a")
    accepted.from = Number.POSITIVE_INFINITY
    const { given } = metadata
    expect(await codeOf(() => backend.get("a"))).toBe("UNAVAILABLE")
    for (let attempt = 0; attempt < 3; attempt++) {
      expect(await codeOf(() => backend.get("a"))).toBe("ACCESS_DENIED")
    }
    expect(metadata.given).toBe(given + 1)
  })

  test.each([
    [503, "UNAVAILABLE"],
    [403, "ACCESS_DENIED"],
  ])("that the token service answers with %i for is %s", async (status, code) => {
    const backend = await open()
    await backend.get("a")
    expire()
    metadata.status = status
    expect(await codeOf(() => backend.get("a"))).toBe(code)
  })
})
