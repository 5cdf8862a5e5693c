import { Redis } from "ioredis"
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest"
import type { Backend } from "../../../tiers/backend.ts"
import { type RedisOptions, redis } from "../../../tiers/redis/backend.ts"
import { systemRuntime } from "../../../tiers/runtime.ts"
import { type RedisServer, startRedisServer } from "../../servers/redis.ts"
import { requireServer } from "../../servers/require-server.ts"
import { freePort } from "../../servers/server.ts"
import { fakeRedis } from "../../support/fake-redis.ts"
import { testRuntime } from "../../support/runtime.ts"

const opened: (Backend | Redis)[] = []
afterEach(async () => {
  for (const one of opened.splice(0)) {
    if (one instanceof Redis) one.disconnect()
    else await one.close()
  }
})

async function open(target: string | Redis, options?: RedisOptions): Promise<Backend> {
  const backend = redis(target, options)
  opened.push(backend)
  await backend.open()
  return backend
}

const VALUE = new TextEncoder().encode("value")
const put = (backend: Backend, key: string, timeoutMs?: number) =>
  backend.put(key, { value: VALUE, id: systemRuntime.id() }, { timeoutMs })
const codeOf = (call: unknown) =>
  Promise.resolve(call).then(
    () => "resolved",
    (error: { code?: string }) => error.code,
  )

describe("a connection on which the oldest command is not answered", () => {
  test("is replaced, though bytes trickle in", async () => {
    let trickle: NodeJS.Timeout | undefined
    await using server = await fakeRedis(([name], connection) => {
      if (name !== "get") return undefined
      return connection === 0 ? "$1000000\r\n" : "$-1\r\n"
    })
    const backend = await open(server.url, { requestTimeoutMs: 300 })
    trickle = setInterval(() => server.connections[0]?.socket.write("x"), 10)
    try {
      expect(await codeOf(backend.get("key"))).toMatch(/TIMEOUT|UNAVAILABLE/)
      await vi.waitFor(async () => expect(await backend.get("key")).toBeUndefined(), 3_000)
      expect(server.connections.length).toBeGreaterThan(1)
    } finally {
      clearInterval(trickle)
    }
  })

  test("is closed at the limit of a write by a reset, so that the kernel discards what was not delivered", async () => {
    await using server = await fakeRedis(() => undefined)
    const backend = await open(server.url, { requestTimeoutMs: 60_000 })
    expect(await codeOf(put(backend, "key", 100))).toBe("OUTCOME_UNKNOWN")
    expect(await server.connections[0]?.ended).toBe("reset")
  })

  test("is closed at the limit of a read of a second or more", async () => {
    const runtime = testRuntime()
    await using server = await fakeRedis(() => undefined)
    const backend = await open(server.url, { requestTimeoutMs: 60_000, runtime })
    const read = codeOf(backend.get("key", { timeoutMs: 1_000 }))
    const other = codeOf(backend.get("other"))
    await runtime.advance(1_000)
    expect(await Promise.all([read, other])).toEqual(["TIMEOUT", "UNAVAILABLE"])
    expect(await server.connections[0]?.ended).toBe("reset")
  })

  test("is kept at the limit of a shorter read, for the commands that have more time", async () => {
    await using server = await fakeRedis(() => undefined)
    const runtime = testRuntime()
    const backend = await open(server.url, { requestTimeoutMs: 60_000, runtime })
    const read = codeOf(backend.get("key", { timeoutMs: 999 }))
    await server.arrived("get")
    const patient = backend.getMany(["key"])
    await server.arrived("mget")
    await runtime.advance(999)
    expect(await read).toBe("TIMEOUT")
    server.connections[0]?.socket.write("$-1\r\n*1\r\n$-1\r\n")
    expect((await patient).size).toBe(0)
    expect(server.connections).toHaveLength(1)
  })
})

describe("a script that the server turns out not to have when the write is given up", () => {
  test("is not sent", async () => {
    const runtime = testRuntime()
    await using server = await fakeRedis(() => undefined)
    // On a connection of the caller, which stays open.
    const client = new Redis(server.url, { autoResendUnfulfilledCommands: false })
    opened.push(client)
    const backend = await open(client, { runtime })
    const write = codeOf(put(backend, "key", 500))
    await server.arrived("evalsha")
    await runtime.advance(500)
    expect(await write).toBe("OUTCOME_UNKNOWN")
    const [connection] = server.connections
    connection?.socket.write("-NOSCRIPT No matching script.\r\n")
    const read = backend.get("key")
    await server.arrived("get")
    connection?.socket.write("$-1\r\n")
    expect(await read).toBeUndefined()
    expect(server.commands).toEqual(["evalsha", "get"])
  })
})

describe("a refusal of a replica", () => {
  test.each([
    "READONLY You can't write against a read only replica.",
    "ERR Error running script (call to f_0): @user_script:39: @user_script: 39: -READONLY You can't write against a read only replica.",
  ])("in the words %j makes the backend connect anew", async (refusal) => {
    await using server = await fakeRedis(([name], connection) => {
      if (name === "evalsha") return connection === 0 ? `-${refusal}\r\n` : ":1795525654710434\r\n"
      return undefined
    })
    const backend = await open(server.url)
    expect(await codeOf(put(backend, "key"))).toBe("UNAVAILABLE")
    await vi.waitFor(async () => expect(await put(backend, "key")).toMatchObject({ applied: true }), 3_000)
    expect(server.connections).toHaveLength(2)
  })
})

