import { afterEach, describe, expect, test, vi } from "vitest"
import type { Backend, Condition } from "../../../tiers/backend.ts"
import { type RedisOptions, redis } from "../../../tiers/redis/backend.ts"
import { systemRuntime } from "../../../tiers/runtime.ts"
import { resilient } from "../../../tiers/wrappers/resilience/resilience.ts"
import { type FaultProxy, faultProxy } from "../../servers/fault-proxy.ts"
import { startRedisServer } from "../../servers/redis.ts"
import { requireServer } from "../../servers/require-server.ts"
import { freePort } from "../../servers/server.ts"
import { wasWrittenBy } from "../../support/heads.ts"

const opened: Backend[] = []
const proxies: FaultProxy[] = []
afterEach(async () => {
  await Promise.all(opened.splice(0).map((backend) => backend.close()))
  await Promise.all(proxies.splice(0).map((proxy) => proxy.close()))
})

async function open(url: string, options?: RedisOptions): Promise<Backend> {
  const backend = redis(url, options)
  opened.push(backend)
  await backend.open()
  return backend
}

const VALUE = new TextEncoder().encode("value")
const put = (backend: Backend, key: string, id = systemRuntime.id(), condition?: Condition) =>
  backend.put(key, { value: VALUE, id, ...(condition === undefined ? {} : { condition }) })

/** How Redis 5 and 6 begin an error in a script. */
const IN_SCRIPT = "ERR Error running script (call to f_0): @user_script:39: @user_script: 39: "

const isWrite = (request: Buffer) => request.includes("evalsha")

