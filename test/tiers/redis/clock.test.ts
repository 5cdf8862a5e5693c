import { Redis } from "ioredis"
import { afterEach, describe, expect, test } from "vitest"
import type { Backend, RowHead } from "../../../tiers/backend.ts"
import { redis } from "../../../tiers/redis/backend.ts"
import { ServerClock } from "../../../tiers/redis/clock.ts"
import { systemRuntime } from "../../../tiers/runtime.ts"
import { encodeRow, ROW_HEADER_BYTES } from "../../../tiers/util/binary-row.ts"
import { faultProxy } from "../../servers/fault-proxy.ts"
import { startRedisServer } from "../../servers/redis.ts"
import { requireServer } from "../../servers/require-server.ts"
import { fakeRedis } from "../../support/fake-redis.ts"
import { testRuntime } from "../../support/runtime.ts"

const opened: Backend[] = []
afterEach(async () => void (await Promise.all(opened.splice(0).map((backend) => backend.close()))))

async function open(url: string): Promise<Backend> {
  const backend = redis(url)
  opened.push(backend)
  await backend.open()
  return backend
}

async function headOf(backend: Backend, key: string): Promise<RowHead | undefined> {
  const head = (await backend.probe([key])).get(key)
  if (head instanceof Error) throw head
  return head
}

const id = systemRuntime.id
const VALUE = new Uint8Array(5)
const put = (backend: Backend, key: string) => backend.put(key, { value: VALUE, id: id() })

/** A time of the server, Unix ms. */
const T = 1_800_000_000_000

describe("the clock of a server", () => {
  const clockAt = (timeMs: number) => {
    const runtime = testRuntime()
    const clock = new ServerClock(runtime)
    clock.identify("one")
    clock.learn(timeMs, runtime.monotonic())
    return { runtime, clock }
  }
  const learn = (timeMs: number, { clock, runtime }: ReturnType<typeof clockAt>) =>
    clock.learn(timeMs, runtime.monotonic())

  test("is not known before the server is, nor before it told a time", () => {
    const runtime = testRuntime()
    const clock = new ServerClock(runtime)
    clock.learn(T, runtime.monotonic())
    expect(clock.now()).toBeUndefined()
    clock.identify("one")
    expect(clock.now()).toBeUndefined()
  })

  test("is not before the last time that the server told, and at most 2 s beyond what has passed since", async () => {
    const known = clockAt(T)
    await known.runtime.advance(10_000)
    const { earliest = 0, latest = 0 } = known.clock.now() ?? {}
    expect(earliest).toBe(T - 100)
    expect(latest).toBeGreaterThanOrEqual(T + 12_000)
    expect(latest).toBeLessThan(T + 12_100)
  })

  test("is another one after a step back, also if the server tells a later time again", async () => {
    const known = clockAt(T)
    const { name } = known.clock
    await known.runtime.advance(10_000)
    learn(T + 11_900, known)
    expect(known.clock.name).toBe(name)
    learn(T + 11_900, known)
    await known.runtime.advance(10_000)
    learn(T + 15_000, known)
    expect(known.clock.name).not.toBe(name)
    expect(known.clock.now()?.earliest).toBe(T + 14_900)
  })

  test("is another one after a step forward of more than 2 s", async () => {
    const known = clockAt(T)
    const { name } = known.clock
    await known.runtime.advance(10_000)
    learn(T + 12_100, known)
    expect(known.clock.name).not.toBe(name)
  })

  test("is forgotten when the server is another one", () => {
    const known = clockAt(T)
    known.clock.identify("two")
    expect(known.clock.now()).toBeUndefined()
    known.clock.identify("one")
    expect(known.clock.now()).toBeUndefined()
  })
})

