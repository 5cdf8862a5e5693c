import { afterEach, beforeAll, beforeEach, expect, test } from "vitest"
import { type Kv, type KvOptions, kv } from "../../../src/index.ts"
import { systemRuntime } from "../../../tiers/runtime.ts"
import { actionOf, awsReply } from "../../servers/dynamodb.ts"
import { requireServer } from "../../servers/require-server.ts"
import { NETWORKED, type WireRead } from "../../support/networked.ts"

/** Reads of many keys through `kv()`, as the vendors' own servers see them arrive. */
for (const [kind, networked] of Object.entries(NETWORKED)) {
  await requireServer(kind, networked.start, ({ proxy, proxied, corrupt }) => {
    const { maxReadBatch, calls } = networked.traits
    const keys = Array.from({ length: 1_000 }, (_, index) => `many:${index}`)
    const fewest = Math.ceil(keys.length / maxReadBatch)
    const opened: Kv[] = []
    let store: Kv
    let reads: WireRead[]

    async function open(options: KvOptions = {}): Promise<Kv> {
      const made = await kv("store", {
        backend: proxied,
        l1: false,
        timeoutMs: 20_000,
        attemptTimeoutMs: 20_000,
        ...options,
      })
      opened.push(made)
      return made
    }
    beforeAll(async () => {
      const made = await open()
      await made.setMany(keys.map((key) => [key, `value of ${key}`]))
      await made.close()
    })
    beforeEach(async () => {
      store = await open()
      // The connection is there, and the scripts are loaded, before anything is counted.
      await store.get("none")
      reads = []
      proxy.observe((request) => reads.push(...networked.readsIn(request)))
    })
    afterEach(async () => {
      proxy.clear()
      await Promise.all(opened.splice(0).map((made) => made.close()))
    })

    test(`1,000 reads at once of different keys are ${fewest} requests`, async () => {
      const values = await Promise.all(keys.map((key) => store.getText(key)))
      expect(values).toEqual(keys.map((key) => `value of ${key}`))
      expect(reads.length).toBeLessThanOrEqual(1.02 * fewest)
      expect(Math.max(...reads.map((read) => read.keys))).toBeLessThanOrEqual(maxReadBatch)
      expect(reads.reduce((sum, read) => sum + read.keys, 0)).toBe(keys.length)
    })

    test(`1,000 keys of one getMany are ${fewest} requests, and keys that come twice are asked for once`, async () => {
      const found = await store.getManyText([...keys, ...keys.slice(0, 300)])
      expect(found).toEqual(new Map(keys.map((key) => [key, `value of ${key}`])))
      expect(reads.length).toBeLessThanOrEqual(1.02 * fewest)
      expect(reads.reduce((sum, read) => sum + read.keys, 0)).toBe(keys.length)
    })

    test("a lone read is the call for one key; three at once are one call, if the service has one", async () => {
      expect(await store.getText("many:7")).toBe("value of many:7")
      expect(reads).toEqual([{ call: calls.get, keys: 1 }])
      reads.length = 0
      const both = await Promise.all([store.getText("many:7"), store.getText("many:8"), store.get("none")])
      expect(both).toEqual(["value of many:7", "value of many:8", undefined])
      expect(reads).toEqual(
        maxReadBatch === 1
          ? [1, 2, 3].map(() => ({ call: calls.get, keys: 1 }))
          : [{ call: calls.getMany, keys: 3 }],
      )
    })

    test("reads that the service turns away in the midst of others are tried again, and none is a miss", async () => {
      const some = keys.slice(0, 250)
      const requests = Math.ceil(some.length / maxReadBatch)
      const throttled = proxy.inject(networked.throttle(requests))
      const values = await Promise.all(some.map((key) => store.getText(key)))
      expect(throttled.hits).toBe(1)
      expect(values).toEqual(some.map((key) => `value of ${key}`))
      const turnedAway = kind === "redis" ? requests : 1
      expect(reads.length).toBe(requests + turnedAway)
    })

    test("reads whose connections break again and again reject, and none is a miss", async () => {
      const hasty = await open({ timeoutMs: 300 })
      await hasty.get("none")
      proxy.inject({ kind: "reset", times: Number.POSITIVE_INFINITY })
      const some = keys.slice(0, 150)
      const results = await Promise.allSettled(some.map((key) => hasty.getText(key)))
      for (const [index, key] of some.entries()) {
        expect(results[index]).toMatchObject({
          status: "rejected",
          reason: { code: expect.stringMatching(/^(UNAVAILABLE|TIMEOUT)$/), key, retryable: true },
        })
      }
    })

    test("a row that is no entry fails its own read alone", async () => {
      const bad = `bad:${systemRuntime.id()}`
      await corrupt(bad)
      const some = [...keys.slice(0, 60), bad, ...keys.slice(60, 90)]
      const results = await Promise.allSettled(some.map((key) => store.getText(key)))
      for (const [index, key] of some.entries()) {
        const expected =
          key === bad
            ? { status: "rejected", reason: { code: "CORRUPT_ENTRY", key } }
            : { status: "fulfilled", value: `value of ${key}` }
        expect(results[index]).toMatchObject(expected)
      }
      await expect(store.getMany(some)).rejects.toMatchObject({ code: "CORRUPT_ENTRY", key: bad })
      await store.delete(bad)
    })

    test("a scan that is left early asks for no further page", async () => {
      const before = proxy.requests
      const page = await store.scanPage("many:", { limit: 50 })
      const onePage = proxy.requests - before
      expect(page.nextCursor).toBeDefined()
      let seen = 0
      for await (const _ of store.scan("many:", { limit: 50 })) if (++seen === 10) break
      // A read after the scan: whatever the scan still sends would arrive before its answer does.
      await store.get("none")
      expect(proxy.requests - before).toBeLessThanOrEqual(2 * onePage + 1)
    })

    test("a scan that is aborted stops asking, and rejects with the reason", async () => {
      const controller = new AbortController()
      const reason = new Error("enough")
      const scan = async () => {
        for await (const _ of store.scan("many:", { limit: 50, signal: controller.signal })) {
          controller.abort(reason)
        }
      }
      await expect(scan()).rejects.toBe(reason)
      const before = proxy.requests
      await store.get("none")
      expect(proxy.requests - before).toBe(1)
    })

    if (kind !== "dynamodb") return
    test("the keys that DynamoDB leaves unprocessed are asked for again, and they alone", async () => {
      const some = keys.slice(0, 100)
      const table = /([^/]+)\?/.exec(proxied)?.[1] ?? ""
      const left = some.slice(60).map((key) => ({ pk: { S: "any" }, sk: { S: key } }))
      const rows = some.slice(0, 60).map((key) => ({
        ...{ pk: { S: "any" }, sk: { S: key }, version: { S: "v" } },
        value: { B: Buffer.from(`injected ${key}`).toString("base64") },
      }))
      proxy.inject({
        kind: "respond",
        response: awsReply({
          Responses: { [table]: rows },
          UnprocessedKeys: { [table]: { Keys: left, ConsistentRead: true } },
        }),
        when: (request) => actionOf(request) === "BatchGetItem",
      })
      const values = await Promise.all(some.map((key) => store.getText(key)))
      expect(values).toEqual(some.map((key, index) => `${index < 60 ? "injected" : "value of"} ${key}`))
      expect(reads.map((read) => read.keys)).toEqual([100, 40])
    })
  })
}
