import { Redis } from "ioredis"
import { afterAll, beforeAll, expect, test } from "vitest"
import type { ProvisioningStep } from "../../../tiers/provisioning.ts"
import { checkRedis } from "../../../tiers/redis/provisioning.ts"
import { startRedisServer } from "../../servers/redis.ts"
import { requireServer } from "../../servers/require-server.ts"
import { freePort } from "../../servers/server.ts"

await requireServer("redis provisioning", startRedisServer, ({ url, port, version }) => {
  let admin: Redis
  beforeAll(() => {
    admin = new Redis(url)
  })
  afterAll(() => admin.disconnect())

  async function step(name: string): Promise<ProvisioningStep | undefined> {
    const { steps } = await checkRedis(url)
    return steps.find((step) => step.name.startsWith(name))
  }

  test("checkRedis tells the version, warns of a server that forgets, and changes nothing", async () => {
    const before = await admin.config("GET", "*")
    const { target, steps } = await checkRedis(url)
    expect(target).toBe(`Redis at 127.0.0.1:${port}`)
    expect(steps[0]).toEqual({ name: `server Redis ${version}`, outcome: "verified" })
    expect(await step("persistence")).toMatchObject({
      outcome: "differs",
      detail: expect.stringContaining("a restart loses every entry"),
    })
    expect(await step("memory limit")).toMatchObject({ outcome: "differs" })
    expect(await step("role")).toEqual({ name: "role primary", outcome: "verified" })
    expect(await admin.config("GET", "*")).toEqual(before)
    expect(await admin.dbsize()).toBe(0)
  })

  test("checkRedis warns of a policy that evicts what a lock rests on", async () => {
    expect(await step("eviction")).toEqual({ name: "eviction policy noeviction", outcome: "verified" })
    for (const [policy, victims] of [
      ["allkeys-lru", "any entry, a lock"],
      ["volatile-ttl", "any entry with a time to live, a lock"],
    ] as const) {
      await admin.config("SET", "maxmemory-policy", policy)
      expect(await step("eviction")).toMatchObject({
        name: `eviction policy ${policy}`,
        outcome: "differs",
        detail: expect.stringContaining(victims),
      })
    }
  })

  test("checkRedis tells snapshots from an append-only file, and a replica from a primary", async () => {
    await admin.config("SET", "save", "3600 1")
    await admin.config("SET", "maxmemory", "100mb")
    expect(await step("persistence")).toMatchObject({ detail: expect.stringContaining("snapshots alone") })
    expect(await step("memory limit")).toEqual({ name: "memory limit 104857600 bytes", outcome: "verified" })
    await admin.config("SET", "appendonly", "yes")
    await admin.replicaof("127.0.0.1", "1")
    expect(await step("persistence")).toEqual({ name: "persistence append-only file", outcome: "verified" })
    expect(await step("role")).toMatchObject({ outcome: "differs" })
  })

  test("checkRedis does not mind a server that will not be asked for its configuration", async () => {
    await admin.acl("SETUSER", "asker", "reset", "on", ">secret", "+info", "+client|setname")
    await admin.config("SET", "appendonly", "no")
    const { steps } = await checkRedis(`redis://asker:secret@127.0.0.1:${port}`)
    expect(steps.find(({ name }) => name === "persistence")).toMatchObject({ outcome: "unsupported" })
  })

  test("checkRedis rejects where there is no server", async () => {
    const check = checkRedis(`redis://127.0.0.1:${await freePort()}`, { requestTimeoutMs: 200 })
    await expect(check).rejects.toMatchObject({ code: "UNAVAILABLE" })
  })
})
