import { describe, expect, test } from "vitest"
import { BackendReads, UNTIMED } from "../../../src/coherence/backend-reads.ts"
import { KeepAlive } from "../../../src/coherence/keep-alive.ts"
import { RefreshBackoff } from "../../../src/coherence/refresh-backoff.ts"
import { VersionFloors } from "../../../src/coherence/version-floors.ts"
import { newCounters } from "../../../src/stats.ts"
import type { Backend } from "../../../tiers/backend.ts"
import { memory } from "../../../tiers/memory.ts"
import { gatedStore } from "../../support/gated-store.ts"
import { heldLoader } from "../../support/held-loader.ts"
import { remoteMemory } from "../../support/remote-memory.ts"
import { settle, testRuntime } from "../../support/runtime.ts"

const strong = { consistency: "strong" } as const
const text = { as: "text", ttlMs: 1_000 } as const
const ahead = { ...text, refreshAheadMs: 500 }

describe("a read that asks the backend itself", () => {
  test("is counted: answers of exists by what they are, bypasses of L1 only if it is strong, bytes of pages", async () => {
    const { client } = await gatedStore()
    await client.set("a", "12345")
    expect(await client.exists("a")).toBe(true)
    expect(await client.exists("absent")).toBe(false)
    expect(client.stats()).toMatchObject({ l1: { bypasses: 0 }, l2: { hits: 1, misses: 1, bytesRead: 0 } })
    expect(await client.exists("a", strong)).toBe(true)
    expect(client.stats()).toMatchObject({ l1: { bypasses: 1 }, l2: { hits: 2, misses: 1 } })
    await client.scanPage("")
    expect(client.stats().l2.bytesRead).toBe(5)
  })

  test("of exists joins a read under way, and answers as that does", async () => {
    const { client, gate } = await gatedStore()
    gate.hold("get")
    const reading = client.get("a")
    const joined = client.exists("a")
    await settle()
    gate.releaseAll()
    expect(await reading).toBeUndefined()
    expect(await joined).toBe(false)
    expect(gate.count("exists")).toBe(0)
  })

  test("that finds the key absent lets a load of it be stored", async () => {
    const { client, elsewhere } = await gatedStore()
    const held = heldLoader()
    const loading = client.getOrSet("a", held.load, text)
    await settle()
    expect(await client.exists("a", strong)).toBe(false)
    held.end("loaded")
    expect(await loading).toBe("loaded")
    expect(await elsewhere.text("a")).toBe("loaded")
  })

  test("keeps a refresh from being stored if it shows another version, and not if it shows none", async () => {
    for (const isOther of [true, false]) {
      const { client, runtime, elsewhere, gate } = await gatedStore({ l1: false })
      const held = heldLoader()
      await client.getOrSet("a", () => "1", ahead)
      await runtime.advance(600)
      expect(await client.getOrSet("a", held.load, ahead)).toBe("1")
      if (isOther) {
        await elsewhere.put("a", "theirs")
        expect(await client.getText("a", strong)).toBe("theirs")
      } else expect(await client.exists("a", strong)).toBe(true)
      held.end("2")
      await settle()
      expect(gate.count("put")).toBe(isOther ? 1 : 2)
      expect(await elsewhere.text("a")).toBe(isOther ? "theirs" : "2")
    }
  })
})

describe("requests of rows", () => {
  function reads(backend: Backend, overrides: Partial<Backend> = {}) {
    const asked: unknown[][] = []
    const note =
      <T>(answer: T) =>
      (...args: unknown[]) => {
        asked.push(args)
        return answer
      }
    const noting = { ...backend, get: note(undefined), exists: note(Promise.resolve(true)), ...overrides }
    return { asked, reads: new BackendReads(noting, testRuntime(), newCounters()) }
  }

  test("name their caller, if there is one", async () => {
    const { asked, reads: some } = reads(remoteMemory())
    some.ask("a", undefined, undefined)
    some.ask("a", "caller", undefined)
    await some.askWhether("a", undefined)
    await some.askWhether("a", "caller")
    expect(asked).toEqual([
      ["a"],
      ["a", { callers: ["caller"], asOf: undefined }],
      ["a", undefined],
      ["a", { callers: ["caller"] }],
    ])
  })

  test("borrow the row where the backend lends it, and reject if it throws", async () => {
    const lent = { value: Buffer.from("1"), version: "1" }
    const { asked, reads: lending } = reads(memory(), { lend: () => lent })
    expect(lending.ask("a", undefined, undefined)).toBe(lent)
    expect(asked).toEqual([])
    const defect = new Error("a defect")
    const { reads: failing } = reads(memory(), {
      get() {
        throw defect
      },
    })
    await expect(failing.ask("a", undefined, undefined)).rejects.toBe(defect)
  })

  test("are all timed over a network, and one in 16 of them in the process", () => {
    const timed = (backend: Backend) => {
      const { reads: some } = reads(backend)
      return Array.from({ length: 33 }, () => some.start() !== UNTIMED)
    }
    expect(timed(remoteMemory())).not.toContain(false)
    expect(timed(memory()).flatMap((isTimed, at) => (isTimed ? [at] : []))).toEqual([0, 16, 32])
  })
})

test("a version floor is the newest version that was told, in whatever order, and is told once", () => {
  const runtime = testRuntime()
  const floors = new VersionFloors(memory({ runtime }))
  const [older, newer] = ["1".repeat(48), "2".repeat(48)]
  floors.raise("a", newer, runtime, 100)
  floors.raise("a", older, runtime, 100)
  expect([floors.of("a"), floors.now]).toEqual([newer, 1])
  floors.raise("a", newer, runtime, 100)
  expect(floors.now).toBe(1)
  floors.forget("a")
  expect(floors.of("a")).toBeUndefined()
})

test("a refresh that failed is due again at the end of its wait", async () => {
  const runtime = { ...testRuntime(), random: () => 0 }
  const backoff = new RefreshBackoff(runtime)
  backoff.failed("a")
  await runtime.advance(999)
  expect(backoff.isDue("a")).toBe(false)
  await runtime.advance(1)
  expect(backoff.isDue("a")).toBe(true)
})

test("the process is kept alive while that is held, and no longer", () => {
  const referenced = () => process.getActiveResourcesInfo().filter((kind) => kind === "Timeout").length
  const before = referenced()
  const keepAlive = new KeepAlive()
  expect(referenced()).toBe(before)
  keepAlive.hold()
  expect(referenced()).toBe(before + 1)
  keepAlive.release()
  expect(referenced()).toBe(before)
  keepAlive.hold()
  keepAlive.close()
  expect(referenced()).toBe(before)
})
