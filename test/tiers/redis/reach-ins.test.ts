import { once } from "node:events"
import { createServer, type Socket } from "node:net"
import { Cluster, Redis } from "ioredis"
import { describe, expect, test } from "vitest"
import { freePort, listenOnLoopback } from "../../servers/server.ts"
import { changed } from "../../support/canary.ts"

describe("ioredis", () => {
  /** A server that answers what it is told to, when it is told to. Like Redis 5, it does not have HELLO, which ioredis 6 asks first. */
  async function scriptedServer() {
    const sockets: Socket[] = []
    const server = createServer((socket) => {
      sockets.push(socket)
      socket.on("data", (request) => {
        if (/hello/i.test(request.toString())) socket.write("-ERR unknown command 'HELLO'\r\n")
      })
    })
    const port = await listenOnLoopback(server)
    return {
      port,
      async asked() {
        while (sockets.length === 0) await once(server, "connection")
        await Promise.race(sockets.map((socket) => once(socket, "data")))
      },
      answer(text: string) {
        for (const socket of sockets) socket.write(text)
      },
      async [Symbol.asyncDispose]() {
        for (const socket of sockets) socket.destroy()
        await new Promise((resolve) => server.close(resolve))
      },
    }
  }

  const options = { lazyConnect: true, retryStrategy: null, enableReadyCheck: false, disableClientInfo: true }

  test("keeps the oldest command without a reply at the front of commandQueue", async () => {
    await using server = await scriptedServer()
    const client = new Redis({ ...options, port: server.port })
    client.on("error", () => {})
    await client.connect()
    const message = changed("ioredis' commandQueue")
    expect(client, message).toHaveProperty("commandQueue.peekFront", expect.any(Function))
    expect(client.commandQueue.peekFront(), message).toBeUndefined()
    const first = client.ping("first")
    const oldest = client.commandQueue.peekFront()
    expect(oldest, message).toBeDefined()
    const second = client.ping("second")
    expect(client.commandQueue.peekFront(), message).toBe(oldest)
    const { bytesRead } = client.stream
    server.answer("+first\r\n")
    expect(await first).toBe("first")
    expect(client.commandQueue.peekFront(), message).not.toBe(oldest)
    expect(client.stream.bytesRead, changed("ioredis' stream")).toBe(bytesRead + "+first\r\n".length)
    server.answer("+second\r\n")
    expect(await second).toBe("second")
    client.disconnect()
  })

  test("has made its stream one turn after the event connecting", async () => {
    await using server = await scriptedServer()
    const client = new Redis({ ...options, port: server.port })
    client.on("error", () => {})
    const connecting = once(client, "connecting")
    const connected = client.connect()
    await connecting
    await new Promise((resolve) => setImmediate(resolve))
    expect(client.stream, changed("ioredis' stream")).toHaveProperty("unref", expect.any(Function))
    await connected
    client.disconnect()
  })

  test("says by the text of the error that a command was not sent", async () => {
    const message = changed("ioredis' text")
    const port = await freePort()
    const single = new Redis({ ...options, port, enableOfflineQueue: false })
    single.on("error", () => {})
    await expect(single.ping(), message).rejects.toThrow("enableOfflineQueue options is false")
    const cluster = new Cluster([{ host: "127.0.0.1", port }], { ...options, clusterRetryStrategy: null })
    cluster.on("error", () => {})
    await expect(cluster.connect(), message).rejects.toThrow("None of startup nodes")
    single.disconnect()

    await using server = await scriptedServer()
    const refused = new Cluster([{ host: "127.0.0.1", port: server.port }], {
      lazyConnect: true,
      clusterRetryStrategy: null,
      redisOptions: options,
    })
    const failed = once(refused, "error")
    const connecting = expect(refused.connect()).rejects.toThrow()
    await server.asked()
    server.answer("-ERR refused\r\n")
    expect(await failed, message).toMatchObject([{ message: "Failed to refresh slots cache." }])
    await connecting
  })
})
