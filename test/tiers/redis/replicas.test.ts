import { randomUUID } from "node:crypto"
import { connect, createServer, type Socket } from "node:net"
import { Redis } from "ioredis"
import { afterAll, afterEach, expect, test, vi } from "vitest"
import { kv } from "../../../src/index.ts"
import type { Backend } from "../../../tiers/backend.ts"
import { redis } from "../../../tiers/redis/backend.ts"
import { systemRuntime } from "../../../tiers/runtime.ts"
import { startRedisServer } from "../../servers/redis.ts"
import { requireServer } from "../../servers/require-server.ts"
import { freePort, listenOnLoopback } from "../../servers/server.ts"
import { fakeRedis } from "../../support/fake-redis.ts"

const MAX_LAG_MS = 200
const put = (backend: Backend, key: string, text = "value") =>
  backend.put(key, { value: Buffer.from(text), id: systemRuntime.id() })
const textOf = async (backend: Backend, key: string, asOf?: number) =>
  Buffer.from((await backend.get(key, { asOf }))?.value ?? "absent").toString()

const opened: { close(): Promise<void> }[] = []
afterEach(async () => void (await Promise.all(opened.splice(0).map((one) => one.close()))))

async function open(url: string): Promise<Backend> {
  const backend = redis(`${url}&maxLagMs=${MAX_LAG_MS}`, { prefix: `test:${randomUUID()}:` })
  opened.push(backend)
  await backend.open()
  return backend
}

/** A moment after now that a replica has caught up with. */
async function caughtUp(backend: Backend): Promise<number> {
  const now = systemRuntime.monotonic()
  return vi.waitFor(
    () => {
      const asOf = backend.replicatedUntil?.() ?? 0
      expect(asOf).toBeGreaterThan(now)
      return asOf
    },
    { timeout: 5_000, interval: 5 },
  )
}

/** How many reads of whole rows the server has answered. */
async function readsOf(admin: Redis): Promise<number> {
  const stats = await admin.info("commandstats")
  return [...stats.matchAll(/^cmdstat_m?get:calls=(\d+)/gm)].reduce(
    (sum, [, calls]) => sum + Number(calls),
    0,
  )
}

