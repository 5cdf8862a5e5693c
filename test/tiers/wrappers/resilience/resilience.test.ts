import { describe, expect, test } from "vitest"
import type { Backend, Write, WriteResult } from "../../../../tiers/backend.ts"
import { KvError, type KvErrorCode } from "../../../../tiers/errors.ts"
import { DEFAULTS } from "../../../../tiers/limits.ts"
import { memory, memoryStore } from "../../../../tiers/memory.ts"
import type { CallObserver, Retry } from "../../../../tiers/wrappers/resilience/observer.ts"
import type { ResilienceOptions } from "../../../../tiers/wrappers/resilience/options.ts"
import { resilient } from "../../../../tiers/wrappers/resilience/resilience.ts"
import { describeConformance } from "../../../support/conformance/run.ts"
import { type Fault, type GatedOperation, gatedBackend } from "../../../support/gated-backend.ts"
import { wasWrittenBy } from "../../../support/heads.ts"
import { remoteMemory } from "../../../support/remote-memory.ts"
import { settle, type TestRuntime, testRuntime } from "../../../support/runtime.ts"

const error = (code: KvErrorCode, details = {}) =>
  new KvError(code, `scripted ${code}`, { operation: "test", ...details })
const THROTTLED = error("THROTTLED")
const UNAVAILABLE = error("UNAVAILABLE")
const LOST = error("OUTCOME_UNKNOWN")
const DENIED = error("ACCESS_DENIED")

const bytes = (text: string) => new TextEncoder().encode(text)
const idOf = (text: string) => Buffer.from(text.padEnd(16)).toString("hex").slice(0, 32)
const write = (text: string, more: Partial<Write> = {}): Write => ({
  value: bytes(text),
  id: idOf(text),
  ...more,
})

/** A resilient backend over a gated one over a store of its own; `other` is another process on that store. */
function setUp(options: ResilienceOptions = {}) {
  const runtime = testRuntime()
  const retries: Retry[] = []
  const other = remoteMemory({ runtime })
  const gate = gatedBackend({ backend: other })
  const backend = resilient(gate, { runtime, observer: hearing(retries), ...options })
  return { runtime, retries, other, gate, backend }
}

/** Observes the retries alone. */
function hearing(retries: Retry[]): CallObserver {
  return {
    begin: () => ({
      scope: undefined,
      retried: (retry) => void retries.push(retry),
      ended() {},
      failed() {},
    }),
    run: (_, send, __, ...args) => send(...args),
    answered: undefined,
  }
}

/** Moves time until the call has ended. Fails the test if it does not within its deadline. */
async function ended<T>(
  runtime: TestRuntime,
  call: T | Promise<T>,
  withinMs: number = DEFAULTS.timeoutMs.write,
) {
  let outcome: { value: T } | { error: unknown } | undefined
  Promise.resolve(call).then(
    (value) => {
      outcome = { value }
    },
    (error: unknown) => {
      outcome = { error }
    },
  )
  await settle()
  for (let passedMs = 0; outcome === undefined && passedMs < withinMs; passedMs += 10)
    await runtime.advance(10)
  if (outcome === undefined) throw new Error(`the call hangs after ${withinMs} ms`)
  if ("error" in outcome) throw outcome.error
  return outcome.value
}

async function failure(promise: Promise<unknown>): Promise<KvError> {
  const reason: unknown = await promise.then(
    () => undefined,
    (error: unknown) => error,
  )
  if (!(reason instanceof KvError)) throw new Error(`expected a KvError, got ${String(reason)}`)
  return reason
}

/** Every method that resilience bounds, called on key "a". */
const CALLS: Readonly<Record<GatedOperation, (backend: Backend) => unknown>> = {
  get: (backend) => backend.get("a"),
  getMany: (backend) => backend.getMany(["a", "b"]),
  exists: (backend) => backend.exists("a"),
  put: (backend) => backend.put("a", write("v")),
  putMany: (backend) => backend.putMany(new Map([["a", write("v")]])),
  delete: (backend) => backend.delete("a", { id: idOf("d") }),
  deleteMany: (backend) => backend.deleteMany(new Map([["a", { id: idOf("d") }]])),
  scan: (backend) => backend.scan("", { limit: 10 }),
  probe: (backend) => backend.probe(["a"]),
}
const OPERATIONS = Object.keys(CALLS) as GatedOperation[]
const READS: readonly GatedOperation[] = ["get", "getMany", "exists", "scan", "probe"]
const BATCHED_WRITES: readonly GatedOperation[] = ["putMany", "deleteMany"]

