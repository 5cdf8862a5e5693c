import { randomUUID } from "node:crypto"
import { Redis } from "ioredis"
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest"
import type { Backend } from "../../../tiers/backend.ts"
import { type RedisOptions, type RedisSettings, redis } from "../../../tiers/redis/backend.ts"
import { REDIS_DATA_COMMANDS } from "../../../tiers/redis/provisioning.ts"
import { systemRuntime } from "../../../tiers/runtime.ts"
import { startRedis, startRedisServer } from "../../servers/redis.ts"
import { requireServer } from "../../servers/require-server.ts"
import { describeConformance } from "../../support/conformance/run.ts"
import { testRuntime } from "../../support/runtime.ts"

await requireServer("redis", startRedis, ({ url }) => {
  describeConformance("redis", {
    createStore(runtime) {
      const prefix = `test:${randomUUID()}:`
      return {
        connect: () => redis(url, { prefix, runtime }),
        dispose: () => removeAll(url, prefix),
      }
    },
  })

  describeConformance("redis, over a client that was passed in", {
    createStore(runtime) {
      const prefix = `test:${randomUUID()}:*[a-z]\\?:`
      const clients: Redis[] = []
      return {
        connect() {
          const client = new Redis(url, { autoResendUnfulfilledCommands: false })
          clients.push(client)
          return redis(client, { prefix, runtime })
        },
        async dispose() {
          await removeAll(url, prefix)
          for (const client of clients) client.disconnect()
        },
      }
    },
  })
})

async function removeAll(url: string, prefix: string): Promise<void> {
  const client = new Redis(url)
  for await (const keys of client.scanStream({ match: `${prefix.replace(/[\\*?[\]]/g, "\\$&")}*` })) {
    if (keys.length > 0) await client.unlink(...keys)
  }
  client.disconnect()
}

const opened: Backend[] = []
afterEach(async () => void (await Promise.all(opened.splice(0).map((backend) => backend.close()))))

async function open(target: string | RedisSettings | Redis, options?: RedisOptions): Promise<Backend> {
  const backend = redis(target, options)
  opened.push(backend)
  await backend.open()
  return backend
}

const VALUE = new TextEncoder().encode("value")
const put = (
  backend: Backend,
  key: string,
  more: { expiresAt?: number; condition?: { absent: true } } = {},
) => backend.put(key, { value: VALUE, id: systemRuntime.id(), ...more })

const PASSWORD = "p@ss:word/1"

