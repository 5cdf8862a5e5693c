import { inspect } from "node:util"
import { describe, expect, test, vi } from "vitest"
import type { Kv } from "../../src/api.ts"
import { isKvError, KvError, type KvErrorCode, KvPartialError, kv } from "../../src/index.ts"
import type { Backend } from "../../tiers/backend.ts"
import { memory } from "../../tiers/memory.ts"
import type { GatedOperation } from "../support/gated-backend.ts"
import { gatedStore } from "../support/gated-store.ts"
import { settle } from "../support/runtime.ts"

const RETRYABLE: Readonly<Record<KvErrorCode, boolean>> = {
  INVALID_KEY: false,
  INVALID_VALUE: false,
  INVALID_TTL: false,
  INVALID_ID: false,
  INVALID_OPTION: false,
  INVALID_CURSOR: false,
  INVALID_VERSION: false,
  BINDING_NOT_CONFIGURED: false,
  BINDING_INVALID: false,
  DEPENDENCY_MISSING: false,
  STORE_NOT_FOUND: false,
  ACCESS_DENIED: false,
  THROTTLED: true,
  UNAVAILABLE: true,
  TIMEOUT: true,
  OUTCOME_UNKNOWN: false,
  CORRUPT_ENTRY: false,
  PARTIAL_FAILURE: false,
  CLOSED: false,
}

/** The answers of a backend that are not an entry. None of them is a miss. */
const FAILURES = [
  "STORE_NOT_FOUND",
  "ACCESS_DENIED",
  "THROTTLED",
  "UNAVAILABLE",
  "TIMEOUT",
  "CORRUPT_ENTRY",
] as const

const failure = (code: KvErrorCode, operation = "get") =>
  new KvError(code, "the service said no", {
    operation,
    backend: "memory",
    cause: new Error("as the SDK threw it"),
  })

describe("KvError", () => {
  test.each(Object.entries(RETRYABLE))("%s is retryable: %s", (code, retryable) => {
    const error = new KvError(code as KvErrorCode, "what", { operation: "get" })
    expect(error).toMatchObject({ code, retryable, name: "KvError", operation: "get", message: "what" })
    expect(error).toBeInstanceOf(Error)
    for (const absent of ["backend", "key", "limit", "actual", "cause"])
      expect(error).not.toHaveProperty(absent)
  })

  test("keeps the error underneath, and the key as a property", () => {
    const cause = new Error("SDK")
    const error = new KvError("UNAVAILABLE", "what", {
      operation: "get",
      backend: "redis",
      key: "user:1",
      cause,
    })
    expect(error).toMatchObject({ backend: "redis", key: "user:1", cause })
    expect(String(error)).toBe("KvError: what")
  })
})

const reads: Record<string, [GatedOperation, (store: Kv) => Promise<unknown>]> = {
  get: ["get", (store) => store.get("a")],
  "get, strongly": ["get", (store) => store.get("a", { consistency: "strong" })],
  getText: ["get", (store) => store.getText("a")],
  getJson: ["get", (store) => store.getJson("a")],
  getEntry: ["get", (store) => store.getEntry("a")],
  getMany: ["get", (store) => store.getMany(["a"])],
  getManyText: ["get", (store) => store.getManyText(["a"])],
  getManyJson: ["get", (store) => store.getManyJson(["a"])],
  exists: ["exists", (store) => store.exists("a")],
  "exists, strongly": ["exists", (store) => store.exists("a", { consistency: "strong" })],
  scan: ["scan", (store) => store.scan("").next()],
  scanPage: ["scan", (store) => store.scanPage("")],
  getOrSet: ["get", (store) => store.getOrSet("a", () => expect.unreachable("the loader was called"))],
}

