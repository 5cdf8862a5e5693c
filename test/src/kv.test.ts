import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, expect, test, vi } from "vitest"
import { resolveBinding } from "../../src/binding/environment.ts"
import { KvError, kv } from "../../src/index.ts"
import { memory } from "../../tiers/memory.ts"
import { CLOSE_PATIENCE_MS } from "../../tiers/util/shared-resource.ts"

afterEach(() => vi.unstubAllEnvs())

test("two calls with one name and no options are handles over one store and one L1", async () => {
  vi.stubEnv("KV_SHARED_URL", "memory:")
  const [one, other] = await Promise.all([kv("shared"), kv("shared", {})])
  await one.set("a", "1")
  await one.get("a")
  expect(other.peekText("a")).toBe("1")
  await other.set("a", "2")
  expect(one.peek("a")).toBeUndefined()
  expect(await one.getText("a")).toBe("2")

  await one.close()
  await expect(one.get("a")).rejects.toMatchObject({ code: "CLOSED" })
  expect(() => one.peek("a")).toThrow(KvError)
  expect(await other.getText("a")).toBe("2")
  const third = await kv("shared")
  await other.close()
  await one.close()
  expect(await third.getText("a")).toBe("2")
  await third.close()

  const anew = await kv("shared")
  expect(await anew.get("a")).toBeUndefined()
  await anew.close()
})

test("kv() with another name, or with options, makes another store", async () => {
  vi.stubEnv("KV_SHARED_URL", "memory:")
  vi.stubEnv("KV_OTHER_URL", "memory:")
  const stores = await Promise.all([kv("shared"), kv("other"), kv("shared", { l1: false })])
  await stores[0].set("a", "1")
  expect(await stores[1].get("a")).toBeUndefined()
  expect(await stores[2].get("a")).toBeUndefined()
  await Promise.all(stores.map((store) => store.close()))
})

test("a store that is opened while its last handle closes waits for that", async () => {
  const folder = await mkdtemp(join(tmpdir(), "tiered-kv-binding-"))
  vi.stubEnv("KV_REOPENED_URL", `lmdb:${join(folder, "store")}`)
  try {
    const first = await kv("reopened")
    await first.set("a", "1")
    for (let round = 0; round < 5; round++) {
      const store = await kv("reopened")
      const opening = kv("reopened")
      const closing = Promise.all([first.close(), store.close()])
      const opened = await opening
      expect(await opened.getText("a")).toBe("1")
      await Promise.all([closing, opened.close()])
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
})

test("a store that failed to open is tried anew by the next call, also if many wait for it", async () => {
  vi.stubEnv("KV_LATER_URL", "lmdb:/dev/null/not-a-directory")
  const attempts = await Promise.allSettled([kv("later"), kv("later")])
  expect(attempts.map(({ status }) => status)).toEqual(["rejected", "rejected"])
  for (const attempt of attempts) {
    if (attempt.status === "rejected") expect(attempt.reason).toBeInstanceOf(KvError)
  }
  vi.stubEnv("KV_LATER_URL", "memory:")
  const store = await kv("later")
  await store.set("a", "1")
  await store.close()
})

test("a store whose close hangs holds its name for a while, not for good", async () => {
  vi.stubEnv("KV_HANGING_URL", "memory:")
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] })
  try {
    const first = await kv("hanging")
    let called = () => {}
    const loading = new Promise<void>((resolve) => {
      called = resolve
    })
    const endless = () => {
      called()
      return new Promise<string>(() => {})
    }
    void first.getOrSet("a", endless).catch(() => {})
    await loading
    void first.close()
    const opening = kv("hanging")
    await vi.advanceTimersByTimeAsync(CLOSE_PATIENCE_MS)
    const second = await opening
    await second.set("a", "1")
    await second.close()
  } finally {
    vi.useRealTimers()
  }
}, 5_000)

test("a backend that was passed in stays open on close; one of a URL is closed", async () => {
  let closed = 0
  const backend = { ...memory(), close: async () => void closed++ }
  const [one, other] = await Promise.all([kv("a", { backend }), kv("b", { backend })])
  await one.set("a", "1")
  await one.close()
  expect(await other.getText("a")).toBe("1")
  await other.close()
  expect(closed).toBe(0)
})

test("a name without a binding is an error in production, and LMDB elsewhere", async () => {
  vi.stubEnv("NODE_ENV", "production")
  await expect(kv("unbound")).rejects.toMatchObject({ code: "BINDING_NOT_CONFIGURED" })
  await expect(kv("unbound", { l1: false })).rejects.toMatchObject({ code: "BINDING_NOT_CONFIGURED" })
  const given = await kv("unbound", { backend: "memory:" })
  await given.close()

  vi.stubEnv("NODE_ENV", "test")
  const folder = await mkdtemp(join(tmpdir(), "tiered-kv-binding-"))
  vi.spyOn(process, "cwd").mockReturnValue(folder)
  try {
    expect(resolveBinding("unbound", process.env)).toMatchObject({
      backend: { kind: "lmdb" },
      settings: { path: join(".kv", "unbound") },
    })
  } finally {
    vi.restoreAllMocks()
    await rm(folder, { recursive: true, force: true })
  }
})