describe("a server that is away", () => {
  test("is tried at least every half second, however long it has been away", async () => {
    const base = testRuntime()
    let timers = 0
    let timersBefore = Number.POSITIVE_INFINITY
    const runtime = {
      ...base,
      random: () => 1 - 2 ** -32,
      setTimer(callback: () => void, delayMs: number) {
        timers++
        return base.setTimer(callback, delayMs)
      },
    }
    await using server = await fakeRedis(() => {
      timersBefore = timers
      server.connections.at(-1)?.socket.destroy()
      return undefined
    })
    await open(server.url, { openLazily: true, runtime })
    for (let attempt = 0; attempt < 8; attempt++) {
      await vi.waitFor(() => expect(timers).toBeGreaterThan(timersBefore))
      timersBefore = Number.POSITIVE_INFINITY
      const { length } = server.connections
      await base.advance(500)
      await vi.waitFor(() => expect(server.connections.length).toBeGreaterThan(length))
    }
  })

  test("and loads its data is asked again soon, however long it expects to take", async () => {
    const loading = "loading:1\r\nloading_eta_seconds:60"
    await using server = await fakeRedis(([name]) => {
      if (name === "get") return "$-1\r\n"
      return name === "info" && server.infos === 1 ? `$${loading.length}\r\n${loading}\r\n` : undefined
    })
    const backend = await open(server.url)
    expect(await backend.get("key")).toBeUndefined()
    expect(server.infos).toBeGreaterThan(1)
  })

  test("and does not answer a new connection is given up within 2 s, however long a command may take", async () => {
    const runtime = testRuntime()
    await using server = await fakeRedis(([name], connection) =>
      connection === 0 && name === "info" ? "" : undefined,
    )
    const opening = open(server.url, { requestTimeoutMs: 60_000, connectTimeoutMs: 60_000, runtime })
    await vi.waitFor(() => expect(server.infos).toBeGreaterThan(0))
    await runtime.advance(2_000)
    expect(await server.connections[0]?.ended).toBe("reset")
    await vi.waitFor(async () => {
      await runtime.advance(100)
      expect(server.connections.length).toBeGreaterThan(1)
    })
    await opening
  })
})

describe("a backend that opens lazily", () => {
  test("opens though there is no server, and says UNAVAILABLE with the reason until there is one", async () => {
    const port = await freePort()
    const backend = await open(`redis://127.0.0.1:${port}`, { openLazily: true })
    const reason = { code: "UNAVAILABLE", retryable: true, message: expect.stringContaining("ECONNREFUSED") }
    await expect(backend.get("key")).rejects.toMatchObject(reason)
    await expect(put(backend, "key")).rejects.toMatchObject(reason)
    await expect(backend.getMany(["key"])).rejects.toMatchObject(reason)
    await expect(backend.scan("", { limit: 1 })).rejects.toMatchObject(reason)
    await using _server = await fakeRedis(([name]) => (name === "get" ? "$-1\r\n" : undefined), port)
    await vi.waitFor(async () => expect(await backend.get("key")).toBeUndefined(), 2_000)
  })

  test("is connected when it has opened, if there is a server", async () => {
    await using server = await fakeRedis(([name]) => (name === "get" ? "$-1\r\n" : undefined))
    const backend = await open(server.url, { openLazily: true })
    expect(await backend.get("key")).toBeUndefined()
  })

  test("does not open with a wrong password", async () => {
    await using server = await fakeRedis(([name]) =>
      name === "auth" ? "-WRONGPASS invalid username-password pair or user is disabled.\r\n" : undefined,
    )
    const opening = redis(server.url.replace("//", "//:wrong@"), { openLazily: true }).open()
    await expect(opening).rejects.toMatchObject({ code: "ACCESS_DENIED" })
  })
})

await requireServer("redis", startRedisServer, (server: RedisServer) => {
  let admin: Redis
  beforeAll(() => {
    admin = new Redis(server.url)
  })
  afterAll(() => admin.disconnect())
  afterEach(() => admin.replicaof("NO", "ONE"))

  describe("a primary that becomes a replica", () => {
    test("is left within 5 s by a process that only reads, and used again when it is a primary", async () => {
      const runtime = testRuntime()
      const backend = await open(server.url, { runtime })
      expect(await backend.get("key")).toBeUndefined()
      await admin.replicaof("127.0.0.1", "1")
      expect(await backend.get("key")).toBeUndefined()
      await runtime.advance(5_000)
      await vi.waitFor(async () => {
        await expect(backend.get("key")).rejects.toMatchObject({
          code: "UNAVAILABLE",
          message: expect.stringContaining("replica"),
        })
      })
      await admin.replicaof("NO", "ONE")
      await vi.waitFor(async () => {
        await runtime.advance(100)
        expect(await backend.get("key")).toBeUndefined()
      }, 5_000)
    })

    test("is not used by a new connection", async () => {
      await admin.replicaof("127.0.0.1", "1")
      const opening = open(server.url, { connectTimeoutMs: 300 })
      await expect(opening).rejects.toMatchObject({
        code: "UNAVAILABLE",
        message: expect.stringContaining("replica"),
      })
    })
  })
})