describe("an outage is never a miss", () => {
  for (const [name, [operation, read]] of Object.entries(reads)) {
    test.each(FAILURES)(`${name}: %s rejects, of an absent and of a present key`, async (code) => {
      const { client, gate, elsewhere } = await gatedStore()
      const error = failure(code)
      gate.always(operation, { fail: error })
      await expect(read(client)).rejects.toBe(error)
      await elsewhere.put("a", "1")
      await expect(read(client)).rejects.toBe(error)
      gate.always(operation, undefined)
      await expect(read(client)).resolves.toBeTruthy()
    })
  }

  test("a failed read leaves nothing in L1: the next read asks the backend again", async () => {
    const { client, gate, elsewhere } = await gatedStore()
    gate.script("get", { fail: failure("UNAVAILABLE") })
    await elsewhere.put("a", "1")
    await expect(client.get("a")).rejects.toThrow()
    expect(await client.getText("a")).toBe("1")
    expect(client.stats().l1.negatives).toBe(0)
  })

  test("a read over a network rejects after its retries", async () => {
    const { client, gate, runtime } = await gatedStore({ networked: true })
    gate.always("get", { fail: failure("UNAVAILABLE") })
    const reading = expect(client.get("a")).rejects.toMatchObject({
      code: "UNAVAILABLE",
      retryable: true,
      backend: "memory",
      key: "a",
      cause: { code: "UNAVAILABLE", cause: { message: "as the SDK threw it" } },
    })
    await settle()
    await runtime.advance(10_000)
    await reading
    expect(gate.count("get")).toBeGreaterThan(1)
  })

  test("what L1 holds is still answered during an outage, until its time is up", async () => {
    const { client, gate, runtime } = await gatedStore()
    await client.set("a", "1")
    await client.get("a")
    gate.always("get", { fail: failure("UNAVAILABLE") })
    expect(await client.getText("a")).toBe("1")
    await runtime.advance(5_000)
    await expect(client.getText("a")).rejects.toMatchObject({ code: "UNAVAILABLE" })
  })

  test("an error that no backend should throw passes through as it is", async () => {
    const { client, gate } = await gatedStore()
    const bug = new RangeError("a bug")
    for (const operation of ["get", "exists", "put", "delete", "scan"] as const)
      gate.script(operation, { fail: bug })
    await expect(client.get("a")).rejects.toBe(bug)
    await expect(client.exists("a")).rejects.toBe(bug)
    await expect(client.set("a", "1")).rejects.toBe(bug)
    await expect(client.delete("a")).rejects.toBe(bug)
    await expect(client.scanPage("")).rejects.toBe(bug)
  })
})

const writes: Record<string, [GatedOperation, (store: Kv) => Promise<unknown>]> = {
  set: ["put", (store) => store.set("a", "1")],
  "set, if not there": ["put", (store) => store.set("a", "1", { ifNotExists: true })],
  put: ["put", (store) => store.put("a", "1")],
  delete: ["delete", (store) => store.delete("a")],
  setMany: ["putMany", (store) => store.setMany([["a", "1"]])],
  deleteMany: ["deleteMany", (store) => store.deleteMany(["a"])],
  getOrSet: ["put", (store) => store.getOrSet("a", () => 1)],
}

describe("a write that failed rejects, it is never true", () => {
  for (const [name, [operation, write]] of Object.entries(writes)) {
    test.each([...FAILURES, "OUTCOME_UNKNOWN"] as const)(`${name}: %s`, async (code) => {
      const { client, gate } = await gatedStore()
      const error = failure(code, operation)
      gate.script(operation, { fail: error })
      await expect(write(client)).rejects.toBe(error)
      expect(client.stats().l2.writeErrors).toBe(1)
    })
  }

  test("a write over a network whose reply was lost is settled as true, and written once", async () => {
    const { client, gate, runtime, elsewhere } = await gatedStore({ networked: true })
    gate.script("put", { loseReply: failure("OUTCOME_UNKNOWN", "put") })
    const writing = client.set("a", "1", { ifNotExists: true })
    await settle()
    await runtime.advance(5_000)
    expect(await writing).toBe(true)
    expect(await elsewhere.text("a")).toBe("1")
    expect(new Set(gate.calls.flatMap((call) => [...call.writes.values()].map(({ id }) => id))).size).toBe(1)
  })

  test("a write that cannot be settled is OUTCOME_UNKNOWN, not retryable, and says what to do", async () => {
    const { client, gate, runtime } = await gatedStore({ networked: true })
    gate.hold("put")
    gate.hold("probe")
    const writing = expect(client.set("a", "1")).rejects.toMatchObject({
      code: "OUTCOME_UNKNOWN",
      retryable: false,
      key: "a",
      message: expect.stringContaining("read the key before writing it again"),
    })
    await settle()
    await runtime.advance(60_000)
    await writing
  })
})

