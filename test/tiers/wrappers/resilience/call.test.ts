import { describe, expect, test } from "vitest"
import { KvError, type KvErrorCode } from "../../../../tiers/errors.ts"
import { isUnconditional } from "../../../../tiers/util/write-id.ts"
import type { CallObserver } from "../../../../tiers/wrappers/resilience/observer.ts"
import type { ResilienceOptions } from "../../../../tiers/wrappers/resilience/options.ts"
import { resilient } from "../../../../tiers/wrappers/resilience/resilience.ts"
import { gatedBackend } from "../../../support/gated-backend.ts"
import { remoteMemory } from "../../../support/remote-memory.ts"
import { settle, testRuntime } from "../../../support/runtime.ts"

const error = (code: KvErrorCode, details = {}) =>
  new KvError(code, `scripted ${code}`, { operation: "test", ...details })
const UNAVAILABLE = error("UNAVAILABLE")
const THROTTLED = error("THROTTLED")
const LOST = error("OUTCOME_UNKNOWN")
const write = (text: string) => ({ value: Buffer.from(text), id: text.repeat(32) })
const TIMEOUT_MS = 900

function setUp(options: ResilienceOptions = {}) {
  const runtime = testRuntime()
  const gate = gatedBackend({ backend: remoteMemory({ runtime }) })
  const counters = { retries: 0, throttles: 0 }
  const backend = resilient(gate, { runtime, timeoutMs: TIMEOUT_MS, counters, ...options })
  return { runtime, gate, backend, counters }
}

/** The error that a call rejects with; its message has no figures of its own. */
function failed(call: unknown): { error?: unknown } {
  const seen: { error?: unknown } = {}
  Promise.resolve(call).catch((error: unknown) => {
    seen.error = error
  })
  return seen
}

describe("the error that ends a call", () => {
  const factsOf = (error: unknown) => {
    if (!(error instanceof KvError)) throw new Error(`expected a KvError, got ${String(error)}`)
    const { code, operation, key, backend, message } = error
    return { code, operation, key, backend, message }
  }

  test("of a read that is not answered says by whom, and how long and how often it was asked", async () => {
    for (const [operation, key] of [
      ["get", "a"],
      ["exists", "a"],
      ["getMany", undefined],
      ["probe", undefined],
    ] as const) {
      const { runtime, gate, backend } = setUp()
      gate.hold()
      const calls = {
        get: () => backend.get("a"),
        exists: () => backend.exists("a"),
        getMany: () => backend.getMany(["a"]),
        probe: () => backend.probe(["a"]),
      }
      const call = failed(calls[operation]())
      await runtime.advance(TIMEOUT_MS)
      const effort = `${operation} failed after 2 attempts in 900 ms`
      const message = `${effort}; last: no answer from memory within 900 ms`
      expect(factsOf(call.error)).toEqual({ code: "TIMEOUT", operation, key, backend: "memory", message })
    }
  })

  test("of a page of a scan has no key, and one attempt", async () => {
    const { runtime, gate, backend } = setUp()
    gate.hold("scan")
    const call = failed(backend.scan("prefix", { limit: 1 }))
    await runtime.advance(TIMEOUT_MS)
    expect(factsOf(call.error)).toMatchObject({
      key: undefined,
      message: expect.stringMatching(/^scan failed after 1 attempt in 900 ms;/),
    })
  })

  test("of a write of unknown outcome says what to do", async () => {
    const { runtime, gate, backend } = setUp()
    gate.hold()
    const call = failed(backend.put("a", write("1")))
    await runtime.advance(TIMEOUT_MS)
    expect(factsOf(call.error)).toMatchObject({
      code: "OUTCOME_UNKNOWN",
      key: "a",
      message: expect.stringMatching(
        /^whether this put was applied.+ in 900 ms .+; read the key before writing it again$/,
      ),
    })
  })

  test("that is no KvError passes as it is at once, whatever it says of itself", async () => {
    const { gate, backend } = setUp()
    const defect = Object.assign(new Error("a defect"), { retryable: true })
    gate.script("get", { fail: defect })
    await expect(backend.get("a")).rejects.toBe(defect)
    expect(gate.count("get")).toBe(1)
  })
})

describe("a slow read is not joined", () => {
  test.each<[string, ResilienceOptions]>([
    ["if an attempt may take all of the time of the call", { attemptTimeoutMs: { read: TIMEOUT_MS } }],
    ["if a call has one attempt", { maxAttempts: 1 }],
  ])("%s", async (_, options) => {
    const { runtime, gate, backend, counters } = setUp(options)
    gate.hold("get")
    const call = failed(backend.get("a"))
    await runtime.advance(TIMEOUT_MS - 1)
    expect(call.error).toBeUndefined()
    await runtime.advance(1)
    expect(call.error).toMatchObject({ code: "TIMEOUT" })
    expect([gate.count("get"), counters.retries]).toEqual([1, 0])
  })
})

