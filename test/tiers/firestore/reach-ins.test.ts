import { createServer as createHttp2Server } from "node:http2"
import { describe, expect, test } from "vitest"
import { clientOptions, loadSdk, stubOf } from "../../../tiers/firestore/settings.ts"
import { freePort, listenOnLoopback } from "../../servers/server.ts"
import { changed } from "../../support/canary.ts"
import { grpcServer } from "../../support/grpc-server.ts"

describe("@google-cloud/firestore", () => {
  test("has google-gax for a dependency, with gRPC's credentials and metadata", async () => {
    const { gax } = await loadSdk()
    for (const member of ["grpc.Metadata", "grpc.credentials.createInsecure", "GoogleAuth"])
      expect(gax, changed("google-gax")).toHaveProperty(member, expect.any(Function))
  })

  test("makes a stub that sends a commit as it is, and once", async () => {
    const writeResults = [{ updateTime: { seconds: 1, nanos: 2 } }]
    await using server = await grpcServer("Firestore", { commit: () => ({ writeResults }) })
    const { sdk, gax } = await loadSdk()
    const settings = { projectId: "test", endpoint: server.endpoint }
    const stub = await stubOf(new sdk.v1.FirestoreClient(clientOptions(settings, gax), gax))
    for (const method of ["batchGetDocuments", "runQuery", "commit", "close"])
      expect(stub, changed("the stub of v1.FirestoreClient")).toHaveProperty(method, expect.any(Function))

    const { commit, close } = stub as Record<"commit" | "close", (...args: unknown[]) => void>
    const answer = await new Promise((resolve, reject) => {
      const request = { database: "projects/test/databases/(default)", writes: [] }
      const options = { deadline: Date.now() + 10_000 }
      commit.call(stub, request, new gax.grpc.Metadata(), options, (error: unknown, response: unknown) =>
        error === null ? resolve(response) : reject(error),
      )
    })
    expect(answer, changed("the stub of v1.FirestoreClient")).toMatchObject({
      writeResults: [{ updateTime: { seconds: "1", nanos: 2 } }],
    })
    expect(server.calls).toEqual(["commit"])
    close.call(stub)
  })

  test("makes a stub of the Admin API with the calls of provisioning", async () => {
    const { sdk, gax } = await loadSdk()
    const settings = { projectId: "test", endpoint: "127.0.0.1:1" }
    const stub = await stubOf(new sdk.v1.FirestoreAdminClient(clientOptions(settings, gax), gax))
    for (const method of ["getDatabase", "createDatabase", "getField", "updateField", "close"])
      expect(stub, changed("the stub of v1.FirestoreAdminClient")).toHaveProperty(
        method,
        expect.any(Function),
      )
  })

  /** The text of the error of a commit that is sent to `endpoint` with this limit. */
  async function detailsOf(endpoint: string, patienceMs: number): Promise<unknown> {
    const { sdk, gax } = await loadSdk()
    const settings = { projectId: "test", endpoint }
    const stub = await stubOf(new sdk.v1.FirestoreClient(clientOptions(settings, gax), gax))
    const { commit, close } = stub as Record<"commit" | "close", (...args: unknown[]) => void>
    const options = { deadline: Date.now() + patienceMs }
    const error = await new Promise<{ details?: unknown } | null>((resolve) =>
      commit.call(stub, {}, new gax.grpc.Metadata(), options, resolve),
    )
    close.call(stub)
    return error?.details
  }

  test("says by the text of the error whether there was a connection", async () => {
    const message = changed("gRPC's text")
    const nobody = `127.0.0.1:${await freePort()}`
    expect(await detailsOf(nobody, 10_000), message).toMatch(/^No connection established/)
    expect(await detailsOf("nowhere.invalid:1", 10_000), message).toMatch(/^Name resolution failed/)

    const silent = createHttp2Server()
    const port = await listenOnLoopback(silent)
    const late = await detailsOf(`127.0.0.1:${port}`, 1_000)
    expect(late, message).toMatch(/^Deadline exceeded after .*remote_addr=/)
    await new Promise((resolve) => silent.close(resolve))
  })
})
