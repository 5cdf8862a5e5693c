import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest"
import type { Kv, KvOptions } from "../../../src/api.ts"
import { kv } from "../../../src/index.ts"
import { KvError } from "../../../tiers/errors.ts"
import { memory } from "../../../tiers/memory.ts"
import { redis } from "../../../tiers/redis/backend.ts"
import { prefixed } from "../../../tiers/wrappers/prefixed.ts"
import { type GatedBackend, gatedBackend } from "../../support/gated-backend.ts"
import { settle, type TestRuntime, testRuntime } from "../../support/runtime.ts"

/** Stores of one process over the same rows, opened under other names and with other options. */
let runtime: TestRuntime
let gate: GatedBackend
let open: Kv[]

beforeEach(() => {
  runtime = testRuntime()
  gate = gatedBackend({ backend: memory({ runtime }), traits: { inProcess: true } })
  open = []
})
afterEach(async () => {
  gate.releaseAll()
  await Promise.all(open.map((store) => store.close()))
  vi.unstubAllEnvs()
})

async function opened(name: string, options: KvOptions = {}): Promise<Kv> {
  const store = await kv(name, { backend: gate, runtime, telemetry: false, ...options })
  open.push(store)
  return store
}

const lost = () => new KvError("OUTCOME_UNKNOWN", "the reply was lost", { operation: "put" })