describe("a batch of which some keys failed", () => {
  for (const [name, operation, write] of [
    ["setMany", "putMany", (store: Kv) => store.setMany(["a", "b", "c"].map((key) => [key, "v"] as const))],
    ["deleteMany", "deleteMany", (store: Kv) => store.deleteMany(["a", "b", "c"])],
  ] as const) {
    test(`${name} rejects with one error that names those keys, and the ones applied`, async () => {
      const { client, gate } = await gatedStore()
      const denied = failure("ACCESS_DENIED", operation)
      const unknown = failure("OUTCOME_UNKNOWN", operation)
      gate.script(operation, { keys: { a: denied, c: unknown } })
      const error = await write(client).catch((thrown: unknown) => thrown)
      expect(error).toBeInstanceOf(KvPartialError)
      expect(error).toMatchObject({ code: "PARTIAL_FAILURE", operation: name, applied: ["b"], cause: denied })
      expect(error).toHaveProperty(
        "failed",
        new Map([
          ["a", denied],
          ["c", unknown],
        ]),
      )
      expect(error).toHaveProperty(
        "message",
        expect.stringMatching(/^2 of 3 keys failed \(ACCESS_DENIED, OUTCOME_UNKNOWN\)/),
      )
      expect(client.stats()).toMatchObject({ l2: { writes: 1, writeErrors: 2 }, quarantined: 1 })
    })
  }

  test("a key without an answer counts as unknown, not as written", async () => {
    const forgetful = (table: Backend): Backend => ({
      ...table,
      async putMany(items) {
        const results = await table.putMany(items)
        results.delete("b")
        return results
      },
    })
    const { client } = await gatedStore({ behind: forgetful })
    const error = await client
      .setMany(["a", "b"].map((key) => [key, "v"] as const))
      .catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ code: "PARTIAL_FAILURE", applied: ["a"] })
    expect(error).toHaveProperty(
      "failed",
      new Map([["b", expect.objectContaining({ code: "OUTCOME_UNKNOWN" })]]),
    )
    expect(client.stats().quarantined).toBe(1)
  })
})

describe("what passes through untouched", () => {
  test("a loader's error, of a class of its own or no Error at all", async () => {
    const { client } = await gatedStore()
    class OriginError extends Error {}
    for (const thrown of [new OriginError("gone"), "text", { status: 503 }, undefined]) {
      await expect(client.getOrSet("a", () => Promise.reject(thrown))).rejects.toBe(thrown)
    }
  })

  test("the reason of an aborted signal, also the default one", async () => {
    const { client } = await gatedStore()
    await expect(client.get("a", { signal: AbortSignal.abort() })).rejects.toMatchObject({
      name: "AbortError",
    })
    await expect(client.get("a", { signal: AbortSignal.abort("why") })).rejects.toBe("why")
  })
})

describe("no message holds a key, a value or a loader's data", () => {
  const KEY = "user:jane.doe:SECRET-KEY"
  const VALUE = "SECRET-VALUE"

  const everyText = (error: unknown): string => {
    if (!(error instanceof Error)) return ""
    const deeper = error instanceof KvPartialError ? [...error.failed.values()].map(everyText).join() : ""
    return `${error.message} ${deeper} ${everyText(error.cause)}`
  }

  const calls: Record<string, (store: Kv) => Promise<unknown>> = {
    "a value too large": (store) => store.set(KEY, VALUE.repeat(10_000)),
    "JSON that has a cycle": (store) => {
      const cycle: Record<string, unknown> = { [VALUE]: VALUE }
      cycle.self = cycle
      return store.set(KEY, cycle)
    },
    "text that is not JSON": (store) => store.set(KEY, VALUE).then(() => store.getJson(KEY)),
    "the same, in many": (store) => store.set(KEY, VALUE).then(() => store.getManyJson([KEY])),
    "the same, in getOrSet": (store) => store.set(KEY, VALUE).then(() => store.getOrSet(KEY, () => 1)),
    "bytes that are not text": (store) =>
      store
        .set(KEY, Buffer.concat([Buffer.from(VALUE), new Uint8Array([255])]))
        .then(() => store.getText(KEY)),
    "a version of another key": async (store) => {
      const { version = "" } = await store.put("another", VALUE)
      return store.set(KEY, VALUE, { ifVersion: version })
    },
    "an illegal key": (store) => store.get(`${KEY}?`),
    "an illegal prefix": (store) => store.scanPage(`${KEY}?`),
    "a cursor of another scan": (store) => store.scanPage(KEY, { cursor: `c1.x.${VALUE}` }),
    "a loader of the wrong form": (store) => store.getOrSet(KEY, () => VALUE, { as: "bytes" as "json" }),
    "a wrong option": (store) => store.set(KEY, VALUE, { ifNotExists: VALUE as never }),
    "a wrong ttl": (store) => store.set(KEY, VALUE, { ttlMs: VALUE as never }),
  }
  for (const [name, call] of Object.entries(calls)) {
    test(name, async () => {
      const { client } = await gatedStore()
      const error = await call(client).catch((thrown: unknown) => thrown)
      expect(error).toBeInstanceOf(KvError)
      expect(everyText(error)).not.toMatch(/SECRET/)
    })
  }

  test("the retries and the settling of a write over a network", async () => {
    const { client, gate, runtime } = await gatedStore({ networked: true })
    gate.always("put", { fail: failure("THROTTLED", "put") })
    gate.always("putMany", { keys: { [KEY]: failure("OUTCOME_UNKNOWN", "putMany") } })
    const failing = [
      client.set(KEY, VALUE),
      client.setMany([
        [KEY, VALUE],
        ["b", VALUE],
      ]),
    ].map((call) => call.catch((thrown: unknown) => thrown))
    await settle()
    await runtime.advance(60_000)
    for (const error of await Promise.all(failing)) {
      expect(error).toBeInstanceOf(KvError)
      expect(everyText(error)).not.toMatch(/SECRET/)
    }
  })
})

