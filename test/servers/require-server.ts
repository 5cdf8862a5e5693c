import { afterAll, describe, test } from "vitest"
import { reportServer } from "./report.ts"
import { ServerUnavailable, type TestServer } from "./server.ts"

/**
 * Starts a server and declares the tests that need it; stops it after them. If the server is not on this machine, one skipped
 * test states the reason; if `CI` is set, it fails with the reason. Called with `await` at the top of a test file.
 *
 * ```ts
 * await requireServer("dynamodb", startDynamodbLocal, (server) => {
 *   test("…", async () => { … server.url … })
 * })
 * ```
 */
export async function requireServer<Server extends TestServer>(
  backend: string,
  start: () => Promise<Server>,
  declareTests: (server: Server) => void,
): Promise<void> {
  let server: Server
  try {
    server = await start()
  } catch (error) {
    if (!(error instanceof ServerUnavailable)) throw error
    reportServer({ backend, server: "none", note: error.message })
    if (process.env.CI) {
      test(`${backend}: needs its server`, () => {
        throw error
      })
    } else {
      test.skip(`${backend}: ${error.message}`, () => {})
    }
    return
  }
  reportServer({ backend, server: server.name, version: server.version })
  describe(`${backend} on ${server.name} ${server.version}`, () => {
    afterAll(() => server.stop())
    declareTests(server)
  })
}