describe("a row and the time at which a write began", () => {
  const bulk = (text: string) => `$${text.length}\r\n${text}\r\n`
  const infoOf = (replication: string) =>
    bulk(`run_id:one\r\nrole:master\r\nmaster_replid:${replication}\r\n`)
  const timeAt = (ms: number) =>
    `*2\r\n${bulk(String(Math.floor(ms / 1_000)))}${bulk(String((ms % 1_000) * 1_000))}`
  const ticksAt = (ms: number) => Math.floor((ms * 1_000) / 16)
  const tagOf = (replication: string) => {
    const clock = new ServerClock(testRuntime())
    clock.identify(`one:${replication}`)
    return clock.tag
  }

  /**
   * A server whose time is `T` at first, with a row that was written at `at`, with the tag of the server that was a primary as
   * `writtenBy`; without: ahead of the clock.
   */
  async function serverWith({ at, writtenBy }: { at: number; writtenBy?: string }) {
    const state = { replication: "first", now: T }
    const header = encodeRow({ value: VALUE, id: id(), sequence: 1 }).subarray(0, ROW_HEADER_BYTES)
    header.writeUIntBE(ticksAt(at), 4, 6)
    header.writeUInt16BE(writtenBy === undefined ? 0 : tagOf(writtenBy), 10)
    const server = await fakeRedis(([name]) => {
      if (name === "getrange") return bulk(header.toString("latin1"))
      if (name === "time") return timeAt(state.now)
      return name === "info" ? infoOf(state.replication) : undefined
    })
    return { ...server, state }
  }

  /** How the row compares with a write that begins now, after `meanwhile`. */
  async function compare(
    server: Awaited<ReturnType<typeof serverWith>>,
    meanwhile: () => void = () => {},
  ): Promise<"older" | "newer" | "neither"> {
    const backend = await open(server.url)
    const began = backend.serviceTime?.("key")
    if (began === undefined) throw new Error("the server has told its time")
    meanwhile()
    const { writtenAt } = (await headOf(backend, "key")) ?? {}
    if (writtenAt?.clock !== began.clock) return "neither"
    if (writtenAt.latest <= began.earliest) return "older"
    return writtenAt.earliest >= began.latest ? "newer" : "neither"
  }

  test("show that the row is older, if its time is before one that was known, whoever wrote it", async () => {
    await using server = await serverWith({ at: T - 5_000, writtenBy: "another" })
    expect(await compare(server)).toBe("older")
  })

  test("show nothing if the row is of about the same time", async () => {
    await using server = await serverWith({ at: T - 50, writtenBy: "first" })
    expect(await compare(server)).toBe("neither")
    await using other = await serverWith({ at: T + 1_900, writtenBy: "first" })
    expect(await compare(other)).toBe("neither")
  })

  test("show that the row is newer, if this server wrote it more than 2 s later", async () => {
    await using server = await serverWith({ at: T + 3_000, writtenBy: "first" })
    expect(await compare(server)).toBe("newer")
  })

  test("do not show that it is newer, if its time may be ahead of the clock, or of another server", async () => {
    await using ahead = await serverWith({ at: T + 3_000 })
    expect(await compare(ahead)).toBe("neither")
    await using foreign = await serverWith({ at: T + 3_000, writtenBy: "another" })
    expect(await compare(foreign)).toBe("neither")
  })

  test("show nothing if the server was a replica in between: rows may have the time of another server", async () => {
    await using server = await serverWith({ at: T - 5_000, writtenBy: "first" })
    const demote = () => {
      server.state.replication = "second"
    }
    expect(await compare(server, demote)).toBe("neither")
  })

  test("show nothing if the clock was set in between", async () => {
    for (const step of [-5_000, 5_000]) {
      await using server = await serverWith({ at: T + step, writtenBy: "first" })
      const set = () => {
        server.state.now += step
      }
      expect(await compare(server, set), `${step}`).toBe("neither")
    }
  })
})

await requireServer("redis", startRedisServer, (server) => {
  test("a row has the server's time and tag, or no tag if it follows a row that is ahead of the clock", async () => {
    const backend = await open(server.url)
    const admin = new Redis(server.url)
    try {
      const { version = "" } = await put(backend, "timed")
      const { writtenAt } = (await headOf(backend, "timed")) ?? {}
      expect(Math.abs((writtenAt?.earliest ?? 0) - Date.now())).toBeLessThan(60_000)
      expect(writtenAt?.latest).toBeGreaterThan(writtenAt?.earliest ?? 0)
      // An hour ahead, as from a server whose clock was wrong.
      const ahead = Number.parseInt(version.slice(0, 12), 16) + (3_600 * 1_000_000) / 16
      await admin.setrange("timed", 4, Buffer.from(ahead.toString(16).padStart(12, "0"), "hex"))
      const after = await put(backend, "timed")
      expect(after.version?.slice(0, 16)).toBe(`${(ahead + 1).toString(16).padStart(12, "0")}0000`)
      expect((await headOf(backend, "timed"))?.writtenAt?.earliest).toBe(0)
      expect((await headOf(backend, "timed"))?.version).toBe(after.version)
    } finally {
      admin.disconnect()
    }
  })

  test("a probe of many keys travels in one packet, without values", async () => {
    const proxy = await faultProxy(server.port, "chunks")
    try {
      const backend = await open(`redis://127.0.0.1:${proxy.port}`)
      const keys = Array.from({ length: 100 }, (_, index) => `key:${index}`)
      for (const key of keys.slice(0, 50)) await put(backend, key)
      const packets: string[] = []
      proxy.observe((request) => packets.push(request.toString("latin1")))
      const heads = await backend.probe(keys)
      expect(heads.size).toBe(50)
      expect(packets).toHaveLength(1)
      expect(packets[0]).not.toMatch(/\r\nm?get\r\n/)
    } finally {
      await proxy.close()
    }
  })

  test("a write tells the time of the server, and another life of it is another clock", async () => {
    const backend = await open(server.url)
    await put(backend, "key")
    const before = backend.serviceTime?.("key")
    expect(before?.earliest).toBeLessThanOrEqual(Date.now())
    expect(before?.latest).toBeGreaterThan(Date.now())
    await server.restart()
    await expect
      .poll(() => put(backend, "key").catch((error) => error), { timeout: 5_000 })
      .toMatchObject({
        applied: true,
      })
    expect(backend.serviceTime?.("key")?.clock).toMatch(/^\w+/)
    expect(backend.serviceTime?.("key")?.clock).not.toBe(before?.clock)
  })

  test("a probe of a server that has become a replica is UNAVAILABLE, not an old answer", async () => {
    const backend = await open(server.url)
    await put(backend, "key")
    const admin = new Redis(server.url)
    try {
      await admin.replicaof("127.0.0.1", "1")
      await expect(backend.probe(["key"])).rejects.toMatchObject({ code: "UNAVAILABLE" })
    } finally {
      await admin.replicaof("NO", "ONE")
      admin.disconnect()
    }
  })
})
