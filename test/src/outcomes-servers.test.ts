import { fork } from "node:child_process"
import { once } from "node:events"
import { copyFile } from "node:fs/promises"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest"
import { type Kv, type KvError, type KvOptions, kv } from "../../src/index.ts"
import { systemRuntime } from "../../tiers/runtime.ts"
import { requireServer } from "../servers/require-server.ts"
import { type Built, build } from "../support/built.ts"
import { NETWORKED } from "../support/networked.ts"

const CHILD = fileURLToPath(new URL("../support/children/kv-process.mjs", import.meta.url))

let built: Built
beforeAll(async () => {
  built = await build()
  await copyFile(CHILD, join(built.folder, "kv-process.mjs"))
})
afterAll(() => built.remove())

/** Another process over the same store. */
async function startProcess(url: string) {
  const child = fork(join(built.folder, "kv-process.mjs"), {
    env: { ...process.env, KV_STORE_URL: url, NODE_ENV: "production", NODE_NO_WARNINGS: "1" },
  })
  const reply = async (): Promise<unknown> => {
    const [message] = await once(child, "message")
    if ("failure" in message) throw new Error(message.failure)
    return message.result
  }
  await reply()
  return {
    async call(call: string, ...args: unknown[]): Promise<unknown> {
      const answer = reply()
      child.send({ call, args })
      return answer
    },
    async stop() {
      const ended = once(child, "exit")
      child.kill()
      await ended
    },
  }
}

/** Longest time of a call, in tests that wait for it, and the tolerance for a busy machine, ms. */
const TIMEOUT_MS = 600
const SLACK_MS = 500

const READ = /^(TIMEOUT|UNAVAILABLE)$/
const WRITE = /^(OUTCOME_UNKNOWN|TIMEOUT|UNAVAILABLE)$/
const BATCH = /^(PARTIAL_FAILURE|OUTCOME_UNKNOWN|TIMEOUT|UNAVAILABLE)$/

/** Every kind of call, with the results and errors that it may have while the server is down. */
const CALLS: Readonly<Record<string, [codes: RegExp, call: (store: Kv) => Promise<unknown>]>> = {
  get: [READ, (store) => store.get("key")],
  "get, strong": [READ, (store) => store.get("key", { consistency: "strong" })],
  getMany: [READ, (store) => store.getMany(["key", "other"])],
  exists: [READ, (store) => store.exists("key")],
  scan: [READ, (store) => store.scan("").next()],
  getOrSet: [READ, (store) => store.getOrSet("key", () => "loaded")],
  set: [WRITE, (store) => store.set("key", "value")],
  create: [WRITE, (store) => store.set("key", "value", { ifNotExists: true })],
  delete: [WRITE, (store) => store.delete("key")],
  setMany: [BATCH, (store) => store.setMany([["key", "value"]])],
  deleteMany: [BATCH, (store) => store.deleteMany(["key"])],
}