describe("the time after which the service wants to be asked again", () => {
  test("passes before the next attempt, besides the jitter", async () => {
    const { runtime, gate, retries, backend } = setUp({ backoffBaseMs: 100 })
    runtime.random = () => 0.5
    gate.script("get", { fail: error("THROTTLED", { retryAfterMs: 700 }) })
    const call = backend.get("a")
    await settle()
    await runtime.advance(749)
    expect(gate.calls).toHaveLength(1)
    await runtime.advance(1)
    expect(await call).toBeUndefined()
    expect(retries.map(({ delayMs }) => delayMs)).toEqual([750])
  })

  test("ends the call at once if it is longer than what is left, and is told to the caller", async () => {
    const { runtime, gate, backend } = setUp({ timeoutMs: 1_000 })
    gate.always("get", { fail: error("THROTTLED", { retryAfterMs: 60_000 }) })
    const started = runtime.monotonic()
    expect(await failure(Promise.resolve(backend.get("a")))).toMatchObject({
      code: "THROTTLED",
      retryAfterMs: 60_000,
    })
    expect(runtime.monotonic()).toBe(started)
  })
})

describe("the deadline", () => {
  test.each(OPERATIONS)("%s ends within it though the backend hangs", async (operation) => {
    const { runtime, gate, backend } = setUp({ timeoutMs: 1_000 })
    gate.hold()
    const started = runtime.monotonic()
    const call = ended(runtime, CALLS[operation](backend), 1_000)
    let ending: KvError
    if (BATCHED_WRITES.includes(operation)) {
      const answer = ((await call) as Map<string, WriteResult | KvError>).get("a")
      if (!(answer instanceof KvError)) throw new Error("expected an error for the key")
      ending = answer
    } else ending = await failure(call)
    const tookMs = runtime.monotonic() - started

    expect(ending.code).toBe(READS.includes(operation) ? "TIMEOUT" : "OUTCOME_UNKNOWN")
    expect(ending.operation).toBe(operation)
    expect(ending.backend).toBe("memory")
    expect(ending.message).toMatch(/after \d attempts? in \d+ ms/)
    expect(ending.message).not.toContain('"a"')
    expect(tookMs).toBeGreaterThan(940)
    expect(tookMs).toBeLessThanOrEqual(1_000)
  })

  test.each(OPERATIONS)("%s may fail after it was given up, unheard", async (operation) => {
    const { runtime, gate, backend } = setUp({ timeoutMs: 100 })
    gate.hold()
    await ended(runtime, CALLS[operation](backend), 100).catch(() => undefined)
    for (const call of gate.held()) call.fail(UNAVAILABLE)
    await settle() // an unhandled rejection fails the run
    expect(gate.held()).toEqual([])
  })

  test("covers every attempt and every wait", async () => {
    const { runtime, gate, backend } = setUp({ timeoutMs: 2_000, maxAttempts: 1_000, backoffMaxMs: 300 })
    gate.always("get", { fail: THROTTLED })
    const started = runtime.monotonic()
    const ending = await failure(ended(runtime, backend.get("a"), 2_000))
    expect(ending).toMatchObject({ code: "THROTTLED", key: "a", cause: THROTTLED })
    expect(runtime.monotonic() - started).toBeLessThanOrEqual(2_000)
    expect(gate.count("get")).toBeGreaterThan(6)
  })

  test("an attempt that hangs leaves time for another", async () => {
    const { runtime, gate, backend, retries } = setUp()
    await gate.put("a", write("v"))
    gate.script("get", { hold: "request" })
    expect(await ended(runtime, backend.get("a"))).toMatchObject({ value: bytes("v") })
    expect(retries).toMatchObject([{ operation: "get", attempt: 1, error: { code: "TIMEOUT" } }])
  })

  test("a page of a scan may take all of it in one attempt", async () => {
    const { runtime, gate, backend } = setUp()
    gate.hold("scan")
    const page = backend.scan("", { limit: 10 })
    await runtime.advance(4_999)
    gate.take("scan").release()
    expect(await page).toEqual({ entries: [] })
    expect(gate.count("scan")).toBe(1)
  })

  test("an aborted scan rejects with the signal's reason, before, during and between attempts", async () => {
    const { runtime, gate, backend } = setUp()
    await expect(backend.scan("", { limit: 10, signal: AbortSignal.abort("at once") })).rejects.toBe(
      "at once",
    )
    expect(gate.count("scan")).toBe(0)

    const during = new AbortController()
    gate.script("scan", { hold: "request" })
    const held = backend.scan("", { limit: 10, signal: during.signal })
    during.abort("during")
    await expect(held).rejects.toBe("during")

    const between = new AbortController()
    gate.script("scan", { fail: THROTTLED })
    const waiting = backend.scan("", { limit: 10, signal: between.signal })
    await settle()
    between.abort("between")
    await expect(waiting).rejects.toBe("between")
    await runtime.advance(5_000)
    expect(gate.count("scan")).toBe(2)
  })

  test("keeps no process alive, and leaves no timer behind", async () => {
    const timers = () => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length
    const before = timers()
    const gate = gatedBackend()
    const backend = resilient(gate)
    gate.hold("get")
    const reading = backend.get("a")
    gate.script("exists", { fail: THROTTLED })
    const asking = backend.exists("a")
    await settle()
    expect(timers()).toBe(before)
    gate.releaseAll()
    await Promise.all([reading, asking])

    let live = 0
    const counted = resilient(gatedBackend(), {
      runtime: {
        ...testRuntime(),
        setTimer() {
          live++
          return { cancel: () => void live-- }
        },
      },
    })
    await counted.put("a", write("v"))
    await counted.get("a")
    await counted.scan("", { limit: 10 })
    expect(live).toBe(0)
  })
})

