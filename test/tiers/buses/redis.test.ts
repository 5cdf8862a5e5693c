import { Redis } from "ioredis"
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test, vi } from "vitest"
import type { Bus } from "../../../tiers/buses/bus.ts"
import { redisBus } from "../../../tiers/buses/redis.ts"
import { type RedisServer, startRedisCluster, startRedisServer } from "../../servers/redis.ts"
import { requireServer } from "../../servers/require-server.ts"
import { describeBusConformance } from "../../support/conformance/bus-run.ts"

/** Short times, so that what is overdue is found soon. */
const TIMES = { heartbeatMs: 100, leaseMs: 400 }

/** Publishes a megabyte at once, for which {@link startRedisServer} below has no room. */
const OVERFLOW = "for i = 1, 100 do redis.call('publish', ARGV[1], string.rep('x', 10000)) end"

const startSmall = () => startRedisServer(["--client-output-buffer-limit", "pubsub 500kb 0 0"])

await requireServer("redis bus", startSmall, (server) => {
  let admin: Redis
  beforeAll(() => {
    admin = new Redis(server.url)
    admin.on("error", () => {})
  })
  afterAll(() => admin.disconnect())
  afterEach(closeAll)

  describeBusConformance("redis", {
    createPlace: () => ({
      connect: () => redisBus(server.url, TIMES),
      async cut() {
        await admin.call("CLIENT", "KILL", "TYPE", "pubsub")
      },
      halt: () => server.halt(),
      resume: () => server.restart(),
      freeze: () => server.freeze(),
      thaw: () => server.thaw(),
      overflow: async (channel) => void (await admin.eval(OVERFLOW, 0, channel)),
    }),
  })

  test("a client of the caller gives address and credentials, and is left as it was", async () => {
    const client = new Redis(server.url, { keyPrefix: "prefix:", db: 3 })
    onTestFinished(() => client.disconnect())
    const [own, borrowed] = [await opened(redisBus(server.url)), await opened(redisBus(client))]
    await own.bus.publish([Buffer.from("frame")])
    await vi.waitFor(() => expect(borrowed.told).toEqual(["alive", "frame"]))
    await borrowed.bus.close()
    expect(await client.ping()).toBe("PONG")
    expect(client.mode).toBe("normal")
  })

  test("what prints the commands of ioredis gets no keys", async () => {
    const send = vi.spyOn(Redis.prototype, "sendCommand")
    onTestFinished(() => send.mockRestore())
    const { bus, told } = await opened(redisBus(server.url, TIMES))
    await bus.publish([Buffer.from("canary:key")])
    await vi.waitFor(() => expect(told).toEqual(["alive", "canary:key"]))
    const commands = send.mock.calls.map(([command]) => [command.name, ...command.args.map(String)].join(" "))
    expect(commands.filter((text) => text.includes("publish"))).not.toEqual([])
    expect(commands.filter((text) => text.includes("canary"))).toEqual([])
  })

  test("closing leaves no connection", async () => {
    const { bus } = await opened(redisBus(server.url, TIMES))
    const mine = async () => String(await admin.client("LIST")).split("name=tiered-kv-bus ").length - 1
    expect(await mine()).toBe(2)
    await bus.close()
    await vi.waitFor(async () => expect(await mine()).toBe(0))
  })

  describe("a user of the server who lacks a permission", () => {
    const CASES = {
      "the channel": ["resetchannels", "+@all"],
      SUBSCRIBE: ["allchannels", "+@all", "-subscribe"],
      PUBLISH: ["allchannels", "+@all", "-publish"],
    }
    test.each(Object.entries(CASES))(
      "is refused at the opening, and told what to allow: %s",
      async (_, rules) => {
        await admin.call("ACL", "SETUSER", "limited", "reset", "on", ">secret", "allkeys", ...rules)
        const bus = redisBus(server.url.replace("//", "//limited:secret@"), TIMES)
        const opening = opened(bus, "tiered-kv:rows")
        await expect(opening).rejects.toMatchObject({ code: "ACCESS_DENIED", backend: "redis" })
        await expect(opening).rejects.toThrow(
          /"tiered-kv:rows".*ACL SETUSER … &tiered-kv:\* \+subscribe \+publish/,
        )
      },
    )

    test("is let in with what the message names, and nothing else", async () => {
      const rules = ["&tiered-kv:*", "+subscribe", "+publish", "+info", "+time", "+client|setname"]
      await admin.call("ACL", "SETUSER", "enough", "reset", "on", ">secret", ...rules)
      const { told, bus } = await opened(
        redisBus(server.url.replace("//", "//enough:secret@")),
        "tiered-kv:rows",
      )
      await bus.publish([Buffer.from("frame")])
      await vi.waitFor(() => expect(told).toEqual(["alive", "frame"]))
    })

    test("is refused with a wrong password", async () => {
      const bus = redisBus(server.url.replace("//", "//limited:wrong@"))
      await expect(opened(bus)).rejects.toMatchObject({ code: "ACCESS_DENIED" })
    })
  })

  test("a replica is no bus, though it takes subscriptions and publications", async () => {
    const replica = await startRedisServer(["--replicaof", "127.0.0.1", String(server.port)])
    onTestFinished(() => replica.stop())
    const { bus, told } = await opened(redisBus(replica.url, TIMES))
    expect(told).toEqual([])
    await expect(bus.publish([Buffer.from("frame")])).rejects.toThrow(/replica/)
  })
})