describe("the place of a request", () => {
  test("is given back once, though its answer comes after its time", async () => {
    const { runtime, gate, backend } = setUp({ maxConcurrency: 1 })
    gate.hold("exists")
    const late = failed(backend.exists("a"))
    await runtime.advance(TIMEOUT_MS)
    expect(late.error).toMatchObject({ code: "TIMEOUT" })
    gate.take("exists").release()
    await settle()
    const more = [backend.exists("b"), backend.exists("c")]
    await settle()
    expect(gate.held()).toHaveLength(1)
    gate.releaseAll()
    expect(await Promise.all(more)).toEqual([false, false])
  })

  test.each([0, 1])("is not taken %i ms after the time of the call, and goes to the next", async (lateMs) => {
    const { runtime, gate, backend } = setUp({ maxConcurrency: 1 })
    gate.hold("exists")
    const first = backend.exists("a")
    const second = failed(backend.exists("b"))
    await settle()
    // No timer runs: the event loop was blocked.
    runtime.freeze(TIMEOUT_MS + lateMs)
    gate.releaseAll()
    expect(await first).toBe(false)
    await settle()
    expect(second.error).toMatchObject({
      code: "TIMEOUT",
      key: "b",
      message: expect.stringMatching(/its time of 900 ms was over before it was sent/),
    })
    expect(await backend.exists("c")).toBe(false)
    expect(gate.count("exists")).toBe(2)
  })

  test("that a retry waited for in vain is told with the attempts before it", async () => {
    const { runtime, gate, backend } = setUp({ maxConcurrency: 1, retryBudget: 1, backoffBaseMs: 0 })
    gate.script("get", { fail: UNAVAILABLE })
    gate.hold("exists")
    const call = failed(backend.get("a"))
    await Promise.resolve()
    const other = failed(backend.exists("b"))
    await settle()
    await runtime.advance(TIMEOUT_MS)
    expect(other.error).toMatchObject({ code: "TIMEOUT" })
    expect(call.error).toMatchObject({
      code: "TIMEOUT",
      message: expect.stringMatching(/^get failed after 2 attempts .+; last: it waited/),
    })
  })

  test("is refused by a full queue in words, and the call is not made again", async () => {
    const { runtime, gate, backend, counters } = setUp({ maxConcurrency: 1, maxQueue: 0 })
    gate.hold("get")
    void backend.get("a")
    const refused = failed(backend.get("b"))
    await runtime.advance(100)
    expect(refused.error).toMatchObject({
      code: "THROTTLED",
      queueFull: true,
      message: "too many calls of this store wait for the backend; nothing was sent",
    })
    expect(counters.retries).toBe(0)
    gate.releaseAll()
  })
})

describe("another attempt", () => {
  test("is not waited for if that would take all that is left", async () => {
    const { gate, backend } = setUp({ backoffBaseMs: 0 })
    gate.script("get", { fail: error("THROTTLED", { retryAfterMs: TIMEOUT_MS }) })
    await expect(backend.get("a")).rejects.toMatchObject({ code: "THROTTLED", retryAfterMs: TIMEOUT_MS })
    expect(gate.count("get")).toBe(1)
  })

  test("is not sent at the very end of the time, and the error is that of the last one", async () => {
    const { runtime, gate, backend } = setUp({ backoffBaseMs: 0 })
    gate.script("exists", { fail: error("THROTTLED", { retryAfterMs: 100 }) })
    const call = failed(backend.exists("a"))
    await settle()
    runtime.freeze(TIMEOUT_MS)
    await runtime.advance(0)
    expect(call.error).toMatchObject({ code: "THROTTLED" })
    expect(gate.count("exists")).toBe(1)
  })

  test("of a write that was sent again is asked about, if it gets no answer either", async () => {
    const { runtime, gate, backend } = setUp({ timeoutMs: 5_000, retryBudget: 1 })
    gate.script("put", { landLate: LOST }, { loseReply: LOST })
    const put = backend.put("a", write("1"))
    await settle()
    await runtime.advance(5_000)
    expect(await put).toMatchObject({ applied: true, mayLandLate: true })
    expect([gate.count("put"), gate.count("probe")]).toEqual([2, 2])
    expect(isUnconditional(gate.last("put").writes.get("a")?.id ?? "")).toBe(false)
  })

  test("is made past an observer that asks for no scope", async () => {
    let runs = 0
    const observer: CallObserver = {
      begin: () => ({ scope: undefined, retried() {}, ended() {}, failed() {} }),
      run(_, send, __, ...args) {
        runs++
        return send(...args)
      },
      answered: undefined,
    }
    const { runtime, gate, backend } = setUp({ observer })
    gate.script("get", { fail: UNAVAILABLE })
    const get = backend.get("a")
    await runtime.advance(TIMEOUT_MS)
    expect(await get).toBeUndefined()
    expect([gate.count("get"), runs]).toEqual([2, 0])
  })
})

test("throttled requests are counted, each once, whole or in part, and no others; so are those that are sent again", async () => {
  const { runtime, gate, backend, counters } = setUp({ retryBudget: 1 })
  gate.script("get", { fail: UNAVAILABLE }, { fail: UNAVAILABLE }, { fail: THROTTLED })
  const get = backend.get("a")
  await runtime.advance(TIMEOUT_MS)
  await get
  expect(counters).toEqual({ retries: 3, throttles: 1 })

  gate.script("getMany", { keys: { a: THROTTLED, b: THROTTLED } }, { keys: { b: UNAVAILABLE } })
  await gate.put("c", write("1"))
  const getMany = backend.getMany(["c", "a", "b"])
  await runtime.advance(TIMEOUT_MS)
  await getMany
  expect(counters).toEqual({ retries: 5, throttles: 2 })
})