describe("retries", () => {
  test.each(["THROTTLED", "UNAVAILABLE", "TIMEOUT"] as const)("%s is tried again", async (code) => {
    for (const operation of OPERATIONS) {
      const { runtime, gate, backend, retries } = setUp()
      gate.script(operation, { fail: error(code) }, { fail: error(code) })
      await ended(runtime, CALLS[operation](backend))
      expect(gate.count(operation)).toBe(3)
      expect(retries.map(({ operation, attempt }) => [operation, attempt])).toEqual([
        [operation, 1],
        [operation, 2],
      ])
    }
  })

  test.each([
    "INVALID_VALUE",
    "INVALID_CURSOR",
    "STORE_NOT_FOUND",
    "ACCESS_DENIED",
    "CORRUPT_ENTRY",
    "CLOSED",
  ] as const)("%s is an answer and passes as it is", async (code) => {
    for (const operation of OPERATIONS) {
      const { runtime, gate, backend } = setUp()
      const answer = error(code)
      gate.script(operation, { fail: answer })
      await expect(ended(runtime, CALLS[operation](backend))).rejects.toBe(answer)
      expect(gate.count(operation)).toBe(1)
    }
  })

  test("what is not a KvError passes as it is", async () => {
    for (const operation of OPERATIONS) {
      const { runtime, gate, backend } = setUp()
      const bug = new TypeError("a fault of the backend")
      gate.script(operation, { fail: bug })
      await expect(ended(runtime, CALLS[operation](backend))).rejects.toBe(bug)
      expect(gate.count(operation)).toBe(1)
    }
  })

  test("a condition that does not hold is an answer", async () => {
    const { gate, backend } = setUp()
    await gate.put("a", write("v"))
    expect(await backend.put("a", write("w", { condition: { absent: true } }))).toEqual({ applied: false })
    expect(await backend.put("a", write("w", { condition: { version: "stale" } }))).toEqual({
      applied: false,
    })
    expect(await backend.delete("a", { id: idOf("d"), condition: { version: "stale" } })).toEqual({
      applied: false,
    })
    expect(gate.count("put")).toBe(3)
  })

  test("end after maxAttempts, with the last error, how many attempts and how long", async () => {
    const { runtime, gate, backend } = setUp()
    gate.script("put", ...Array<Fault>(5).fill({ fail: THROTTLED }), { fail: UNAVAILABLE })
    const ending = await failure(ended(runtime, backend.put("a", write("v"))))
    expect(ending).toMatchObject({ code: "UNAVAILABLE", operation: "put", key: "a", cause: UNAVAILABLE })
    expect(ending.message).toMatch(/^put failed after 6 attempts in \d+ ms; last: scripted UNAVAILABLE$/)
    expect(gate.count("put")).toBe(DEFAULTS.maxAttempts)
  })

  test("wait with full jitter: uniformly up to a bound that doubles and is capped", async () => {
    const delays: number[][] = []
    for (const chance of [0, 0.5, 0.999]) {
      const runtime = { ...testRuntime(), random: () => chance }
      const { gate, backend, retries } = setUp({
        runtime,
        maxAttempts: 8,
        backoffBaseMs: 10,
        backoffMaxMs: 100,
      })
      gate.always("get", { fail: THROTTLED })
      await failure(ended(runtime, backend.get("a")))
      delays.push(retries.map(({ delayMs }) => delayMs))
    }
    const bounds = [10, 20, 40, 80, 100, 100, 100]
    expect(delays).toEqual([0, 0.5, 0.999].map((chance) => bounds.map((bound) => bound * chance)))
  })

  test("do not begin when the wait would outlast the deadline", async () => {
    const runtime = { ...testRuntime(), random: () => 0.99 }
    const { gate, backend } = setUp({ runtime, timeoutMs: 20, backoffBaseMs: 50 })
    gate.always("get", { fail: THROTTLED })
    await failure(Promise.resolve(backend.get("a")))
    expect(gate.count("get")).toBe(1)
  })
})