/** A way to the server that a test can hold up. */
async function slowWay(port: number) {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    const upstream = connect(port, "127.0.0.1")
    sockets.add(socket).add(upstream)
    socket.pipe(upstream).pipe(socket)
    for (const one of [socket, upstream]) one.on("error", () => {})
    socket.on("close", () => upstream.destroy())
    upstream.on("close", () => socket.destroy())
  })
  return {
    port: await listenOnLoopback(server),
    hold() {
      for (const socket of sockets) socket.pause()
    },
    release() {
      for (const socket of sockets) socket.resume()
    },
    async stop() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/** A cluster of one primary and its replica. */
async function startSmallCluster() {
  // A cluster tells of a replica only after the first change that reaches it. A ping is one.
  const options = [
    ...["--cluster-enabled", "yes", "--cluster-node-timeout", "1000"],
    ...["--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1", "--cluster-port"],
  ]
  const startNode = async () => {
    const busPort = await freePort()
    return { ...(await startRedisServer([...options, String(busPort)])), busPort }
  }
  const [primary, replica] = await Promise.all([startNode(), startNode()])
  const [first, second] = [new Redis(primary.url), new Redis(replica.url)]
  await first.call("CLUSTER", "ADDSLOTSRANGE", 0, 16_383)
  await second.call("CLUSTER", "MEET", "127.0.0.1", primary.port, primary.busPort)
  const id = await first.call("CLUSTER", "MYID")
  await vi.waitFor(() => second.call("CLUSTER", "REPLICATE", String(id)), { timeout: 10_000 })
  await vi.waitFor(
    async () => {
      for (const node of [first, second]) {
        expect(await node.cluster("INFO")).toContain("cluster_state:ok")
        expect(JSON.stringify(await node.cluster("SLOTS"))).toContain(String(replica.port))
      }
      expect(await second.info("replication")).toContain("master_link_status:up")
    },
    { timeout: 20_000 },
  )
  for (const node of [first, second]) node.disconnect()
  return {
    ...primary,
    name: "a cluster with a replica",
    replica,
    async stop() {
      await Promise.all([primary.stop(), replica.stop()])
    },
  }
}

async function startReplicated() {
  const primary = await startRedisServer(["--repl-diskless-sync-delay", "0"])
  const way = await slowWay(primary.port)
  const replica = await startRedisServer(["--replicaof", "127.0.0.1", String(way.port)])
  return {
    ...primary,
    name: "redis-server with a replica",
    primary,
    way,
    replica,
    async stop() {
      await replica.stop()
      await way.stop()
      await primary.stop()
    },
  }
}

await requireServer("redis replica", startReplicated, ({ url: primaryUrl, way, replica, port }) => {
  const url = `${primaryUrl}?replicas=127.0.0.1:${replica.port}`
  const [admin, primaryAdmin] = [new Redis(replica.url), new Redis(primaryUrl)]
  admin.on("error", () => {})
  afterAll(() => {
    admin.disconnect()
    primaryAdmin.disconnect()
  })

  test("a replica answers reads that may lag, alone and in batches, and no others", async () => {
    const backend = await open(url)
    for (const key of ["a", "b", "c"]) await put(backend, key)
    const asOf = await caughtUp(backend)
    const [before, beforePrimary] = [await readsOf(admin), await readsOf(primaryAdmin)]
    expect(await textOf(backend, "a", asOf)).toBe("value")
    expect((await backend.getMany(["a", "b", "c"], { asOf })).size).toBe(3)
    expect([await readsOf(admin), await readsOf(primaryAdmin)]).toEqual([before + 2, beforePrimary])
    await backend.get("a")
    await backend.getMany(["a", "b"])
    expect([await readsOf(admin), await readsOf(primaryAdmin)]).toEqual([before + 2, beforePrimary + 2])
  })

  test("a key that the replica does not have is asked of the primary", async () => {
    const backend = await open(url)
    await put(backend, "a")
    const asOf = await caughtUp(backend)
    const before = await readsOf(primaryAdmin)
    expect(await backend.get("absent", { asOf })).toBeUndefined()
    expect([...(await backend.getMany(["a", "absent"], { asOf })).keys()]).toEqual(["a"])
    expect(await readsOf(primaryAdmin)).toBe(before + 2)
  })

  test("a replica that is behind is not complete for any moment since, and after maxLagMs answers nothing", async () => {
    const backend = await open(url)
    await put(backend, "a", "old")
    await caughtUp(backend)
    way.hold()
    try {
      await vi.waitFor(async () => {
        await put(backend, "b")
        const [there, here] = await Promise.all([admin, primaryAdmin].map((each) => each.info("replication")))
        const offset = (info = "") => /^master_repl_offset:(\d+)/m.exec(info)?.[1]
        expect(offset(there)).not.toBe(offset(here))
      })
      const behind = systemRuntime.monotonic()
      await put(backend, "a", "new")
      await vi.waitFor(() => expect(backend.replicatedUntil?.()).toBeUndefined(), { interval: 5 })
      // What the replica has is still the old value.
      const before = await readsOf(admin)
      expect(await textOf(backend, "a", behind)).toBe("new")
      expect(await readsOf(admin)).toBe(before)
    } finally {
      way.release()
    }
    const asOf = await caughtUp(backend)
    const before = await readsOf(admin)
    expect(await textOf(backend, "a", asOf)).toBe("new")
    expect(await readsOf(admin)).toBe(before + 1)
  })

  test("a store reads its own writes, and never goes back, while its replica is behind", async () => {
    const options = { telemetry: false, l1: { ttlMs: 1 } } as const
    const store = await kv("test", { backend: `${url}&maxLagMs=2000&prefix=${randomUUID()}:`, ...options })
    opened.push(store)
    await store.set("a", "1")
    const before = await readsOf(admin)
    let others = 0
    await vi.waitFor(
      async () => {
        await store.getText(`other:${others++}`)
        expect(await readsOf(admin)).toBeGreaterThan(before)
      },
      { timeout: 10_000 },
    )
    way.hold()
    try {
      for (let count = 2; count < 20; count++) {
        await store.set("a", `${count}`)
        expect(await store.getText("a")).toBe(`${count}`)
        await store.delete("a")
        expect(await store.getText("a")).toBeUndefined()
      }
    } finally {
      way.release()
    }
  })

  test("a replica that stops answering leaves its reads to the primary", async () => {
    const backend = await open(url)
    await put(backend, "a")
    const asOf = await caughtUp(backend)
    replica.freeze()
    try {
      expect(await textOf(backend, "a", asOf)).toBe("value")
      await vi.waitFor(() => expect(backend.replicatedUntil?.()).toBeUndefined(), { interval: 5 })
    } finally {
      replica.thaw()
    }
    await caughtUp(backend)
  })

  test("a replica that was started anew, empty, does not make what is there absent", async () => {
    const backend = await open(url)
    await put(backend, "a")
    const asOf = await caughtUp(backend)
    way.hold()
    let isBack = false
    const restarted = replica.restart().finally(() => {
      isBack = true
    })
    let reads = 0
    for (; !isBack; reads++) expect(await textOf(backend, "a", asOf)).toBe("value")
    await restarted
    expect(await textOf(backend, "a", asOf)).toBe("value")
    way.release()
    await caughtUp(backend)
    expect(reads).toBeGreaterThan(1)
  })

  test("a replica that is not there when the store opens is used when it is", async () => {
    await replica.halt()
    const backend = await open(url)
    await put(backend, "a")
    expect(backend.replicatedUntil?.()).toBeUndefined()
    await replica.restart()
    expect(await textOf(backend, "a", await caughtUp(backend))).toBe("value")
  })

  test("sentinels lead to a replica", async () => {
    const bulk = (text: string) => `$${text.length}\r\n${text}\r\n`
    const fields = ["ip", "127.0.0.1", "port", String(replica.port), "flags", "slave"]
    await using sentinel = await fakeRedis(([name, what]) => {
      if (name !== "sentinel") return undefined
      if (what === "slaves") return `*1\r\n*${fields.length}\r\n${fields.map(bulk).join("")}`
      return what === "get-master-addr-by-name" ? `*2\r\n${bulk("127.0.0.1")}${bulk(String(port))}` : "*0\r\n"
    })
    const backend = await open(`redis-sentinel://127.0.0.1:${sentinel.port}?name=main&replicas`)
    await put(backend, "a")
    const asOf = await caughtUp(backend)
    const before = await readsOf(admin)
    expect(await textOf(backend, "a", asOf)).toBe("value")
    expect(await readsOf(admin)).toBe(before + 1)
    await backend.close()
  })
})

await requireServer("redis cluster replica", startSmallCluster, ({ url, replica }) => {
  test("the replicas of a cluster are discovered, answer reads that may lag, and are used again after a restart", async () => {
    const admin = new Redis(replica.url)
    admin.on("error", () => {})
    const backend = await open(`${url}?cluster&replicas`)
    const keys = ["a", "b", "c"]
    for (const key of keys) await put(backend, key)
    const asOf = await caughtUp(backend)
    const before = await readsOf(admin)
    expect(await textOf(backend, "a", asOf)).toBe("value")
    expect([...(await backend.getMany(keys, { asOf })).keys()]).toEqual(keys)
    expect(await readsOf(admin)).toBe(before + 4)
    expect(await textOf(backend, "a")).toBe("value")
    expect(await readsOf(admin)).toBe(before + 4)

    await replica.halt()
    expect(await textOf(backend, "a", asOf)).toBe("value")
    await replica.restart()
    await caughtUp(backend)
    await vi.waitFor(
      async () => {
        const asOf = await caughtUp(backend)
        expect(await textOf(backend, "a", asOf)).toBe("value")
        expect(await readsOf(admin)).toBeGreaterThan(0)
      },
      { timeout: 15_000 },
    )
    admin.disconnect()
  })
})
