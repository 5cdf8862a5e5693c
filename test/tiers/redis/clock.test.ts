import { Redis } from "ioredis"
import { afterEach, describe, expect, test } from "vitest"
import type { Backend, RowHead, ServiceTime } from "../../../tiers/backend.ts"
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
    learn(T + 10_000, known)
    expect(known.clock.name).toBe(name)
    await known.runtime.advance(10_000)
    learn(T + 15_000, known)
    expect(known.clock.name).not.toBe(name)
    expect(known.clock.now()?.earliest).toBe(T + 14_900)
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
  const info = (replication: string) => {
    const text = `run_id:one\r\nrole:master\r\nmaster_replid:${replication}\r\n`
    return `$${text.length}\r\n${text}\r\n`
  }

  /** A server that says `sequence` to every write, and holds a row with `rowAt` in its sequence; both in ms. */
  async function serverAt({ replies, rowAt }: { replies: number[]; rowAt: number }) {
    const state = { replication: "first" }
    const header = encodeRow({ value: VALUE, id: id(), sequence: rowAt * 1_000 }).subarray(
      0,
      ROW_HEADER_BYTES,
    )
    const server = await fakeRedis(([name]) => {
      if (name === "evalsha") return `:${(replies.shift() ?? 0) * 1_000}\r\n`
      if (name === "getrange") return `$${ROW_HEADER_BYTES}\r\n${header.toString("latin1")}\r\n`
      return name === "info" ? info(state.replication) : undefined
    })
    return { ...server, state }
  }

  const isOlder = (row: RowHead | undefined, began: ServiceTime | undefined) =>
    row?.writtenAt !== undefined &&
    began !== undefined &&
    row.writtenAt.clock === began.clock &&
    row.writtenAt.latest <= began.earliest
  const isNewer = (row: RowHead | undefined, began: ServiceTime | undefined) =>
    row?.writtenAt !== undefined &&
    began !== undefined &&
    row.writtenAt.clock === began.clock &&
    row.writtenAt.earliest > began.latest

  test("show that the row is older, if its sequence is less than a time that was known when the write began", async () => {
    await using server = await serverAt({ replies: [T], rowAt: T - 5_000 })
    const backend = await open(server.url)
    expect(backend.serviceTime?.("key")).toBeUndefined()
    await put(backend, "other")
    const began = backend.serviceTime?.("key")
    expect(isOlder(await headOf(backend, "key"), began)).toBe(true)
  })

  test("do not, if the row is of about the same time", async () => {
    await using server = await serverAt({ replies: [T], rowAt: T - 50 })
    const backend = await open(server.url)
    await put(backend, "other")
    expect(isOlder(await headOf(backend, "key"), backend.serviceTime?.("key"))).toBe(false)
  })

  test("do not, if the server was a replica in between: the row may have the time of another server", async () => {
    await using server = await serverAt({ replies: [T], rowAt: T - 5_000 })
    const backend = await open(server.url)
    await put(backend, "other")
    const began = backend.serviceTime?.("key")
    server.state.replication = "second"
    expect(isOlder(await headOf(backend, "key"), began)).toBe(false)
  })

  test("do not by a sequence that is ahead of the server's clock", async () => {
    await using server = await serverAt({ replies: [-T], rowAt: T - 5_000 })
    const backend = await open(server.url)
    expect(await put(backend, "other")).toMatchObject({ applied: true })
    expect(backend.serviceTime?.("key")).toBeUndefined()
  })

  test("never show that the row is newer: a sequence may be ahead of the clock", async () => {
    await using server = await serverAt({ replies: [T], rowAt: T + 3_600_000 })
    const backend = await open(server.url)
    await put(backend, "other")
    expect(isNewer(await headOf(backend, "key"), backend.serviceTime?.("key"))).toBe(false)
  })
})

await requireServer("redis", startRedisServer, (server) => {
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