test("a wait that a blocked event loop drew out past the deadline ends the call, and nothing more is sent", async () => {
  const runtime = testRuntime()
  const blocked = {
    ...runtime,
    setTimer: (callback: () => void, delayMs: number) => runtime.setTimer(callback, delayMs + 10_000),
  }
  const { gate, backend } = setUp({ runtime: blocked })
  gate.always("put", { fail: THROTTLED })
  const ending = await failure(ended(runtime, backend.put("a", write("v")), 20_000))
  expect(ending).toMatchObject({ code: "THROTTLED", message: expect.stringContaining("after 1 attempt in") })
  expect(gate.count("put")).toBe(1)
})

describe("an answer without a promise", () => {
  test("passes through without a promise", async () => {
    const store = memory()
    const backend = resilient(store)
    await store.put("a", write("v"))
    expect(backend.get("a")).toMatchObject({ value: bytes("v") })
    expect(backend.exists("a")).toBe(true)
    expect(backend.getMany(["a", "b"])).toEqual(new Map([["a", store.get("a")]]))
  })

  test("is tried again where the backend throws on the spot", async () => {
    const runtime = testRuntime()
    const store = memory({ runtime })
    let calls = 0
    const backend = resilient(
      {
        ...store,
        get(key) {
          if (++calls < 3) throw THROTTLED
          return store.get(key)
        },
      },
      { runtime },
    )
    expect(await ended(runtime, backend.get("a"))).toBeUndefined()
    expect(calls).toBe(3)
  })

  test("becomes a promise for a batch in which keys were left out", async () => {
    const runtime = testRuntime()
    const store = memory({ runtime })
    await store.put("a", write("v"))
    let calls = 0
    const backend = resilient(
      {
        ...store,
        getMany: (keys) => (++calls === 1 ? new Map([["a", THROTTLED]]) : store.getMany(keys)),
      },
      { runtime },
    )
    expect(await ended(runtime, backend.getMany(["a", "b"]))).toEqual(new Map([["a", store.get("a")]]))
  })
})