await requireServer("redis cluster bus", startRedisCluster, ({ url, nodes }) => {
  const all = (act: (node: RedisServer) => void) => () => nodes.forEach(act)
  describeBusConformance("redis cluster", {
    createPlace: () => ({
      connect: () => redisBus(url, TIMES),
      async cut() {
        for (const node of nodes) await killSubscribers(node)
      },
      freeze: all((node) => node.freeze()),
      thaw: all((node) => node.thaw()),
    }),
  })
  afterEach(closeAll)

  test("all use the primary with the slot of the channel, and follow it when it moves", async () => {
    const [a, b] = [await opened(redisBus(url, TIMES)), await opened(redisBus(url, TIMES))]
    const clients = nodes.map((node) => new Redis(node.url))
    onTestFinished(() => clients.forEach((client) => void client.disconnect()))
    const slot = Number(await clients[0]?.cluster("KEYSLOT", CHANNEL))
    const ids = await Promise.all(clients.map((client) => client.cluster("MYID")))
    const subscribers = () =>
      Promise.all(
        clients.map(async (client) =>
          Number(((await client.call("PUBSUB", "SHARDNUMSUB", CHANNEL)) as unknown[])[1]),
        ),
      )
    const from = (await subscribers()).indexOf(2)
    expect(from).toBeGreaterThanOrEqual(0)
    const move = async (to: number) => {
      // The new owner first, as Redis wants it.
      await clients[to]?.call("CLUSTER", "SETSLOT", slot, "NODE", ids[to] ?? "")
      for (const client of clients) await client.call("CLUSTER", "SETSLOT", slot, "NODE", ids[to] ?? "")
    }
    const to = (from + 1) % clients.length
    onTestFinished(() => move(from))
    await move(to)
    for (const { told } of [a, b]) {
      await vi.waitFor(() => expect(told).toEqual(["alive", "lost", "alive"]), 10_000)
    }
    expect((await subscribers())[to]).toBe(2)
    await a.bus.publish([Buffer.from("frame")])
    await vi.waitFor(() => expect(b.told.at(-1)).toBe("frame"))
  })
})

async function killSubscribers({ url }: RedisServer): Promise<void> {
  const admin = new Redis(url)
  await admin.call("CLIENT", "KILL", "TYPE", "pubsub")
  admin.disconnect()
}

const CHANNEL = "tiered-kv:test"
const open: Bus[] = []

async function opened(bus: Bus, channel = CHANNEL) {
  open.push(bus)
  const told: string[] = []
  await bus.open({
    channel,
    message: (frame) => told.push(Buffer.from(frame).toString()),
    alive: () => told.push("alive"),
    lost: () => told.push("lost"),
  })
  return { bus, told }
}

async function closeAll(): Promise<void> {
  for (const bus of open.splice(0)) await bus.close()
}
