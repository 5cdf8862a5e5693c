import { rmSync } from "node:fs"
import { connect, createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, expect, test } from "vitest"
import type { Backend } from "../../../tiers/backend.ts"
import { redis } from "../../../tiers/redis/backend.ts"
import type { RedisCredentials } from "../../../tiers/redis/settings.ts"
import { systemRuntime } from "../../../tiers/runtime.ts"
import { codeOf } from "../../support/failures.ts"
import { type Answers, type FakeRedis, fakeRedis } from "../../support/fake-redis.ts"
import { until } from "../../support/runtime.ts"

const OK = "+OK\r\n"
const ABSENT = "$-1\r\n"
const store: Answers = ([name]) => (name === "auth" ? OK : name === "get" ? ABSENT : undefined)

/** Reads until an answer comes: while a backend reconnects, its reads reject. */
async function untilAnswered(backend: Backend): Promise<void> {
  while ((await codeOf(() => backend.get("key"))) !== "answered")
    await new Promise((next) => setImmediate(next))
}

/** The arguments of every `AUTH`, and the connection that it came over. */
function signIns(into: string[]): Answers {
  return (command, connection) => {
    if (command[0] === "auth") into.push(`${connection}: ${command.slice(1).join(" ")}`)
    return store(command, connection)
  }
}

describe("credentials from a function", () => {
  test("are asked for at each connect, and never shared with another backend", async () => {
    const seen: string[] = []
    await using server = await fakeRedis(signIns(seen))
    let asked = 0
    const credentials = async () => ({ username: "app", password: `token-${++asked}` })
    const nodes = [{ host: "127.0.0.1", port: server.port }]
    const backend = redis({ nodes, credentials })
    await backend.open()
    expect(await backend.get("key")).toBeUndefined()
    server.connections[0]?.socket.destroy()
    await until(() => server.connections.length === 2)
    await untilAnswered(backend)
    expect(seen).toEqual(["0: app token-1", "1: app token-2"])

    const other = redis({ nodes, credentials: () => ({ password: "other" }) })
    await other.open()
    expect(seen.at(-1)).toBe("2: other")
    await Promise.all([backend.close(), other.close()])
  })

  test("that fail are UNAVAILABLE, and asked for again; those that the server refuses are ACCESS_DENIED", async () => {
    const seen: string[] = []
    let refuses = false
    await using server = await fakeRedis((command, connection) =>
      refuses && command[0] === "auth" ? "-WRONGPASS no\r\n" : signIns(seen)(command, connection),
    )
    let asked = 0
    const credentials = (): RedisCredentials => {
      if (++asked < 3) throw new Error("the metadata endpoint does not answer")
      return { password: "token" }
    }
    const settings = { nodes: [{ host: "127.0.0.1", port: server.port }], credentials }
    const backend = redis(settings, { openLazily: true })
    await backend.open()
    await expect((async () => backend.get("key"))()).rejects.toMatchObject({
      code: "UNAVAILABLE",
      message: expect.stringContaining("the function `credentials` gave none"),
    })
    await untilAnswered(backend)
    expect([asked, seen]).toEqual([3, ["0: token"]])
    await backend.close()

    refuses = true
    await expect(redis(settings).open()).rejects.toMatchObject({ code: "ACCESS_DENIED" })
  })

  test("that expire are renewed before, and sign the open connection in anew", async () => {
    const seen: string[] = []
    await using server = await fakeRedis(signIns(seen))
    const renewals: { callback: () => void; delayMs: number }[] = []
    const now = 1_800_000_000_000
    const runtime = {
      ...systemRuntime,
      now: () => now,
      setTimer(callback: () => void, delayMs: number) {
        if (delayMs < 60_000) return systemRuntime.setTimer(callback, delayMs)
        renewals.push({ callback, delayMs })
        return { cancel() {} }
      },
    }
    let asked = 0
    const credentials = () => ({ username: "app", password: `${++asked}`, expiresAt: now + 900_000 })
    const backend = redis({ nodes: [{ host: "127.0.0.1", port: server.port }], credentials }, { runtime })
    await backend.open()
    expect(renewals.map(({ delayMs }) => delayMs)).toEqual([675_000])
    renewals[0]?.callback()
    await until(() => seen.length === 2)
    expect(seen).toEqual(["0: app 1", "0: app 2"])
    expect(renewals).toHaveLength(2)
    await backend.close()
  })

  test("beside a password are BINDING_INVALID", () => {
    const nodes = [{ host: "host" }]
    const credentials = () => ({ password: "token" })
    expect(() => redis({ nodes, credentials, password: "p" })).toThrow(/either a function/)
  })
})