describe("the observer", () => {
  /** Notes everything that it is told, and in which call's scope the attempts are made. */
  function noting() {
    const told: unknown[] = []
    const scopes: unknown[] = []
    let calls = 0
    const observer: CallObserver = {
      begin(operation, subject, callers) {
        const call = ++calls
        told.push(["begin", call, operation, subject, callers])
        return {
          scope: call,
          retried: ({ attempt }) => void told.push(["retried", call, attempt]),
          ended: (answer) => void told.push(["ended", call, answer]),
          failed: (error) => void told.push(["failed", call, error]),
        }
      },
      run(scope, send, _, ...args) {
        scopes.push(scope)
        return send(...args)
      },
      answered: {
        get: ([key], entry) => void told.push(["answered", key, entry]),
        put: ([key], result) => void told.push(["answered", key, result]),
        probe: ([keys]) => void told.push(["asked", ...keys]),
      },
    }
    return { observer, told, scopes }
  }

  test("hears of a call before its caller, of its attempts in between, and makes them in the scope of the call", async () => {
    const { observer, told, scopes } = noting()
    const { runtime, gate, backend } = setUp({ observer })
    gate.script("get", { fail: THROTTLED }, { fail: THROTTLED })
    await ended(
      runtime,
      Promise.resolve(backend.get("a", { callers: ["caller"] })).then(() => told.push("caller")),
    )
    expect(told).toEqual([
      ["begin", 1, "get", "a", ["caller"]],
      ["retried", 1, 1],
      ["retried", 1, 2],
      ["answered", "a", undefined],
      ["ended", 1, undefined],
      "caller",
    ])
    expect(scopes).toEqual([1, 1, 1])
  })

  test("hears of the error that the caller gets", async () => {
    const { observer, told } = noting()
    const { runtime, gate, backend } = setUp({ observer, maxAttempts: 2 })
    gate.always("exists", { fail: THROTTLED })
    const ending = await failure(ended(runtime, backend.exists("a")))
    expect(told).toEqual([
      ["begin", 1, "exists", "a", undefined],
      ["retried", 1, 1],
      ["failed", 1, ending],
    ])
  })

  test("hears of every answer, those of questions and of attempts that were given up among them", async () => {
    const { observer, told, scopes } = noting()
    const { runtime, gate, backend } = setUp({ observer })
    gate.script("put", { hold: "reply" })
    const item = write("v")
    const result = await ended(runtime, backend.put("a", item))
    gate.take("put").release()
    await settle()
    expect(result).toMatchObject({ applied: true, mayLandLate: true })
    expect(told).toEqual([
      ["begin", 1, "put", "a", undefined],
      ["retried", 1, 1],
      ["asked", "a"],
      ["ended", 1, result],
      ["answered", "a", { applied: true, version: expect.any(String) }],
    ])
    expect(scopes).toEqual([1, 1])
  })

  test("hears of an answer without a promise, and of an aborted scan", async () => {
    const { observer, told } = noting()
    const backend = resilient(memory(), { observer })
    expect(backend.get("a")).toBeUndefined()
    expect(told).toEqual([
      ["begin", 1, "get", "a", undefined],
      ["answered", "a", undefined],
      ["ended", 1, undefined],
    ])
    told.length = 0
    await expect(backend.scan("p", { limit: 1, signal: AbortSignal.abort("no") })).rejects.toBe("no")
    expect(told).toEqual([
      ["begin", 2, "scan", "p", undefined],
      ["failed", 2, "no"],
    ])
  })

  test("that asks for nothing is asked nothing more", async () => {
    const { observer } = noting()
    const runs: unknown[] = []
    const idle: CallObserver = { ...observer, begin: () => undefined, run: () => runs.push("run") as never }
    const { runtime, backend } = setUp({ observer: idle })
    await ended(runtime, backend.get("a"))
    expect(runs).toEqual([])
  })
})

