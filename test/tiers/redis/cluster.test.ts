import { randomUUID } from "node:crypto"
import { Cluster, Redis } from "ioredis"
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest"
import type { Backend } from "../../../tiers/backend.ts"
import { KvError } from "../../../tiers/errors.ts"
import { type RedisOptions, redis } from "../../../tiers/redis/backend.ts"
import { checkRedis } from "../../../tiers/redis/provisioning.ts"
import { systemRuntime } from "../../../tiers/runtime.ts"
import { resilient } from "../../../tiers/wrappers/resilience/resilience.ts"
import { startRedisCluster } from "../../servers/redis.ts"
import { requireServer } from "../../servers/require-server.ts"
import { describeConformance } from "../../support/conformance/run.ts"

const VALUE = new TextEncoder().encode("value")
const put = (backend: Backend, key: string) => backend.put(key, { value: VALUE, id: systemRuntime.id() })
const KEYS = Array.from({ length: 60 }, (_, index) => `key:${index}`)

await requireServer("redis cluster", startRedisCluster, ({ url, nodes }) => {
  describeConformance("redis cluster", {
    createStore(runtime) {
      const prefix = `test:${randomUUID()}:`
      return { connect: () => redis(url, { prefix, runtime }) }
    },
  })

  describeConformance("redis cluster, all keys in one slot", {
    createStore(runtime) {
      const prefix = `test:{${randomUUID()}}:`
      return { connect: () => redis(url, { prefix, runtime }) }
    },
  })

  const opened: Backend[] = []
  afterEach(async () => void (await Promise.all(opened.splice(0).map((backend) => backend.close()))))
  async function open(target: string | Cluster, options?: RedisOptions): Promise<Backend> {
    const backend = redis(target, { prefix: `test:${randomUUID()}:`, ...options })
    opened.push(backend)
    await backend.open()
    return backend
  }

  test("a list of nodes names a cluster, and one node is enough to find the others", async () => {
    const backend = await open(`redis://127.0.0.1:1,127.0.0.1:${nodes[1]?.port}`)
    await backend.putMany(new Map(KEYS.map((key) => [key, { value: VALUE, id: systemRuntime.id() }])))
    expect((await backend.getMany(KEYS)).size).toBe(KEYS.length)
  })

  test("a client that was passed in stays open; one that reads from replicas is refused", async () => {
    const client = new Cluster([{ host: "127.0.0.1", port: nodes[0]?.port ?? 0 }], {
      retryDelayOnFailover: 0,
    })
    const backend = await open(client)
    await put(backend, "key")
    await backend.close()
    expect(await client.ping()).toBe("PONG")
    client.disconnect()
    const lagging = new Cluster([{ host: "127.0.0.1" }], { scaleReads: "slave", lazyConnect: true })
    await expect(redis(lagging).open()).rejects.toMatchObject({ code: "BINDING_INVALID" })
  })

  test("one node of a cluster without ?cluster is BINDING_INVALID for the keys of other nodes", async () => {
    const backend = await open(nodes[0]?.url ?? "")
    const results = await Promise.allSettled(KEYS.map((key) => backend.get(key)))
    const codes = new Set(results.map((result) => result.status === "rejected" && result.reason.code))
    expect(codes).toEqual(new Set([false, "BINDING_INVALID"]))
  })

  test("checkRedis looks at every primary", async () => {
    const { steps } = await checkRedis(url)
    for (const { port } of nodes) {
      expect(steps).toContainEqual(expect.objectContaining({ name: `127.0.0.1:${port}: role primary` }))
    }
  })

  describe("a slot that moves to another node", () => {
    let clients: Redis[]
    beforeAll(() => {
      clients = nodes.map(({ url }) => new Redis(url))
    })
    afterAll(() => {
      for (const client of clients) client.disconnect()
    })

    test("is followed, while it moves and after", async () => {
      const keysIn = (slot: string) =>
        Promise.all(clients.map((client) => client.call("CLUSTER", "COUNTKEYSINSLOT", slot).then(Number)))
      // A slot without keys of other tests: a node does not give up a slot that it still holds keys of.
      let prefix: string
      let slot: string
      do {
        prefix = `test:{${randomUUID()}}:`
        slot = String(await clients[0]?.cluster("KEYSLOT", prefix))
      } while ((await keysIn(slot)).some((count) => count > 0))
      const backend = await open(url, { prefix })
      await put(backend, "moved")
      await put(backend, "left")

      const ids = await Promise.all(
        clients.map(async (client) => String(await client.call("CLUSTER", "MYID"))),
      )
      const from = (await keysIn(slot)).findIndex((count) => count > 0)
      const to = (from + 1) % nodes.length
      await clients[to]?.call("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[from] ?? "")
      await clients[from]?.call("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[to] ?? "")
      const migrate = (key: string) =>
        clients[from]?.call("MIGRATE", "127.0.0.1", nodes[to]?.port ?? 0, prefix + key, 0, 5_000)
      await migrate("moved")
      for (const key of ["moved", "left"]) expect(await backend.get(key)).toMatchObject({ value: VALUE })
      expect(await put(backend, "moved")).toMatchObject({ applied: true })
      expect(await backend.exists("left")).toBe(true)

      await migrate("left")
      for (const client of clients) await client.call("CLUSTER", "SETSLOT", slot, "NODE", ids[to] ?? "")
      for (const key of ["moved", "left"]) {
        expect(await put(backend, key)).toMatchObject({ applied: true })
        expect(await backend.get(key)).toMatchObject({ value: VALUE })
      }
    })
  })

  test("a node that stops answering gets a new connection at the limit of a write", async () => {
    const backend = await open(url, { requestTimeoutMs: 60_000 })
    for (const key of KEYS) await put(backend, key)
    const [node] = nodes
    const admin = new Redis(node?.url ?? "")
    const connections = async () =>
      Array.from(String(await admin.client("LIST")).matchAll(/^id=(\d+) .*name=tiered-kv /gm), ([, id]) => id)
    const before = await connections()
    expect(before).toHaveLength(1)
    node?.freeze()
    const writes = KEYS.map((key) =>
      backend.put(key, { value: VALUE, id: systemRuntime.id() }, { timeoutMs: 600 }).then(
        () => "applied",
        (error) => error.code,
      ),
    )
    const outcomes = await Promise.all(writes)
    node?.thaw()
    expect(new Set(outcomes)).toEqual(new Set(["applied", "OUTCOME_UNKNOWN"]))
    await expect.poll(connections).not.toContain(before[0])
    for (const key of KEYS) await expect.poll(() => put(backend, key)).toMatchObject({ applied: true })
    admin.disconnect()
  })

  describe("a primary that goes away", () => {
    test("takes its own keys with it, as errors, until it is back", async () => {
      const backend = await open(url, { requestTimeoutMs: 1_000 })
      for (const key of KEYS) await put(backend, key)
      const { next: cursor = "" } = await backend.scan("", { limit: 5 })
      await nodes[2]?.halt()
      const found = await backend.getMany(KEYS)
      const failed = [...found.values()].filter((entry) => entry instanceof KvError)
      expect(found.size).toBe(KEYS.length)
      expect(failed.length).toBeGreaterThan(0)
      expect(failed.length).toBeLessThan(KEYS.length)
      for (const error of failed) expect(error).toMatchObject({ code: "UNAVAILABLE", retryable: true })

      const results = await backend.putMany(
        new Map(KEYS.map((key) => [key, { value: VALUE, id: systemRuntime.id() }])),
      )
      for (const result of results.values()) {
        if (result instanceof KvError) expect(result.code).toMatch(/OUTCOME_UNKNOWN|UNAVAILABLE/)
        else expect(result.applied).toBe(true)
      }

      await nodes[2]?.restart()
      const patient = resilient(backend)
      const all = async () =>
        [...(await patient.getMany(KEYS)).values()].filter((entry) => entry instanceof KvError)
      await expect.poll(all, { timeout: 10_000 }).toEqual([])
      for (const key of KEYS)
        expect(await patient.put(key, { value: VALUE, id: systemRuntime.id() })).toMatchObject({
          applied: true,
        })
      await expect(backend.scan("", { limit: 5, cursor })).rejects.toMatchObject({ code: "INVALID_CURSOR" })
    })
  })
})
