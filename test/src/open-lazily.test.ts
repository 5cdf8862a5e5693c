import { createServer } from "node:net"
import { expect, test } from "vitest"
import { kv } from "../../src/index.ts"
import { listenOnLoopback } from "../servers/server.ts"

/** A port of this machine on which nothing listens. */
async function freePort(): Promise<number> {
  const server = createServer()
  const port = await listenOnLoopback(server)
  await new Promise((resolve) => server.close(resolve))
  return port
}

test("with openLazily a store opens without its server, and its calls say that it is away", async () => {
  const backend = `redis://127.0.0.1:${await freePort()}`
  const timeoutMs = 300
  await expect(kv("lazy", { backend, timeoutMs })).rejects.toMatchObject({ code: "UNAVAILABLE" })
  const store = await kv("lazy", { backend, timeoutMs, openLazily: true })
  await expect(store.get("key")).rejects.toMatchObject({ code: "UNAVAILABLE", retryable: true })
  await expect(store.set("key", "value")).rejects.toMatchObject({ code: "UNAVAILABLE" })
  await store.close()
})

test("openLazily is true or false", async () => {
  const options = Object({ backend: "memory:", openLazily: 1 })
  await expect(kv("lazy", options)).rejects.toMatchObject({ code: "INVALID_OPTION" })
})
