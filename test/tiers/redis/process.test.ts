import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest"
import { startRedisServer } from "../../servers/redis.ts"
import { requireServer } from "../../servers/require-server.ts"
import { freePort } from "../../servers/server.ts"
import { type Built, build, shell } from "../../support/built.ts"
import type { Ended } from "../../support/ended.ts"

const PUT_AND_GET = `
  await backend.put("key", { value: new Uint8Array(3), id: "0".repeat(32) })
  if ((await backend.get("key")).value.length !== 3) process.exit(1)`

await requireServer("redis", startRedisServer, (server) => {
  describe("a script that closes nothing", () => {
    let built: Built
    beforeAll(async () => {
      built = await build()
    })
    afterAll(() => built.remove())

    /** Runs a script over an open backend. One that does not end by itself is ended with code 99. */
    function script(url: string, body: string): Promise<Ended> {
      const source = `
        import { Redis } from "ioredis"
        import { redis } from ${JSON.stringify(built.file("tiers/redis/backend.js"))}
        setTimeout(() => process.exit(99), 5_000).unref()
        const backend = redis(${JSON.stringify(url)}, { connectTimeoutMs: 300, requestTimeoutMs: 1_000 })
        await backend.open()
        ${body}
        console.log("through")`
      return shell('node --input-type=module -e "$SOURCE"', built.folder, { SOURCE: source })
    }

    test("waits for what is under way, and ends by itself", async () => {
      const ended = await script(server.url, PUT_AND_GET)
      expect(ended).toMatchObject({ code: 0, stdout: "through\n", stderr: "" })
    })

    test("ends by itself though its server has gone away", async () => {
      const own = await startRedisServer()
      const ended = await script(
        own.url,
        `${PUT_AND_GET}
        const admin = new Redis(${JSON.stringify(own.url)}, { retryStrategy: null })
        await admin.on("error", () => {}).shutdown("NOSAVE").catch(() => {})
        for (let code; code !== "UNAVAILABLE"; ) code = await backend.get("key").then(() => "", (error) => error.code)`,
      )
      await own.stop()
      expect(ended).toMatchObject({ code: 0, stdout: "through\n", stderr: "" })
    })

    test("ends with the error where there is no server", async () => {
      const ended = await script(`redis://127.0.0.1:${await freePort()}`, PUT_AND_GET)
      expect(ended).toMatchObject({ code: 1, stdout: "", stderr: expect.stringContaining("UNAVAILABLE") })
    })
  })
})

describe("without ioredis", () => {
  afterEach(() => {
    vi.doUnmock("ioredis")
    vi.resetModules()
  })

  test("opening says what to install", async () => {
    vi.resetModules()
    vi.doMock("ioredis", () => {
      throw new Error("Cannot find package 'ioredis'")
    })
    const fresh = await import("../../../tiers/redis/backend.ts")
    await expect(fresh.redis("redis://localhost").open()).rejects.toMatchObject({
      code: "DEPENDENCY_MISSING",
      message: expect.stringContaining("npm install ioredis"),
    })
  })
})