describe("a write of one store", () => {
  const writes: Record<string, (store: Kv, version: string) => Promise<unknown>> = {
    set: (store) => store.set("a", "2"),
    "set, refused": (store) => store.set("a", "2", { ifNotExists: true }),
    "compare-and-set": (store, ifVersion) => store.set("a", "2", { ifVersion }),
    setMany: (store) => store.setMany([["a", "2"]]),
    delete: (store) => store.delete("a"),
    deleteMany: (store) => store.deleteMany(["a"]),
    invalidate: async (store) => store.invalidate("a"),
    "invalidate everything": async (store) => store.invalidate(),
  }
  test.each(Object.keys(writes))("leaves nothing in the L1 of another: %s", async (name) => {
    const writer = await opened("writer", { l1: false, timeoutMs: 1_000 })
    const reader = await opened("reader", { l1: { ttlMs: 60_000 } })
    const isolated = await opened("reader", { isolated: true })
    const { version = "" } = await writer.put("a", "1")
    for (const store of [reader, isolated]) expect(await store.getText("a")).toBe("1")
    await writes[name]?.(writer, version)
    expect(reader.peek("a")).toBeUndefined()
    expect(isolated.peekText("a")).toBe("1")
    expect(await reader.getText("a")).toBe(await writer.getText("a", { consistency: "strong" }))
  })

  test("drops what another knows to be absent", async () => {
    const [writer, reader] = [await opened("writer"), await opened("reader")]
    expect(await reader.exists("a")).toBe(false)
    expect(await reader.get("a")).toBeUndefined()
    await writer.set("a", "1")
    expect(await reader.getText("a")).toBe("1")
  })

  test("keeps a read of another that began before it from filling L1", async () => {
    const [writer, reader] = [await opened("writer"), await opened("reader")]
    await writer.set("a", "1")
    gate.script("get", { hold: "reply" })
    const before = reader.getText("a")
    await settle()
    await writer.set("a", "2")
    gate.take("get").release()
    expect(await before).toBe("1")
    expect(reader.peek("a")).toBeUndefined()
    expect(await reader.getText("a")).toBe("2")
  })

  test("fences its key in every store while it is under way, also in one that opens meanwhile and after its own has begun to close", async () => {
    const [writer, reader] = [await opened("writer"), await opened("reader")]
    await writer.set("a", "1")
    gate.script("put", { hold: "request" })
    const writing = writer.set("a", "2")
    await settle()
    const closing = writer.close()
    const late = await opened("late")
    for (const store of [reader, late]) {
      expect(await store.getText("a")).toBe("1")
      expect(store.peek("a")).toBeUndefined()
    }
    gate.take("put").release()
    expect(await writing).toBe(true)
    await closing
    for (const store of [reader, late]) {
      expect(await store.getText("a")).toBe("2")
      expect(store.peekText("a")).toBe("2")
    }
  })

  test("that does not end before its store gives up closing still reaches the others when it ends", async () => {
    const [writer, reader] = [await opened("writer"), await opened("reader")]
    await writer.set("a", "1")
    gate.script("put", { hold: "request" })
    const writing = writer.set("a", "2").catch(() => {})
    await settle()
    const closing = writer.close()
    await runtime.advance(10_000)
    await closing
    const late = await opened("late")
    for (const store of [reader, late]) {
      expect(await store.getText("a")).toBe("1")
      expect(store.peek("a")).toBeUndefined()
    }
    gate.take("put").release()
    await writing
    for (const store of [reader, late]) {
      expect(await store.getText("a")).toBe("2")
      expect(store.peekText("a")).toBe("2")
    }
  })

  test("of unknown outcome quarantines its key in every store, also after its own has closed, and lands late in none", async () => {
    const writer = await opened("writer", { quarantineMs: 500 })
    const reader = await opened("reader", { l1: { ttlMs: 60_000 } })
    await writer.set("a", "1")
    gate.script("put", { landLate: lost() })
    await expect(writer.set("a", "2")).rejects.toMatchObject({ code: "OUTCOME_UNKNOWN" })
    await writer.close()
    const late = await opened("late")
    for (const store of [reader, late]) {
      expect(await store.getText("a")).toBe("1")
      expect(store.peek("a")).toBeUndefined()
      expect(store.stats().quarantined).toBe(1)
    }
    await gate.last("put").land()
    for (const store of [reader, late]) expect(await store.getText("a")).toBe("2")
    await runtime.advance(501)
    for (const store of [reader, late]) {
      expect(await store.getText("a")).toBe("2")
      expect(store.peekText("a")).toBe("2")
      expect(store.stats().quarantined).toBe(0)
    }
  })

  test("during a load of another keeps the loaded value out of the backend", async () => {
    const [writer, loader] = [await opened("writer"), await opened("loader")]
    let loaded = (_value: string) => {}
    const loading = loader.getOrSet("a", () => new Promise<string>((resolve) => (loaded = resolve)))
    await settle()
    await writer.set("a", '"written"')
    await writer.delete("a")
    loaded("loaded")
    expect(await loading).toBe("loaded")
    expect(await writer.get("a", { consistency: "strong" })).toBeUndefined()
  })

  test("of a batch of which a key fails reaches the others for all its keys", async () => {
    const [writer, reader] = [await opened("writer"), await opened("reader")]
    await writer.setMany([
      ["a", "1"],
      ["b", "1"],
    ])
    await reader.getMany(["a", "b"], { fill: true })
    gate.script("putMany", { keys: { b: lost() }, applied: true })
    const failing = writer.setMany([
      ["a", "2"],
      ["b", "2"],
    ])
    await expect(failing).rejects.toMatchObject({ code: "PARTIAL_FAILURE", applied: ["a"] })
    expect([reader.peek("a"), reader.peek("b")]).toEqual([undefined, undefined])
    await reader.getMany(["a", "b"], { fill: true })
    expect([reader.peekText("a"), reader.peekText("b")]).toEqual(["2", undefined])
  })
})