await requireServer("redis", startRedisServer, (server) => {
  describe("a reply that was lost", () => {
    let proxy: FaultProxy
    let direct: Backend
    let faulty: Backend
    let key: string

    /** A backend through a proxy; the server knows the scripts already, so that a write is one request. */
    async function prepare(): Promise<void> {
      proxy = await faultProxy(server.port, "chunks")
      proxies.push(proxy)
      direct = await open(server.url)
      faulty = await open(`redis://127.0.0.1:${proxy.port}`)
      key = `lost:${systemRuntime.id()}`
      await put(direct, `${key}:warm`)
      await direct.exists(key)
    }

    test("leaves a write in doubt, which `wasWrittenBy` settles", async () => {
      await prepare()
      proxy.inject({ kind: "drop-reply", when: isWrite })
      const id = systemRuntime.id()
      await expect(put(faulty, key, id, { absent: true })).rejects.toMatchObject({
        code: "OUTCOME_UNKNOWN",
        key,
      })
      await vi.waitFor(async () => expect(await wasWrittenBy(faulty, key, id)).toBe(true))
      expect(await put(faulty, key, id, { absent: true })).toMatchObject({ applied: true })
    })

    test("leaves a read unanswered, not absent", async () => {
      await prepare()
      await put(direct, key)
      proxy.inject({ kind: "drop-reply", when: (request) => request.includes("get") })
      await expect(faulty.get(key)).rejects.toMatchObject({ code: "UNAVAILABLE", key })
      await vi.waitFor(async () => expect(await faulty.get(key)).toMatchObject({ value: VALUE }))
    })

    test.each(["put", "create", "compare-and-set", "delete if version", "delete", "putMany"])(
      "does not hide that a %s was applied, once",
      async (kind) => {
        await prepare()
        const backend = resilient(faulty)
        const there = kind === "create" ? undefined : (await put(direct, key)).version
        const dropped = proxy.inject({
          kind: "drop-reply",
          when: (request) => isWrite(request) || request.includes("unlink"),
        })
        const id = systemRuntime.id()
        const condition = there === undefined ? {} : { condition: { version: there } }
        const results: Record<string, () => Promise<unknown>> = {
          put: () => put(backend, key, id),
          create: () => put(backend, key, id, { absent: true }),
          "compare-and-set": () => put(backend, key, id, condition.condition),
          "delete if version": () => backend.delete(key, { id, ...condition }),
          delete: () => backend.delete(key, { id }),
          putMany: async () => (await backend.putMany(new Map([[key, { value: VALUE, id }]]))).get(key),
        }
        expect(await results[kind]?.()).toMatchObject({ applied: true })
        expect(dropped.hits).toBe(1)
        if (kind.startsWith("delete")) expect(await direct.get(key)).toBeUndefined()
        else expect(await wasWrittenBy(direct, key, id)).toBe(true)
      },
    )

    test("of a create that another writer won stays lost", async () => {
      await prepare()
      await put(direct, key)
      proxy.inject({ kind: "drop-reply", when: isWrite })
      const write = put(resilient(faulty), key, systemRuntime.id(), { absent: true })
      // Nobody can tell it from one that was applied and then overwritten.
      await expect(write).rejects.toMatchObject({ code: "OUTCOME_UNKNOWN" })
    })

    test("to one write fails all that shared the connection, each for itself", async () => {
      await prepare()
      proxy.inject({ kind: "black-hole", when: isWrite })
      const write = faulty.put(key, { value: VALUE, id: systemRuntime.id() }, { timeoutMs: 200 })
      const results = await Promise.allSettled([write, faulty.get(key), faulty.getMany([key])])
      expect(results.map((result) => result.status === "rejected" && result.reason.code)).toEqual([
        "OUTCOME_UNKNOWN",
        "UNAVAILABLE",
        "UNAVAILABLE",
      ])
    })
  })

  describe("a black hole", () => {
    test("ends every call within its time, and is left behind", async () => {
      const proxy = await faultProxy(server.port, "chunks")
      proxies.push(proxy)
      const backend = await open(`redis://127.0.0.1:${proxy.port}`, { requestTimeoutMs: 400 })
      await put(backend, "hole")
      proxy.inject({ kind: "black-hole" })
      const started = performance.now()
      const results = await Promise.allSettled([backend.get("hole"), put(backend, "hole")])
      expect(performance.now() - started).toBeLessThan(500)
      expect(results[0]).toMatchObject({ reason: { code: expect.stringMatching(/TIMEOUT|UNAVAILABLE/) } })
      expect(results[1]).toMatchObject({ reason: { code: "OUTCOME_UNKNOWN" } })
      await vi.waitFor(async () => expect(await backend.get("hole")).toBeDefined(), 3_000)
    })

    test("in the handshake of a new connection is left behind, too", async () => {
      const proxy = await faultProxy(server.port, "chunks")
      proxies.push(proxy)
      const backend = await open(`redis://127.0.0.1:${proxy.port}`, { requestTimeoutMs: 400 })
      await put(backend, "handshake")
      const hole = proxy.inject({ kind: "black-hole", when: (request) => request.includes("info") })
      proxy.cut()
      await expect.poll(() => hole.hits, { timeout: 3_000 }).toBe(1)
      await vi.waitFor(async () => expect(await backend.get("handshake")).toBeDefined(), 3_000)
    })

    test("at the first connection ends the opening within its time", async () => {
      const proxy = await faultProxy(server.port, "chunks")
      proxies.push(proxy)
      proxy.inject({ kind: "black-hole", times: Number.POSITIVE_INFINITY })
      const started = performance.now()
      const opening = redis(`redis://127.0.0.1:${proxy.port}`, { connectTimeoutMs: 300 }).open()
      await expect(opening).rejects.toMatchObject({ code: "UNAVAILABLE", operation: "open" })
      expect(performance.now() - started).toBeLessThan(600)
    })
  })

  const refusals: readonly (readonly [answer: string, code: string])[] = [
    ["LOADING Redis is loading the dataset in memory", "UNAVAILABLE"],
    ["BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.", "UNAVAILABLE"],
    [
      "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist",
      "UNAVAILABLE",
    ],
    ["NOREPLICAS Not enough good replicas to write.", "UNAVAILABLE"],
    ["MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", "UNAVAILABLE"],
    ["CLUSTERDOWN Hash slot not served", "UNAVAILABLE"],
    ["READONLY You can't write against a read only replica.", "UNAVAILABLE"],
    ["ERR max number of clients reached", "UNAVAILABLE"],
    ["OOM command not allowed when used memory > 'maxmemory'.", "THROTTLED"],
    ["NOAUTH Authentication required.", "ACCESS_DENIED"],
    ["NOPERM this user has no permissions to run the 'get' command", "ACCESS_DENIED"],
    ["MOVED 3999 127.0.0.1:6381", "BINDING_INVALID"],
    ["WRONGTYPE Operation against a key holding the wrong kind of value", "CORRUPT_ENTRY"],
    [`${IN_SCRIPT}WRONGTYPE Operation against a key`, "CORRUPT_ENTRY"],
    [`${IN_SCRIPT}-READONLY You can't write against a read only replica.`, "UNAVAILABLE"],
    [`${IN_SCRIPT}-OOM command not allowed when used memory > 'maxmemory'.`, "THROTTLED"],
    [`${IN_SCRIPT}-LOADING Redis is loading the dataset in memory`, "UNAVAILABLE"],
    [`${IN_SCRIPT}-MISCONF Redis is configured to save RDB snapshots`, "UNAVAILABLE"],
    [`${IN_SCRIPT}-NOREPLICAS Not enough good replicas to write.`, "UNAVAILABLE"],
    [`${IN_SCRIPT}-CLUSTERDOWN Hash slot not served`, "UNAVAILABLE"],
  ]
  test.each(refusals)("the answer %j is %s, to a write, too: nothing was applied", async (answer, code) => {
    const proxy = await faultProxy(server.port, "chunks")
    proxies.push(proxy)
    const backend = await open(`redis://127.0.0.1:${proxy.port}`)
    // What ioredis sends of its own accord at the beginning must not be in one chunk with the command.
    await backend.exists("key")
    const response = `-${answer}\r\n`
    proxy.inject({
      kind: "respond",
      response,
      when: (request) => request.includes("\nget\r\n"),
    })
    await expect(backend.get("key")).rejects.toMatchObject({
      code,
      backend: "redis",
      operation: "get",
      key: "key",
    })
    proxy.inject({ kind: "respond", response, when: isWrite })
    await expect.poll(() => put(backend, "key").catch((error) => error.code)).toBe(code)
  })

  test("an answer without a known code leaves a write in doubt: a proxy may have given up waiting for the server", async () => {
    const proxy = await faultProxy(server.port, "chunks")
    proxies.push(proxy)
    const backend = await open(`redis://127.0.0.1:${proxy.port}`)
    await put(backend, "key")
    const response = "-ERR Connection timed out\r\n"
    proxy.inject({ kind: "respond", response, when: (request) => request.includes("get") })
    await expect(backend.get("key")).rejects.toMatchObject({ code: "UNAVAILABLE" })
    proxy.inject({ kind: "respond", response, when: isWrite })
    await expect(put(backend, "key")).rejects.toMatchObject({ code: "OUTCOME_UNKNOWN" })
  })

  test("a server that is slow is waited for", async () => {
    const proxy = await faultProxy(server.port, "chunks")
    proxies.push(proxy)
    const backend = await open(`redis://127.0.0.1:${proxy.port}`, { requestTimeoutMs: 1_000 })
    await put(backend, "slow")
    proxy.inject({ kind: "delay-reply", delayMs: 300, when: (request) => request.includes("get") })
    expect(await backend.get("slow")).toMatchObject({ value: VALUE })
  })

  describe("a server", () => {
    test("that goes away is UNAVAILABLE at once, and is used again when it is back", async () => {
      const backend = await open(server.url)
      await put(backend, "key")
      await server.halt()
      await vi.waitFor(() => expect(backend.get("key")).rejects.toMatchObject({ code: "UNAVAILABLE" }))
      for (const call of [async () => backend.get("key"), async () => put(backend, "key")]) {
        const code = call().then(
          () => "resolved",
          (error) => error.code,
        )
        const nextTurn = new Promise((resolve) => setImmediate(resolve, "a turn of the event loop later"))
        expect(await Promise.race([code, nextTurn])).toBe("UNAVAILABLE")
      }
      await server.restart()
      await vi.waitFor(async () => expect(await backend.get("key")).toBeUndefined(), 5_000)
      // It has forgotten the scripts.
      expect(await put(backend, "key")).toMatchObject({ applied: true })
      expect(await backend.exists("key")).toBe(true)
    })

    test("that is not there yet is waited for", async () => {
      await server.halt()
      const opening = open(server.url)
      await server.restart()
      await opening
    })

    test("that hangs does not hang its callers", async () => {
      const backend = await open(server.url, { requestTimeoutMs: 400 })
      const version = (await put(backend, "key")).version ?? ""
      server.freeze()
      try {
        await expect(
          backend.delete("key", { id: systemRuntime.id(), condition: { version } }),
        ).rejects.toMatchObject({
          code: "OUTCOME_UNKNOWN",
        })
      } finally {
        server.thaw()
      }
      await vi.waitFor(async () => expect(await backend.exists("other")).toBe(false), 5_000)
    })
  })
})

test("a server that was never there is UNAVAILABLE, with the reason", async () => {
  const opening = open(`redis://127.0.0.1:${await freePort()}`, { connectTimeoutMs: 200 })
  await expect(opening).rejects.toMatchObject({
    code: "UNAVAILABLE",
    message: expect.stringContaining("ECONNREFUSED"),
  })
})