describe.each([{ networked: false }, { networked: true }])(
  "an error says which store failed, $networked",
  ({ networked }) => {
    test.each<[GatedOperation, (store: Kv) => Promise<unknown>]>([
      ["get", (store) => store.get("a")],
      ["get", (store) => store.getOrSet("a", () => "value")],
      ["exists", (store) => store.exists("a")],
      ["getMany", (store) => store.getMany(["a", "b"])],
      ["put", (store) => store.set("a", "value")],
      [
        "putMany",
        (store) =>
          store.setMany([
            ["a", "1"],
            ["b", "2"],
          ]),
      ],
      ["delete", (store) => store.delete("a")],
      ["scan", (store) => store.scanPage("")],
      ["scan", (store) => store.scan("").next()],
    ])("%s", async (operation, call) => {
      const { client, gate } = await gatedStore({ networked })
      gate.always(operation, { fail: failure("ACCESS_DENIED", operation) })
      // An embedded backend is asked key by key.
      if (operation === "getMany") gate.always("get", { fail: failure("ACCESS_DENIED", "get") })
      const error = await call(client).catch((thrown: unknown) => thrown)
      const place = { store: "test", target: gate.traits.target }
      expect(error).toMatchObject(place)
      if (error instanceof KvPartialError) expect([...error.failed.values()]).toMatchObject([place, place])
    })
  },
)

test("an error of opening says which store failed; that of a loader is not changed", async () => {
  const backend: Backend = {
    ...memory(),
    open: () => Promise.reject(new KvError("ACCESS_DENIED", "no", { operation: "open" })),
  }
  await expect(kv("opening", { backend })).rejects.toMatchObject({
    store: "opening",
    target: backend.traits.target,
  })
  const { client } = await gatedStore()
  const ofLoader = new KvError("THROTTLED", "no", { operation: "get" })
  await expect(client.getOrSet("a", () => Promise.reject(ofLoader))).rejects.toBe(ofLoader)
  expect(ofLoader).not.toHaveProperty("store")
})

test("what prints an error prints no key, and the key can be read", () => {
  const error = new KvError("TIMEOUT", "too late", { operation: "get", key: "user:canary" })
  expect(error.key).toBe("user:canary")
  expect([inspect(error), JSON.stringify(error), JSON.stringify({ ...error })].join()).not.toContain("canary")
})

test("an error of another copy of the package is recognised", async () => {
  vi.resetModules()
  const other = await import("../../tiers/errors.ts")
  const error = new other.KvError("TIMEOUT", "too late", { operation: "get" })
  expect(error).not.toBeInstanceOf(KvError)
  expect(isKvError(error)).toBe(true)
  expect(isKvError(new other.KvPartialError(new Map(), [], { operation: "setMany" }))).toBe(true)
  for (const none of [new Error("no"), { code: "TIMEOUT" }, undefined]) expect(isKvError(none)).toBe(false)
})