await requireServer(
  "redis",
  () => startRedisServer(["--requirepass", PASSWORD]),
  ({ port }) => {
    const host = `127.0.0.1:${port}`
    const url = `redis://:${encodeURIComponent(PASSWORD)}@${host}`
    let admin: Redis
    beforeAll(() => {
      admin = new Redis(url)
    })
    afterAll(() => admin.disconnect())
    afterEach(() => admin.flushall())

    describe("logging in", () => {
      test("with the password in the URL, or in settings", async () => {
        const byUrl = await open(url)
        await put(byUrl, "key")
        const bySettings = await open({ nodes: [{ host: "127.0.0.1", port }], password: PASSWORD })
        expect(await bySettings.exists("key")).toBe(true)
      })

      test.each([
        ["no password", () => `redis://${host}`],
        ["a wrong password", () => `redis://:wrong@${host}`],
        ["an unknown user", () => `redis://nobody:wrong@${host}`],
      ])("with %s is ACCESS_DENIED at once, and shows no credential", async (_, of) => {
        const started = performance.now()
        const error = await redis(of())
          .open()
          .catch((error) => error)
        expect(error).toMatchObject({ name: "KvError", code: "ACCESS_DENIED", operation: "open" })
        expect(String(error.stack)).not.toMatch(/wrong|nobody/)
        expect(performance.now() - started).toBeLessThan(1_000)
      })

      test("as a user who may do what REDIS_DATA_COMMANDS says, and no more, is enough", async () => {
        await admin.acl("SETUSER", "app", "reset", "on", ">secret", "~app:*", ...REDIS_DATA_COMMANDS)
        const backend = await open(`redis://app:secret@${host}`, { prefix: "app:" })
        const { version = "" } = await put(backend, "key", { condition: { absent: true } })
        expect(await backend.exists("key")).toBe(true)
        expect((await backend.getMany(["key"])).size).toBe(1)
        expect((await backend.scan("", { limit: 10 })).entries).toHaveLength(1)
        expect(await backend.delete("key", { id: systemRuntime.id(), condition: { version } })).toEqual({
          applied: true,
        })
        expect((await backend.deleteMany(new Map([["key", { id: systemRuntime.id() }]]))).get("key")).toEqual(
          {
            applied: true,
          },
        )
        const other = await open(`redis://app:secret@${host}`, { prefix: "other:" })
        await expect(other.get("key")).rejects.toMatchObject({ code: "ACCESS_DENIED", key: "key" })
        await expect(put(other, "key")).rejects.toMatchObject({ code: "ACCESS_DENIED" })
      })
    })

    describe("the database", () => {
      test("is that of the URL, unless the options name another", async () => {
        await put(await open(`${url}/3`), "three")
        await put(await open(`${url}/3`, { database: 4 }), "four")
        await admin.select(3)
        expect(await admin.keys("*")).toEqual(["three"])
        await admin.select(4)
        expect(await admin.keys("*")).toEqual(["four"])
        await admin.select(0)
      })

      test("that the server does not have is STORE_NOT_FOUND; nothing goes to database 0", async () => {
        const backend = redis(`${url}/99`)
        await expect(backend.open()).rejects.toMatchObject({ code: "STORE_NOT_FOUND" })
        await expect(put(backend, "key")).rejects.toMatchObject({ code: "CLOSED" })
        expect(await admin.dbsize()).toBe(0)
      })
    })

    test.each([
      "redis://",
      "redis://host:port",
      "redis://host:0",
      "redis://host:65536",
      "redis://host/one",
      "redis://host/1/2",
      "redis://%zz@host",
      "redis://host/1?cluster",
      "redis://a,b?cluster=false",
      "redis://host?cluster=maybe",
      "redis://host?timeout=5",
      "http://host",
      "host",
    ])("the URL %s is BINDING_INVALID", (text) => {
      expect(() => redis(text)).toThrow(expect.objectContaining({ code: "BINDING_INVALID" }))
    })

    test("a URL names hosts, database and prefix, and none of its secrets is shown", () => {
      const targetOf = (text: string) => redis(text).traits.target
      expect(targetOf("redis://localhost")).toBe("localhost:6379")
      expect(targetOf("rediss://user:pa%2Fss@host:6380/2?prefix=a%3A")).toBe("host:6380/2#a:")
      expect(targetOf("redis://:secret@[::1]:7000,b/?cluster")).toBe("::1:7000,b:6379")
    })

    test("a server that is no cluster is BINDING_INVALID with ?cluster", async () => {
      await expect(redis(`${url}?cluster`).open()).rejects.toMatchObject({ code: "BINDING_INVALID" })
    })

    test("clients that the contract cannot be kept over are BINDING_INVALID", async () => {
      const prefixing = new Redis(url, { keyPrefix: "x:", lazyConnect: true })
      await expect(redis(prefixing).open()).rejects.toMatchObject({ code: "BINDING_INVALID" })
      expect(() => redis(admin, { database: 1 })).toThrow(
        expect.objectContaining({ code: "BINDING_INVALID" }),
      )
    })

    describe("connections", () => {
      const connections = async () =>
        String(await admin.client("LIST"))
          .split("\n")
          .filter((line: string) => line.includes("name=tiered-kv")).length

      test("are one for each URL, however many backends", async () => {
        const before = await connections()
        const backends = await Promise.all(Array.from({ length: 5 }, () => open(url)))
        expect(await connections()).toBe(before + 1)
        await Promise.all(backends.slice(1).map((backend) => backend.close()))
        expect(await backends[0]?.exists("key")).toBe(false)
        await backends[0]?.close()
        await expect.poll(connections).toBe(before)
      })

      test("are closed once what is under way is through", async () => {
        const backend = await open(url)
        const writes = Array.from({ length: 50 }, (_, index) => put(backend, `key:${index}`))
        await backend.close()
        expect((await Promise.all(writes)).every(({ applied }) => applied)).toBe(true)
        await expect(backend.get("key:0")).rejects.toMatchObject({ code: "CLOSED" })
        await backend.open()
        expect(await backend.exists("key:49")).toBe(true)
      })
    })

    describe("what is no entry", () => {
      test("is CORRUPT_ENTRY, and only a write without a condition replaces a string", async () => {
        const backend = await open(url)
        await admin.set("text", "of another program")
        await admin.set("empty", "")
        for (const key of ["text", "empty"]) {
          const corrupt = { code: "CORRUPT_ENTRY", key }
          await expect(backend.get(key)).rejects.toMatchObject(corrupt)
          await expect(backend.exists(key)).rejects.toMatchObject(corrupt)
          await expect(put(backend, key, { condition: { absent: true } })).rejects.toMatchObject(corrupt)
          expect((await backend.getMany([key])).get(key)).toMatchObject(corrupt)
          await expect(backend.scan(key, { limit: 10 })).rejects.toMatchObject(corrupt)
          expect(await put(backend, key)).toMatchObject({ applied: true })
          expect(await backend.get(key)).toMatchObject({ value: VALUE })
        }
      })

      test("of another type is CORRUPT_ENTRY to a write, too; a delete removes it", async () => {
        const backend = await open(url)
        await admin.lpush("list", "item")
        await expect(backend.get("list")).rejects.toMatchObject({ code: "CORRUPT_ENTRY" })
        await expect(put(backend, "list")).rejects.toMatchObject({ code: "CORRUPT_ENTRY" })
        expect(await backend.delete("list", { id: systemRuntime.id() })).toEqual({ applied: true })
      })
    })

    describe("a server that refuses", () => {
      test("for lack of memory is THROTTLED; reads and deletes go on", async () => {
        const backend = await open(url)
        await put(backend, "key")
        await admin.config("SET", "maxmemory", "1")
        try {
          await expect(put(backend, "other")).rejects.toMatchObject({ code: "THROTTLED", retryable: true })
          expect(await backend.get("key")).toMatchObject({ value: VALUE })
          expect(await backend.delete("key", { id: systemRuntime.id() })).toEqual({ applied: true })
        } finally {
          await admin.config("SET", "maxmemory", "0")
        }
      })

      test("because it is a replica is UNAVAILABLE, until it is a primary again", async () => {
        const backend = await open(url)
        await admin.replicaof("127.0.0.1", "1")
        try {
          await expect(put(backend, "key")).rejects.toMatchObject({ code: "UNAVAILABLE", retryable: true })
        } finally {
          await admin.replicaof("NO", "ONE")
        }
        await expect
          .poll(() => put(backend, "key").catch((error) => error.code), { timeout: 5_000 })
          .toMatchObject({ applied: true })
      })
    })

    describe("on the server", () => {
      test("an entry stays a minute longer than it lives, counted from its arrival", async () => {
        const runtime = testRuntime(systemRuntime.now() - 86_400_000)
        const backend = await open(url, { runtime })
        await put(backend, "brief", { expiresAt: runtime.now() + 1_000 })
        await put(backend, "for:good")
        expect(await admin.pttl("brief")).toBeGreaterThan(60_000)
        expect(await admin.pttl("brief")).toBeLessThanOrEqual(61_000)
        expect(await admin.pttl("for:good")).toBe(-1)
        expect(await backend.exists("brief")).toBe(true)
        await put(backend, "brief")
        expect(await admin.pttl("brief")).toBe(-1)
      })

      test("a delete under a condition leaves a minute's trace, an unconditional one none", async () => {
        const backend = await open(url)
        const { version = "" } = await put(backend, "key")
        await backend.delete("key", { id: systemRuntime.id(), condition: { version } })
        expect(await admin.strlen("key")).toBe(40)
        expect(await admin.pttl("key")).toBeGreaterThan(55_000)
        await backend.delete("key", { id: systemRuntime.id() })
        expect(await admin.exists("key")).toBe(0)
      })
    })
  },
)
