import { setTimeout as sleep } from "node:timers/promises"
import { afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest"
import { type Kv, KvError, type KvOptions, KvPartialError, kv } from "../../src/index.ts"
import { systemRuntime } from "../../tiers/runtime.ts"
import { requireServer } from "../servers/require-server.ts"
import { NETWORKED } from "../support/networked.ts"

/** Times of the store under test, ms. An attempt of a write has three quarters. */
const TIMEOUT_MS = 2_000
/** Longer than an attempt of a write, and shorter than its call. */
const STALL_MS = 1_700

/** What a call ended with: its result, or the code of its error. */
async function outcomeOf<T>(call: Promise<T>): Promise<T | string> {
  try {
    return await call
  } catch (error) {
    if (error instanceof KvError) return error.code
    throw error
  }
}

for (const [kind, networked] of Object.entries(NETWORKED)) {
  await requireServer(kind, networked.start, ({ proxy, proxied, direct, newProxy }) => {
    const opened: Kv[] = []
    let store: Kv
    let other: Kv
    let key: string

    async function open(options: KvOptions): Promise<Kv> {
      const made = await kv("store", { l1: false, ...options })
      opened.push(made)
      return made
    }
    beforeAll(async () => {
      other = await kv("store", { backend: direct, timeoutMs: 20_000 })
      return () => other.close()
    })
    beforeEach(async () => {
      key = `key:${systemRuntime.id()}`
      store = await open({ backend: proxied, timeoutMs: TIMEOUT_MS })
      // Opens the connection, and on Redis loads the scripts into the server.
      await vi.waitFor(() => store.put("warm-up", ""), { timeout: 20_000 })
    })
    afterEach(async () => {
      proxy.clear()
      await Promise.all(opened.splice(0).map((made) => made.close()))
    })

    const stored = () => other.getText(key, { consistency: "strong" })
    /**
     * Loses the reply to the next write. What the store sends next is held back for a while: until then the write has been applied, and
     * `meanwhile` is over.
     */
    async function loseReply<T>(
      call: () => Promise<T>,
      applied: string | undefined,
      meanwhile: () => Promise<unknown>,
      when?: (request: Buffer) => boolean,
    ): Promise<T | string> {
      const lost = proxy.inject({ kind: "drop-reply", ...(when && { when }) })
      proxy.inject({ kind: "stall", delayMs: 500, when: () => lost.hits > 0 })
      const outcome = outcomeOf(call())
      await expect.poll(stored, { interval: 5, timeout: 10_000 }).toBe(applied)
      await meanwhile()
      return outcome
    }

    test("a write that is stalled longer than its attempt does not land beside what comes after it", async () => {
      const scenarios: Record<
        string,
        (
          store: Kv,
          key: string,
        ) => [stalled: Promise<unknown>, next: () => Promise<unknown>, left: string | undefined]
      > = {
        "set, set": (store, key) => [store.set(key, "first"), () => store.set(key, "second"), "second"],
        "create, delete": (store, key) => [
          store.set(key, "mine", { ifNotExists: true }),
          () => store.delete(key),
          undefined,
        ],
        "setMany, deleteMany": (store, key) => [
          store.setMany([[key, "value"]]),
          () => store.deleteMany([key]),
          undefined,
        ],
      }
      await Promise.all(
        Object.entries(scenarios).map(async ([name, calls]) => {
          const { lane, url } = await newProxy()
          const stalling = await open({ backend: url, timeoutMs: TIMEOUT_MS })
          await vi.waitFor(() => stalling.put("warm-up", ""), { timeout: 20_000 })
          const stall = lane.inject({ kind: "stall", delayMs: STALL_MS, when: networked.isWrite })
          const own = `${key}:${name.replaceAll(/\W/g, "")}`
          const [stalled, next, left] = calls(stalling, own)
          await outcomeOf(stalled)
          expect(stall.hits, name).toBe(1)
          await next()
          await sleep(STALL_MS)
          expect(await other.getText(own, { consistency: "strong" }), name).toBe(left)
          await lane.close()
        }),
      )
    })

    describe("a write whose reply is lost takes effect once", () => {
      test("a set does not come back over what another process has written since", async () => {
        const outcome = await loseReply(
          () => store.set(key, "mine"),
          "mine",
          () => other.set(key, "theirs"),
          networked.isWrite,
        )
        expect([true, "OUTCOME_UNKNOWN"]).toContain(outcome)
        expect(await stored()).toBe("theirs")
      })

      test("a put that was settled says that an attempt of it may land late", async () => {
        const put = await loseReply(
          () => store.put(key, "mine"),
          "mine",
          async () => {},
          networked.isWrite,
        )
        const version = (await other.getEntry(key, { consistency: "strong" }))?.version
        expect(put).toEqual({ applied: true, version, mayLandLate: true })
        expect(await store.put(key, "next")).not.toHaveProperty("mayLandLate")
      })

      test("a delete does not remove a lock that another process has taken since", async () => {
        await other.set(key, "mine")
        const outcome = await loseReply(
          () => store.delete(key),
          undefined,
          async () => expect(await other.set(key, "theirs", { ifNotExists: true })).toBe(true),
        )
        expect([true, "OUTCOME_UNKNOWN"]).toContain(outcome)
        expect(await stored()).toBe("theirs")
      })

      test("a lock that was taken, released by another and taken by a third is not taken again", async () => {
        const outcome = await loseReply(
          () => store.set(key, "mine", { ifNotExists: true }),
          "mine",
          () => other.delete(key),
          networked.isWrite,
        )
        expect(outcome).toBe("OUTCOME_UNKNOWN")
        expect(await stored()).toBeUndefined()
      })

      test("of two compare-and-sets on one version, one wins", async () => {
        const { version = "" } = await other.put(key, "old")
        let between: unknown
        const outcome = await loseReply(
          () => store.set(key, "mine", { ifVersion: version }),
          "mine",
          async () => {
            const mine = await other.getEntry(key, { consistency: "strong" })
            between = await other.set(key, "theirs", { ifVersion: mine?.version ?? "" })
          },
          networked.isWrite,
        )
        expect([outcome, between]).toEqual(["OUTCOME_UNKNOWN", true])
        expect(await other.set(key, "third", { ifVersion: version })).toBe(false)
        expect(await stored()).toBe("theirs")
      })

      test("a version that was overwritten is never that of a row again", async () => {
        const versions = new Set<string>()
        let writes = 0
        for (let round = 0; round < 3; round++) {
          await loseReply(
            () => store.set(key, `mine ${round}`),
            `mine ${round}`,
            async () => {
              for (const write of [() => other.put(key, "a"), () => other.put(key, "b")]) {
                const { version } = await write()
                versions.add(version ?? "")
                writes++
              }
            },
            networked.isWrite,
          )
          const entry = await other.getEntry(key, { consistency: "strong" })
          expect(entry?.version).toBe([...versions].at(-1))
        }
        expect(versions.size).toBe(writes)
      })
    })

    test("setMany of 500 keys in an outage sends few requests more than without one", async () => {
      const entries = Array.from({ length: 500 }, (_, index) => [`${key}:${index}`, "value"] as const)
      const patient = await open({ backend: proxied, timeoutMs: 60_000 })
      const before = proxy.requests
      await patient.setMany(entries)
      const calm = proxy.requests - before
      const reset = proxy.inject({ kind: "reset", times: Number.POSITIVE_INFINITY })
      const failure = await store.setMany(entries).catch((error: unknown) => error)
      expect(failure).toBeInstanceOf(KvError)
      if (failure instanceof KvPartialError) expect(failure.failed.size).toBeGreaterThan(0)
      process.stdout.write(`${kind}: setMany(500): ${calm} requests, in an outage ${reset.hits}\n`)
      expect(reset.hits).toBeLessThanOrEqual(calm + 40)
    })
  })
}