describe("batches", () => {
  test("only the keys that failed with a retryable error are read again", async () => {
    const { runtime, gate, backend, retries } = setUp()
    for (const key of ["a", "b", "c"]) await gate.put(key, write(key))
    const corrupt = error("CORRUPT_ENTRY")
    gate.script("getMany", { keys: { a: THROTTLED, b: THROTTLED, d: corrupt } }, { keys: { a: UNAVAILABLE } })

    const found = await ended(runtime, backend.getMany(["a", "b", "c", "d", "absent"]))
    expect([...found.keys()].sort()).toEqual(["a", "b", "c", "d"])
    for (const key of ["a", "b", "c"]) expect(found.get(key)).toMatchObject({ value: bytes(key) })
    expect(found.get("d")).toMatchObject({ code: "CORRUPT_ENTRY", key: "d" })
    expect(gate.calls.filter(({ operation }) => operation === "getMany").map(({ keys }) => keys)).toEqual([
      ["a", "b", "c", "d", "absent"],
      ["a", "b"],
      ["a"],
    ])
    expect(retries.map(({ keys }) => keys)).toEqual([2, 1])
  })

  test("a key that stays unserved is an error of its own, never a miss", async () => {
    const { runtime, gate, backend } = setUp({ maxAttempts: 2 })
    await gate.put("a", write("a"))
    gate.always("getMany", { keys: { b: THROTTLED } })
    const found = await ended(runtime, backend.getMany(["a", "b"]))
    expect(found.get("a")).toMatchObject({ value: bytes("a") })
    expect(found.get("b")).toMatchObject({ code: "THROTTLED", key: "b", cause: THROTTLED })
    expect(found.get("b")).toHaveProperty("message", expect.stringContaining("after 2 attempts"))
  })

  test("a failure of the request as a whole rejects, unless some keys have their answer already", async () => {
    const { runtime, gate, backend } = setUp({ maxAttempts: 3 })
    gate.always("getMany", { fail: UNAVAILABLE })
    expect(await failure(ended(runtime, backend.getMany(["a", "b"])))).toMatchObject({
      code: "UNAVAILABLE",
      cause: UNAVAILABLE,
    })
    expect(gate.count("getMany")).toBe(3)

    await gate.put("a", write("a"))
    gate.script("getMany", { keys: { b: THROTTLED } }, { fail: DENIED })
    const found = await ended(runtime, backend.getMany(["a", "b", "absent"]))
    expect(found.get("a")).toMatchObject({ value: bytes("a") })
    expect(found.get("b")).toMatchObject({ code: "ACCESS_DENIED", key: "b" })
    expect(found.size).toBe(2)
  })

  test("writes: each key has its own result", async () => {
    const { runtime, gate, backend, other } = setUp({ maxAttempts: 3 })
    gate.script(
      "putMany",
      { keys: { b: THROTTLED, c: THROTTLED, d: error("INVALID_VALUE") } },
      { keys: { c: THROTTLED } },
      { keys: { c: THROTTLED } },
    )
    const writes = new Map(["a", "b", "c", "d"].map((key) => [key, write(key)]))
    const results = await ended(runtime, backend.putMany(writes))
    expect(results.get("a")).toEqual({ applied: true, version: expect.any(String) })
    expect(results.get("b")).toEqual({ applied: true, version: expect.any(String) })
    expect(results.get("c")).toMatchObject({ code: "THROTTLED", key: "c" })
    expect(results.get("d")).toMatchObject({ code: "INVALID_VALUE", key: "d" })
    expect(await Promise.all(["a", "b", "c", "d"].map((key) => other.exists(key)))).toEqual([
      true,
      true,
      false,
      false,
    ])
    expect(gate.count("probe")).toBe(0)
  })

  test("writes: only those in doubt are asked about and may land late", async () => {
    const { runtime, gate, backend, other } = setUp()
    gate.script("putMany", { keys: { applied: LOST }, applied: true })
    const writes = new Map(["applied", "served"].map((key) => [key, write(key)]))
    const results = await ended(runtime, backend.putMany(writes))
    const version = (await other.get("applied"))?.version
    expect(results.get("applied")).toEqual({ applied: true, version, mayLandLate: true })
    expect(results.get("served")).toEqual({ applied: true, version: expect.any(String) })
    expect(gate.calls.filter(({ operation }) => operation === "probe").map(({ keys }) => keys)).toEqual([
      ["applied"],
    ])
    expect(gate.count("putMany")).toBe(1)
    expect(await other.get("applied")).toMatchObject({ value: bytes("applied") })
  })

  test("writes: those that were not applied are asked about in one request, and sent again one by one, under a condition", async () => {
    const { runtime, gate, backend, other } = setUp()
    await other.put("b", write("before"))
    const version = (await other.get("b"))?.version
    gate.script("putMany", { landLate: LOST })
    const first = new Map(["a", "b"].map((key) => [key, write(key)]))
    const results = await ended(runtime, backend.putMany(first))
    for (const key of ["a", "b"]) {
      const there = await other.get(key)
      expect(there).toMatchObject({ value: bytes(key) })
      expect(results.get(key)).toEqual({ applied: true, version: there?.version, mayLandLate: true })
      expect(await wasWrittenBy(other, key, idOf(key))).toBe(false)
    }
    expect(gate.calls.map(({ operation, keys }) => [operation, ...keys])).toEqual([
      ["putMany", "a", "b"],
      ["probe", "a", "b"],
      ["put", "a"],
      ["put", "b"],
    ])
    expect(gate.calls[2]?.writes.get("a")).toMatchObject({ condition: { absent: true } })
    expect(gate.calls[3]?.writes.get("b")).toMatchObject({ condition: { version } })
  })

  test("writes: the rows of others are not overwritten where it is not known that they are older", async () => {
    const runtime = testRuntime()
    const other = remoteMemory({ runtime, clock: false })
    const gate = gatedBackend({ backend: other })
    const backend = resilient(gate, { runtime })
    for (const key of ["seen", "unknown"]) await other.put(key, write("theirs"))
    const seen = (await other.get("seen"))?.version
    gate.script("putMany", { landLate: LOST })
    const writes = new Map([
      ["seen", write("ours", { seen })],
      ["unknown", write("ours")],
    ])
    const results = await ended(runtime, backend.putMany(writes))
    expect(results.get("seen")).toMatchObject({ applied: true, mayLandLate: true })
    expect(results.get("unknown")).toMatchObject({ code: "OUTCOME_UNKNOWN", key: "unknown" })
    expect(await other.get("unknown")).toMatchObject({ value: bytes("theirs") })
  })

  test("writes: an outage multiplies neither the questions nor the writes", async () => {
    const { runtime, gate, backend } = setUp()
    gate.always("putMany", { landLate: LOST })
    gate.always("probe", { fail: UNAVAILABLE })
    const keys = Array.from({ length: 500 }, (_, index) => `key-${index}`)
    const results = await ended(runtime, backend.putMany(new Map(keys.map((key) => [key, write(key)]))))
    for (const key of keys) expect(results.get(key)).toMatchObject({ code: "OUTCOME_UNKNOWN", key })
    expect(gate.count("putMany")).toBe(1)
    expect(gate.count("probe")).toBeLessThan(DEFAULTS.maxAttempts)
    expect(gate.count("put")).toBe(0)
  })

  test("writes: sending again stays within the retry budget", async () => {
    const { runtime, gate, backend } = setUp()
    gate.script("putMany", { landLate: LOST })
    const keys = Array.from({ length: 500 }, (_, index) => `key-${index}`)
    const results = await ended(runtime, backend.putMany(new Map(keys.map((key) => [key, write(key)]))))
    expect([gate.count("probe"), gate.count("put")]).toEqual([1, 10])
    const applied = [...results.values()].filter((result) => !(result instanceof KvError))
    expect(applied).toHaveLength(10)
  })

  test("writes: of those that failed, only those in doubt are asked about and may land late", async () => {
    const { runtime, gate, backend } = setUp()
    gate.script("putMany", { keys: { lost: LOST, refused: THROTTLED } })
    const writes = new Map(["lost", "refused", "served"].map((key) => [key, write(key)]))
    const results = await ended(runtime, backend.putMany(writes))
    expect(results.get("lost")).toMatchObject({ applied: true, mayLandLate: true })
    for (const key of ["refused", "served"]) {
      expect(results.get(key)).toEqual({ applied: true, version: expect.any(String) })
    }
    expect(gate.calls.map(({ operation, keys }) => [operation, ...keys])).toEqual([
      ["putMany", "lost", "refused", "served"],
      ["probe", "lost"],
      ["putMany", "refused"],
      ["put", "lost"],
    ])
  })

  test("writes: a request without an answer is each key's doubt, not a rejection", async () => {
    const { runtime, gate, backend } = setUp({ maxAttempts: 1 })
    gate.script("putMany", { loseReply: LOST })
    const results = await ended(runtime, backend.putMany(new Map(["a", "b"].map((key) => [key, write(key)]))))
    for (const key of ["a", "b"]) expect(results.get(key)).toMatchObject({ code: "OUTCOME_UNKNOWN", key })
  })

  test("writes: what was found applied stays so when the rest fails as a whole", async () => {
    const { runtime, gate, backend } = setUp({ maxAttempts: 2 })
    gate.script("putMany", { landLate: LOST })
    const writes = new Map(["lost", "late"].map((key) => [key, write(key)]))
    await gate.put("lost", write("lost"))
    gate.script("put", { fail: UNAVAILABLE })
    const results = await ended(runtime, backend.putMany(writes))
    expect(results.get("lost")).toMatchObject({ applied: true, mayLandLate: true })
    expect(results.get("late")).toMatchObject({ code: "OUTCOME_UNKNOWN", key: "late", cause: UNAVAILABLE })
  })

  test("writes: a key that the answer leaves out is in doubt", async () => {
    const { runtime, gate } = setUp()
    const forgetful: Backend = {
      ...gate,
      async putMany(writes) {
        const results = await gate.putMany(writes)
        if (gate.count("putMany") === 1) results.delete("b")
        return results
      },
    }
    const backend = resilient(forgetful, { runtime })
    const results = await ended(runtime, backend.putMany(new Map(["a", "b"].map((key) => [key, write(key)]))))
    expect(results.get("a")).toEqual({ applied: true, version: expect.any(String) })
    expect(results.get("b")).toEqual({ applied: true, version: expect.any(String), mayLandLate: true })
  })

  test("writes: once the time is up, nothing is asked any more", async () => {
    const { runtime, gate, backend } = setUp({ timeoutMs: 1_000, attemptTimeoutMs: 1_000 })
    gate.script("putMany", { loseReply: LOST })
    gate.hold("probe")
    const keys = Array.from({ length: 100 }, (_, index) => `key-${index}`)
    const results = await ended(
      runtime,
      backend.putMany(new Map(keys.map((key) => [key, write(key)]))),
      1_000,
    )
    for (const key of keys) expect(results.get(key)).toMatchObject({ code: "OUTCOME_UNKNOWN", key })
    expect(gate.count("probe")).toBe(1)
  })

  test("writes: a question that fails is asked again, and nothing is sent over what it may find", async () => {
    const { runtime, gate, backend } = setUp()
    gate.script("putMany", { loseReply: LOST })
    gate.script("probe", { fail: UNAVAILABLE }, { fail: THROTTLED })
    const results = await ended(runtime, backend.putMany(new Map([["a", write("a")]])))
    expect(results.get("a")).toMatchObject({ applied: true, mayLandLate: true })
    expect(gate.count("putMany")).toBe(1)
    expect(gate.count("probe")).toBe(3)
  })

  test("writes: a key in doubt ends in doubt, whatever the later attempts answer", async () => {
    for (const later of [THROTTLED, DENIED, LOST]) {
      const { runtime, gate, backend } = setUp({ maxAttempts: 2 })
      gate.script("putMany", { landLate: LOST })
      gate.script("put", { fail: later })
      const results = await ended(runtime, backend.putMany(new Map([["a", write("a")]])))
      expect(results.get("a")).toMatchObject({ code: "OUTCOME_UNKNOWN", key: "a", cause: later })
    }
  })

  test("deletes in doubt are sent again, under a condition on the row that is there", async () => {
    const { runtime, gate, backend, other } = setUp()
    for (const key of ["a", "b"]) await other.put(key, write(key))
    gate.script("deleteMany", { keys: { b: LOST, gone: LOST } })
    const removals = new Map(["a", "b", "gone"].map((key) => [key, { id: idOf("d") }]))
    const results = await ended(runtime, backend.deleteMany(removals))
    expect(results).toEqual(
      new Map([
        ["a", { applied: true }],
        ["b", { applied: true, mayLandLate: true }],
        ["gone", { applied: true, mayLandLate: true }],
      ]),
    )
    expect(gate.calls.map(({ operation, keys }) => [operation, ...keys])).toEqual([
      ["deleteMany", "a", "b", "gone"],
      ["probe", "b", "gone"],
      ["delete", "b"],
    ])
    expect(await other.exists("b")).toBe(false)
  })

  test("reads: the keys that are settled are told before the others are requested again", async () => {
    const { runtime, gate, backend } = setUp()
    for (const key of ["a", "b"]) await gate.put(key, write(key))
    gate.script("getMany", { keys: { b: THROTTLED } })
    const early: unknown[] = []
    const reading = backend.getMany(["a", "absent", "b"], {
      early: (keys, found) => void early.push([[...keys], [...found.keys()]]),
    })
    await settle()
    expect(early).toEqual([[["a", "absent"], ["a"]]])
    expect([...(await ended(runtime, reading)).keys()].sort()).toEqual(["a", "b"])
    expect(early).toHaveLength(1)
  })
})

describeConformance("resilient(memory)", {
  createStore(runtime) {
    const store = memoryStore()
    return { connect: () => resilient(remoteMemory({ runtime, store }), { runtime }) }
  },
})