/** The outcomes of calls through `kv()` if replies are lost, servers are down, other processes write or rows have expired. */
for (const [kind, networked] of Object.entries(NETWORKED)) {
  await requireServer(kind, networked.start, ({ proxy, proxied, direct, newProxy }) => {
    const opened: Kv[] = []
    let behindProxy: Kv
    let other: Kv
    let key: string

    async function open(options: KvOptions): Promise<Kv> {
      const made = await kv("store", { timeoutMs: 10_000, ...options })
      opened.push(made)
      return made
    }
    beforeAll(async () => {
      // Keeps the connections open over all tests; on Redis, loads the scripts into the server.
      other = await kv("store", { backend: direct, timeoutMs: 20_000 })
      const { version = "" } = await other.put("warm-up", "")
      await other.exists("warm-up")
      await other.delete("warm-up", { ifVersion: version })
      return () => other.close()
    })
    beforeEach(async () => {
      key = `key:${systemRuntime.id()}`
      behindProxy = await open({ backend: proxied })
      await behindProxy.get("none")
    })
    afterEach(async () => {
      proxy.clear()
      await Promise.all(opened.splice(0).map((store) => store.close()))
    })

    /** Loses the reply to the next write: the service applies it, and the client gets no answer. */
    const loseReply = () => proxy.inject({ kind: "drop-reply", when: networked.isWrite })
    const stored = (store = other) => store.getText(key, { consistency: "strong" })

    describe("a write whose reply is lost", () => {
      test("set with ifNotExists is true, and the row holds its value", async () => {
        const lost = loseReply()
        expect(await behindProxy.set(key, "mine", { ifNotExists: true })).toBe(true)
        expect(lost.hits).toBe(1)
        expect(await stored()).toBe("mine")
        expect(await other.set(key, "theirs", { ifNotExists: true })).toBe(false)
        expect(await behindProxy.getText(key)).toBe("mine")
      })

      // On Firestore and Azure the first request creates, and it is refused because the expired row is there: its reply is lost.
      const refusedFirst = kind === "firestore" || kind === "azure-tables"
      test(`set with ifNotExists over an expired row is ${refusedFirst ? "not known, and not made" : "true"}`, async () => {
        await expireAt(direct, key)
        const lost = loseReply()
        const outcome = await behindProxy
          .set(key, "mine", { ifNotExists: true })
          .catch((error: KvError) => error.code)
        expect(outcome).toBe(refusedFirst ? "OUTCOME_UNKNOWN" : true)
        expect(lost.hits).toBe(1)
        expect(await stored()).toBe(refusedFirst ? undefined : "mine")
      })

      test("put with ifVersion is applied, and tells the version that the row has", async () => {
        const { version = "" } = await other.put(key, "old")
        const lost = loseReply()
        const result = await behindProxy.put(key, "new", { ifVersion: version })
        expect(lost.hits).toBe(1)
        expect(result).toEqual({
          applied: true,
          version: (await other.getEntry(key, { consistency: "strong" }))?.version,
          mayLandLate: true,
        })
        expect(await stored()).toBe("new")
        expect(await behindProxy.set(key, "newer", { ifVersion: version })).toBe(false)
      })

      test("delete with ifVersion is true, and the key is gone", async () => {
        const { version = "" } = await other.put(key, "old")
        const lost = loseReply()
        expect(await behindProxy.delete(key, { ifVersion: version })).toBe(true)
        expect(lost.hits).toBe(1)
        expect(await stored()).toBeUndefined()
        expect(await behindProxy.delete(key, { ifVersion: version })).toBe(false)
        expect(await other.set(key, "again", { ifNotExists: true })).toBe(true)
      })

      test("set and delete without a condition resolve with true", async () => {
        const lost = [loseReply()]
        expect(await behindProxy.set(key, "value", { ttlMs: 60_000 })).toBe(true)
        expect(await stored()).toBe("value")
        // On Firestore the bytes of an unconditional delete do not distinguish it from a read, but here it comes first.
        lost.push(proxy.inject({ kind: "drop-reply" }))
        expect(await behindProxy.delete(key)).toBe(true)
        expect(lost.map(({ hits }) => hits)).toEqual([1, 1])
        expect(await stored()).toBeUndefined()
      })

      test("setMany and deleteMany resolve, and have written and removed every key", async () => {
        const keys = Array.from({ length: 60 }, (_, index) => `${key}:${index}`)
        const lost = [loseReply()]
        await behindProxy.setMany(keys.map((key) => [key, `of ${key}`]))
        expect(await other.getManyText(keys, { consistency: "strong" })).toEqual(
          new Map(keys.map((key) => [key, `of ${key}`])),
        )
        lost.push(proxy.inject({ kind: "drop-reply" }))
        await behindProxy.deleteMany(keys)
        expect(lost.map(({ hits }) => hits)).toEqual([1, 1])
        expect(await other.getMany(keys, { consistency: "strong" })).toEqual(new Map())
      })

      test("set with ifNotExists is never true if another writer had won already", async () => {
        await other.set(key, "theirs")
        loseReply()
        const outcome = await behindProxy.set(key, "mine", { ifNotExists: true }).catch((error) => error.code)
        expect([false, "OUTCOME_UNKNOWN"]).toContain(outcome)
        expect(await stored()).toBe("theirs")
      })
    })

    test.each(["absent", "expired"])("of ten stores that create an %s key, one does", async (state) => {
      if (state === "expired") await expireAt(direct, key)
      const stores = await Promise.all(
        Array.from({ length: 10 }, (_, index) => open({ backend: index % 2 === 0 ? proxied : direct })),
      )
      const won = await Promise.all(
        stores.map((store, index) => store.set(key, `by ${index}`, { ifNotExists: true, ttlMs: 60_000 })),
      )
      expect(won.filter(Boolean)).toHaveLength(1)
      expect(await stored()).toBe(`by ${won.indexOf(true)}`)
    })

    test("of ten stores that replace one version, one does", async () => {
      const { version = "" } = await other.put(key, "old")
      const stores = await Promise.all(Array.from({ length: 10 }, () => open({ backend: proxied })))
      const won = await Promise.all(
        stores.map((store, index) => store.set(key, `by ${index}`, { ifVersion: version })),
      )
      expect(won.filter(Boolean)).toHaveLength(1)
      expect(await stored()).toBe(`by ${won.indexOf(true)}`)
    })

    test.each(["silent", "gone"])(
      "while the server is %s, every call ends in time, and none is a miss",
      async (outage) => {
        const { lane, url } = await newProxy()
        const store = await open({ backend: url, timeoutMs: TIMEOUT_MS })
        await expect.poll(() => store.set("key", "value").catch(String), { timeout: 10_000 }).toBe(true)
        if (outage === "silent") lane.inject({ kind: "black-hole", times: Number.POSITIVE_INFINITY })
        else await lane.close()

        const started = performance.now()
        const ended = Object.entries(CALLS).map(async ([name, [codes, call]]) => {
          const outcome = await call(store).then(
            (value) => `answered ${String(value)}`,
            (error) => error.code,
          )
          expect(outcome, name).toMatch(codes)
          expect(performance.now() - started, name).toBeLessThan(TIMEOUT_MS + SLACK_MS)
        })
        await Promise.all(ended)

        lane.clear()
        lane.cut()
        if (outage === "silent")
          await expect
            .poll(() => store.exists("key").catch(String), { timeout: 10_000 })
            .toEqual(expect.any(Boolean))
        await lane.close()
      },
    )

    test("a strong read shows at once what another process wrote, another read once the time to live of L1 is over", async () => {
      const ttlMs = 400
      const store = await open({ backend: direct, l1: { ttlMs, negativeTtlMs: ttlMs } })
      const another = await startProcess(direct)
      try {
        const keys = [key, `${key}:strong`, `${key}:absent`]
        for (const name of keys.slice(0, 2)) await store.set(name, "old")
        for (const name of keys) await store.getText(name)
        for (const name of keys) expect(await another.call("set", name, "new")).toBe(true)
        expect(await another.call("getText", key)).toBe("new")

        expect(await store.getText(`${key}:strong`, { consistency: "strong" })).toBe("new")
        expect(await store.getText(`${key}:strong`), "L1 knows it, too").toBe("new")
        const latest = performance.now() + ttlMs
        for (const name of [key, `${key}:absent`]) {
          await expect.poll(() => store.getText(name), { interval: 20, timeout: 5_000 }).toBe("new")
        }
        // Rounds of polling and reads of the backend come on top.
        expect(performance.now()).toBeLessThan(latest + 500)

        expect(await another.call("set", key, "theirs", { ifNotExists: true })).toBe(false)
        expect(await store.set(key, "ours")).toBe(true)
        expect(await another.call("getText", key, { consistency: "strong" })).toBe("ours")
      } finally {
        await another.stop()
      }
    })
  })
}

/** Leaves an entry under the key that has expired, and whose row is still there. */
async function expireAt(url: string, key: string): Promise<void> {
  const runtime = { ...systemRuntime, now: () => Date.now() - 10_000 }
  await using store = await kv("past", { backend: url, runtime })
  await store.set(key, "old", { ttlMs: 1_000 })
}