describe("an answer of one store", () => {
  /** Writes past both stores, as another process would. */
  const elsewhere = (text: string) => gate.put("a", { value: Buffer.from(text), id: runtime.id() })

  test("drops an older value from the L1 of another, and not an equal one", async () => {
    const [one, other] = [await opened("one"), await opened("other")]
    await elsewhere("1")
    expect([await one.getText("a"), await other.getText("a")]).toEqual(["1", "1"])
    expect([one.peekText("a"), other.peekText("a")]).toEqual(["1", "1"])
    await elsewhere("2")
    one.invalidate("b")
    expect(await one.getText("a", { consistency: "strong" })).toBe("2")
    expect(other.peek("a")).toBeUndefined()
    expect(await other.exists("a")).toBe(true)
    expect(await other.getText("a")).toBe("2")
    expect(await one.exists("a", { consistency: "strong" })).toBe(true)
    expect(other.peekText("a")).toBe("2")
  })

  test("is not gone behind by who joins an older read of another; reads of equal answers fill both", async () => {
    const [one, other] = [await opened("one"), await opened("other")]
    await elsewhere("1")
    gate.script("get", { hold: "reply" })
    const older = other.getText("a")
    await settle()
    await elsewhere("2")
    expect(await one.getText("a")).toBe("2")
    const joined = other.getText("a")
    const present = other.exists("a")
    gate.take("get").release()
    expect(await older).toBe("1")
    expect(await joined).toBe("2")
    expect(await present).toBe(true)
    expect([one.peekText("a"), other.peekText("a")]).not.toContain("1")

    one.invalidate()
    gate.hold("get", "reply")
    const both = [one.getText("a"), other.getText("a")]
    await settle()
    gate.releaseAll("get")
    expect(await Promise.all(both)).toEqual(["2", "2"])
    expect([one.peekText("a"), other.peekText("a")]).toEqual(["2", "2"])
  })
})

test("stores over overlapping prefixes of one table tell each other of the keys that both have", async () => {
  const table = memory({ runtime })
  const whole = await opened("whole", { backend: table })
  const users = await opened("users", { backend: prefixed(table, "user:") })
  const others = await opened("others", { backend: prefixed(table, "other:") })
  const admins = await opened("admins", { backend: prefixed(prefixed(table, "user:"), "admin:") })
  const views = [
    [whole, "user:admin:a"],
    [users, "admin:a"],
    [admins, "a"],
  ] as const
  await others.set("admin:a", "untouched")
  await others.get("admin:a")
  for (const [writer, written] of views) {
    for (const [store, key] of views) await store.getText(key)
    await writer.set(written, writer.name)
    for (const [store, key] of views) {
      expect(store.peek(key)).toBeUndefined()
      expect(await store.getText(key)).toBe(writer.name)
    }
  }
  users.invalidate()
  for (const [store, key] of views) expect(store.peek(key)).toBeUndefined()
  expect(others.peekText("admin:a")).toBe("untouched")
})

describe("the same rows are recognised", () => {
  test("of an LMDB directory, whatever the path, the name and the options", async () => {
    const folder = await mkdtemp(join(tmpdir(), "tiered-kv-siblings-"))
    try {
      vi.stubEnv("KV_SIBLING_URL", `lmdb:${folder}/store`)
      const byName = await kv("sibling")
      const byUrl = await kv("other", { backend: `lmdb:${folder}/./x/../store`, l1: { ttlMs: 60_000 } })
      await byName.set("a", "1")
      expect(await byUrl.getText("a")).toBe("1")
      await byName.set("a", "2")
      expect(await byUrl.getText("a")).toBe("2")
      await Promise.all([byName.close(), byUrl.close()])
    } finally {
      await rm(folder, { recursive: true })
    }
  })

  test("of a Redis server: host, port and database, not user and password; a prefix is another part of them", () => {
    const traitsOf = (url: string, prefix?: string) =>
      redis(url, prefix === undefined ? {} : { prefix }).traits
    const { root, keyPrefix } = traitsOf("redis://user:secret@host:6379/2?prefix=a:")
    expect(root).toBe(traitsOf("redis://host/2").root)
    expect(root).not.toContain("secret")
    expect(root).not.toBe(traitsOf("redis://host/1").root)
    expect([keyPrefix, traitsOf("redis://host", "b:").keyPrefix]).toEqual(["a:", "b:"])
  })
})