describe("sentinels", () => {
  /** A sentinel that names `primary`. */
  const sentinelOf = (primary: () => FakeRedis) =>
    fakeRedis(([name, what, group]) => {
      if (name !== "sentinel") return undefined
      if (what !== "get-master-addr-by-name") return "*0\r\n"
      if (group !== "main") return "*-1\r\n"
      const port = String(primary().port)
      return `*2\r\n$9\r\n127.0.0.1\r\n$${port.length}\r\n${port}\r\n`
    })

  test("are asked at each connect for the primary; one that is gone is passed over", async () => {
    await using first = await fakeRedis(store)
    await using second = await fakeRedis(store)
    let primary = first
    await using sentinel = await sentinelOf(() => primary)
    const gone = await sentinelOf(() => first)
    await gone[Symbol.asyncDispose]()
    const url = `redis-sentinel://user:pw@127.0.0.1:${gone.port},127.0.0.1:${sentinel.port}?name=main`
    const backend = redis(url)
    expect(backend.traits.target).toBe(`main@127.0.0.1:${gone.port},127.0.0.1:${sentinel.port}`)
    await backend.open()
    expect(await backend.get("key")).toBeUndefined()
    expect([first.commands.includes("auth"), sentinel.commands.includes("auth")]).toEqual([true, false])

    primary = second
    first.connections[0]?.socket.destroy()
    await untilAnswered(backend)
    expect([first, second].map(({ connections }) => connections.length)).toEqual([1, 1])
    await backend.close()
  })

  test("that know no primary of the name are UNAVAILABLE", async () => {
    await using server = await fakeRedis(store)
    await using sentinel = await sentinelOf(() => server)
    const backend = redis(`redis-sentinel://127.0.0.1:${sentinel.port}?name=other`, { connectTimeoutMs: 300 })
    await expect(backend.open()).rejects.toMatchObject({ code: "UNAVAILABLE" })
  })
})

test("a Unix socket leads to a server, with the database and the password of its URL", async () => {
  const commands: string[] = []
  await using server = await fakeRedis((command, connection) => {
    commands.push(command.join(" "))
    return store(command, connection)
  })
  const path = join(tmpdir(), `tiered-kv ${systemRuntime.id()}.sock`)
  const socket = createServer((client) => {
    const upstream = connect(server.port, "127.0.0.1")
    client.pipe(upstream).pipe(client)
    upstream.on("error", () => client.destroy())
    client.on("error", () => upstream.destroy())
  })
  await new Promise<void>((resolve) => void socket.listen(path, resolve))
  const backend = redis(`unix://:pw@${encodeURI(path)}?db=2`)
  expect(backend.traits).toMatchObject({ target: `${path}/2`, place: { address: `${path}/2` } })
  await backend.open()
  expect(await backend.get("key")).toBeUndefined()
  expect(commands).toEqual(expect.arrayContaining(["auth pw", "select 2"]))
  await backend.close()
  await new Promise((resolve) => socket.close(resolve))
  rmSync(path, { force: true })
})

test("the rows have one name for every process, however it reaches the server", () => {
  const rowsOf = (target: string) => redis(target).traits.rows
  expect(new Set(["redis://a/2", "rediss://b:6380/2", "unix:///run/c?db=2"].map(rowsOf))).toEqual(
    new Set(["2"]),
  )
  expect(new Set(["redis://a?cluster", "redis://b,c", "redis://a"].map(rowsOf))).toEqual(new Set(["0"]))
})
