import fc from "fast-check"
import { describe, expect, test } from "vitest"
import type { Backend, RequestOptions } from "../../../../tiers/backend.ts"
import { KvError } from "../../../../tiers/errors.ts"
import { DEFAULTS } from "../../../../tiers/limits.ts"
import type { ResilienceOptions } from "../../../../tiers/wrappers/resilience/options.ts"
import { resilient } from "../../../../tiers/wrappers/resilience/resilience.ts"
import { RetryBudget } from "../../../../tiers/wrappers/resilience/retry-budget.ts"
import { gatedBackend } from "../../../support/gated-backend.ts"
import { remoteMemory } from "../../../support/remote-memory.ts"
import { settle, testRuntime } from "../../../support/runtime.ts"

const UNAVAILABLE = new KvError("UNAVAILABLE", "down", { operation: "test" })
const ID = "a".repeat(32)
const write = (text: string) => ({ value: new TextEncoder().encode(text), id: ID })

function setUp(options: ResilienceOptions = {}) {
  const runtime = testRuntime()
  const gate = gatedBackend({ backend: remoteMemory({ runtime }) })
  return { runtime, gate, backend: resilient(gate, { runtime, ...options }) }
}

/** The outcome of a call, once it has one. */
function watched<T>(call: T | Promise<T>): { outcome?: T; error?: unknown } {
  const seen: { outcome?: T; error?: unknown } = {}
  Promise.resolve(call).then(
    (outcome) => {
      seen.outcome = outcome
    },
    (error: unknown) => {
      seen.error = error
    },
  )
  return seen
}

describe("the times of a call", () => {
  const { read, write: writing, scan } = DEFAULTS.timeoutMs

  /** The longest time that each request was given, by method. */
  function limits(options: ResilienceOptions) {
    const given: [method: string, timeoutMs: number | undefined][] = []
    const { gate, runtime } = setUp()
    const note = <T>(method: string, request: RequestOptions | undefined, answer: () => T): T => {
      given.push([method, request?.timeoutMs])
      return answer()
    }
    const noting: Backend = {
      ...gate,
      get: (key, request) => note("get", request, () => gate.get(key)),
      getMany: (keys, request) => note("getMany", request, () => gate.getMany(keys)),
      exists: (key, request) => note("exists", request, () => gate.exists(key)),
      put: (key, item, request) => note("put", request, () => gate.put(key, item)),
      putMany: (items, request) => note("putMany", request, () => gate.putMany(items)),
      delete: (key, item, request) => note("delete", request, () => gate.delete(key, item)),
      deleteMany: (items, request) => note("deleteMany", request, () => gate.deleteMany(items)),
      probe: (keys, request) => note("probe", request, () => gate.probe(keys)),
      scan: (prefix, page) => note("scan", page, () => gate.scan(prefix, page)),
    }
    return { given, gate, runtime, backend: resilient(noting, { runtime, ...options }) }
  }

  async function callAll(backend: Backend) {
    await backend.get("a")
    await backend.getMany(["a"])
    await backend.exists("a")
    await backend.probe(["a"])
    await backend.put("a", write("1"))
    await backend.putMany(new Map([["a", write("1")]]))
    await backend.delete("a", { id: ID })
    await backend.deleteMany(new Map([["a", { id: ID }]]))
    await backend.scan("", { limit: 1 })
  }

  test.each<[ResilienceOptions, number, number, number]>([
    [{}, read, (writing * 3) / 4, scan],
    [{ timeoutMs: 1_000 }, 1_000, 750, 1_000],
    [{ timeoutMs: { write: 400 } }, read, 300, scan],
    [{ timeoutMs: 1_000, attemptTimeoutMs: 200 }, 1_000, 200, 1_000],
    [{ timeoutMs: 1_000, attemptTimeoutMs: { write: 5_000 } }, 1_000, 1_000, 1_000],
  ])(
    "with %o a read has %d ms, an attempt of a write %d, a page %d",
    async (options, readMs, writeMs, scanMs) => {
      const { given, backend } = limits(options)
      await callAll(backend)
      expect(given).toEqual([
        ...["get", "getMany", "exists", "probe"].map((method) => [method, readMs]),
        ...["put", "putMany", "delete", "deleteMany"].map((method) => [method, writeMs]),
        ["scan", scanMs],
      ])
    },
  )

  test("are those that are left, for every attempt after the first: no request outlives its call", async () => {
    const { given, gate, runtime, backend } = limits({ timeoutMs: 1_000 })
    gate.always("put", { landLate: new KvError("OUTCOME_UNKNOWN", "lost", { operation: "put" }) })
    const startedAt = runtime.monotonic()
    const starts: number[] = []
    const push = given.push.bind(given)
    given.push = (...items) => {
      starts.push(runtime.monotonic() - startedAt)
      return push(...items)
    }
    const call = watched(backend.put("a", write("1")))
    await runtime.advance(1_000)
    expect(call.error).toMatchObject({ code: "OUTCOME_UNKNOWN" })
    expect(given.length).toBeGreaterThan(2)
    for (const [index, [, timeoutMs = Number.POSITIVE_INFINITY]] of given.entries()) {
      expect((starts[index] ?? 0) + timeoutMs).toBeLessThanOrEqual(1_000)
    }
  })

  test.each([
    [{ timeoutMs: 0 }, /timeoutMs is a whole number of at least 1/],
    [{ timeoutMs: { read: -1 } }, /timeoutMs\.read is a whole number/],
    [{ timeoutMs: { reads: 1 } }, /no option "reads"/],
    [{ timeoutMs: "1s" }, /timeoutMs is a number, or an object of read, write, scan/],
    [{ attemptTimeoutMs: { scan: 1 } }, /no option "scan"/],
    [{ retryBudget: 1.1 }, /retryBudget is a number from 0 to 1/],
    [{ retryBudget: Number.NaN }, /retryBudget/],
    [{ retryBudget: -0.1 }, /retryBudget/],
    [{ retryBudget: "0.5" }, /retryBudget/],
    [{ maxConcurrency: 0 }, /maxConcurrency/],
    [{ maxQueue: -1 }, /maxQueue/],
  ])("and the other options are checked: %o", (options, message) => {
    const bad: ResilienceOptions = Object(options)
    expect(() => resilient(remoteMemory(), bad)).toThrow(
      expect.objectContaining({
        code: "INVALID_OPTION",
        operation: "open",
        message: expect.stringMatching(message),
      }),
    )
  })
})

describe("a slow read", () => {
  test("is joined by a second one, and the first answer counts", async () => {
    for (const winner of [0, 1]) {
      const { runtime, gate, backend } = setUp({ timeoutMs: 900 })
      await gate.put("a", write("1"))
      gate.hold("get")
      const call = watched(backend.get("a"))
      await runtime.advance(299)
      expect(gate.held()).toHaveLength(1)
      await runtime.advance(1)
      expect(gate.held()).toHaveLength(2)
      gate.held()[winner]?.release()
      await settle()
      expect(call.outcome).toMatchObject({ value: write("1").value })
      gate.releaseAll()
      await runtime.advance(900)
      expect(gate.count("get")).toBe(2)
    }
  })

  test("is never given up for another: it answers at 0.6 of its time, though every request takes so long", async () => {
    const { runtime, gate, backend } = setUp({ timeoutMs: 1_000 })
    gate.hold("get")
    const call = watched(backend.get("a"))
    await runtime.advance(600)
    gate.take("get").release()
    await settle()
    expect(Object.keys(call)).toEqual(["outcome"])
  })

  test("is not joined without a budget, nor more than once", async () => {
    for (const [retryBudget, requests] of [
      [0, 1],
      [1, 2],
    ] as const) {
      const { runtime, gate, backend } = setUp({ timeoutMs: 900, retryBudget })
      gate.hold("get")
      const call = watched(backend.get("a"))
      await runtime.advance(899)
      expect(gate.count("get")).toBe(requests)
      await runtime.advance(1)
      expect(call.error).toMatchObject({ code: "TIMEOUT" })
    }
  })

  test("that fails waits for the one that joined it, and the other way round", async () => {
    for (const first of [0, 1]) {
      const { runtime, gate, backend } = setUp({ timeoutMs: 900 })
      gate.hold("exists")
      const call = watched(backend.exists("a"))
      await runtime.advance(300)
      const held = gate.held()
      held[first]?.fail(UNAVAILABLE)
      await settle()
      expect(Object.keys(call)).toEqual([])
      held[1 - first]?.release()
      await settle()
      expect(call.outcome).toBe(false)
    }
  })

  test("and the one that joined it may both fail: then it is sent again", async () => {
    for (const first of [0, 1]) {
      const { runtime, gate, backend } = setUp({ timeoutMs: 900 })
      gate.script("get", { hold: "request" }, { hold: "request" })
      const call = watched(backend.get("a"))
      await runtime.advance(300)
      const held = gate.held()
      held[first]?.fail(UNAVAILABLE)
      await settle()
      held[1 - first]?.fail(UNAVAILABLE)
      await settle()
      expect(Object.keys(call)).toEqual([])
      await runtime.advance(300)
      expect(Object.keys(call)).toEqual(["outcome"])
      expect(gate.count("get")).toBe(3)
    }
  })

  test("of many keys is joined as a whole", async () => {
    const { runtime, gate, backend } = setUp({ timeoutMs: 900 })
    await gate.put("a", write("1"))
    gate.hold("getMany")
    const call = watched(backend.getMany(["a", "b"]))
    await runtime.advance(300)
    gate.held()[1]?.release()
    await settle()
    expect([...(call.outcome?.keys() ?? [])]).toEqual(["a"])
  })
})

test("a slow write is never open twice", async () => {
  const { runtime, gate, backend } = setUp({ timeoutMs: 1_200 })
  gate.hold("put")
  const call = watched(backend.put("a", write("1")))
  await runtime.advance(1_200)
  expect(call.error).toMatchObject({ code: "OUTCOME_UNKNOWN" })
  const puts = gate.calls.filter(({ operation }) => operation === "put")
  // The second began when the first was given up, which the limit of a backend ends at the same moment.
  expect(puts.length).toBeLessThanOrEqual(2)
})

describe("a slow batch of writes", () => {
  test("is answered by its rows, if it has left all of them", async () => {
    const { runtime, gate, backend } = setUp({ timeoutMs: 1_200 })
    gate.hold("putMany", "reply")
    const ids = ["a", "b"].map((key, at) => [key, `${ID.slice(0, -1)}${at + 1}`] as const)
    const call = watched(backend.putMany(new Map(ids.map(([key, id]) => [key, { ...write("1"), id }]))))
    await settle()
    await runtime.advance(299)
    expect(Object.keys(call)).toEqual([])
    await runtime.advance(1)
    expect(gate.count("probe")).toBe(1)
    for (const [key] of ids) {
      const row = await gate.get(key)
      expect(call.outcome?.get(key)).toEqual({ applied: true, version: row?.version, mayLandLate: true })
    }
    expect(gate.count("putMany")).toBe(1)
  })

  test.each(["request", "reply"] as const)(
    "goes on waiting while a row of it is missing, held at its %s",
    async (point) => {
      const { runtime, gate, backend } = setUp({ timeoutMs: 1_200 })
      gate.hold("putMany", point)
      const call = watched(backend.putMany(new Map([["a", write("1")]])))
      await settle()
      if (point === "reply") await gate.delete("a", { id: `${ID.slice(0, -1)}b` })
      await runtime.advance(300)
      expect(gate.count("probe")).toBe(1)
      expect(Object.keys(call)).toEqual([])
      gate.releaseAll()
      await settle()
      expect(call.outcome?.get("a")).toMatchObject({ applied: true })
      expect(call.outcome?.get("a")).not.toHaveProperty("mayLandLate")
    },
  )
})

describe("the retry budget", () => {
  test("lets a store in an outage send a tenth more than its calls, and at least one retry a second", async () => {
    const { runtime, gate, backend } = setUp()
    gate.always("get", { fail: UNAVAILABLE })
    const calls: { error?: unknown }[] = []
    for (let turn = 0; turn < 1_000; turn++) {
      calls.push(watched(backend.get("a")))
      await runtime.advance(1)
    }
    await runtime.advance(2_000)
    for (const { error } of calls) expect(error).toMatchObject({ code: "UNAVAILABLE", retryable: true })
    expect(gate.count("get")).toBeGreaterThan(1_050)
    expect(gate.count("get")).toBeLessThanOrEqual(1_000 + 100 + 10)
    const spent = calls.filter(({ error }) => String(error).includes("with the retry budget used up"))
    expect(spent.length).toBeGreaterThan(500)
  })

  test("is of the calls of the last 10 s", () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ waitMs: fc.nat(3_000), calls: fc.nat(300), tries: fc.nat(60) }), {
          maxLength: 40,
        }),
        fc.constantFrom(0, 0.1, 0.5, 1),
        (steps, share) => {
          const budget = new RetryBudget(share)
          const calls: number[] = []
          const retries: number[] = []
          let now = 5_000
          for (const step of steps) {
            now += step.waitMs
            for (let call = 0; call < step.calls; call++) {
              budget.count(now)
              calls.push(now)
            }
            for (let attempt = 0; attempt < step.tries; attempt++) {
              // The window is of whole seconds: the current one and the nine before it.
              const since = (Math.floor(now / 1_000) - 9) * 1_000
              const within = (times: number[]) => times.filter((at) => at >= since).length
              const allowed = share === 0 ? 0 : Math.max(10, share * within(calls))
              const granted = budget.spend(now)
              expect(granted).toBe(within(retries) < allowed)
              if (granted) retries.push(now)
            }
          }
        },
      ),
      { numRuns: 200 },
    )
  })
})

describe("the limit of open requests", () => {
  test("lets further calls wait, in order, and gives each the place of one that ended", async () => {
    const { gate, backend } = setUp({ maxConcurrency: 2 })
    gate.hold("get")
    const calls = ["a", "b", "c", "d"].map((key) => watched(backend.get(key)))
    await settle()
    expect(gate.calls.map(({ keys }) => keys[0])).toEqual(["a", "b"])
    gate.take("get").release()
    await settle()
    expect(gate.calls.map(({ keys }) => keys[0])).toEqual(["a", "b", "c"])
    gate.take("get").fail(new KvError("ACCESS_DENIED", "no", { operation: "get" }))
    gate.releaseAll()
    await settle()
    expect(gate.calls.map(({ keys }) => keys[0])).toEqual(["a", "b", "c", "d"])
    expect(calls.map((call) => "outcome" in call)).toEqual([true, false, true, true])
  })

  test("refuses at once, and for good, what a full queue does not hold", async () => {
    const { runtime, gate, backend } = setUp({ maxConcurrency: 1, maxQueue: 2 })
    gate.hold()
    for (const key of ["a", "b", "c"]) watched(backend.get(key))
    const refused = [
      watched(backend.get("d")),
      watched(backend.getMany(["d", "e"])),
      watched(backend.put("d", write("1"))),
      watched(backend.putMany(new Map([["d", write("1")]]))),
      watched(backend.deleteMany(new Map([["d", { id: ID }]]))),
      watched(backend.scan("", { limit: 1 })),
    ]
    await settle()
    for (const { error } of refused) {
      expect(error).toMatchObject({ code: "THROTTLED", queueFull: true, retryable: true })
    }
    await runtime.advance(20_000)
    expect(gate.count()).toBe(1)
  })

  test("ends a call that waits when its time is over: nothing was sent, so a write is not in doubt", async () => {
    const { runtime, gate, backend } = setUp({ maxConcurrency: 1, timeoutMs: { read: 500, write: 200 } })
    gate.hold()
    watched(backend.get("a"))
    const put = watched(backend.put("b", write("1")))
    await runtime.advance(200)
    expect(put.error).toMatchObject({
      code: "TIMEOUT",
      message: expect.stringMatching(/^it waited 200 ms .* was not sent$/),
    })
    // One error a call: a queue that runs out of time ends thousands of them at once.
    expect(put.error).not.toHaveProperty("cause")
    gate.releaseAll()
    await runtime.advance(1_000)
    expect(gate.count("put")).toBe(0)
  })

  test("counts a request until it ends, and no longer, however it ends", async () => {
    const { runtime, gate, backend } = setUp({ maxConcurrency: 1, timeoutMs: 300 })
    for (let round = 0; round < 3; round++) {
      gate.hold("get")
      const hanging = watched(backend.get("a"))
      await runtime.advance(300)
      expect(hanging.error).toMatchObject({ code: "TIMEOUT" })
      gate.releaseAll()
      gate.script("get", { fail: new KvError("CORRUPT_ENTRY", "bad", { operation: "get" }) })
      await expect(Promise.resolve(backend.get("a"))).rejects.toMatchObject({ code: "CORRUPT_ENTRY" })
      gate.script("put", { fail: UNAVAILABLE })
      const put = watched(backend.put("a", write("1")))
      await runtime.advance(300)
      expect(put.outcome).toMatchObject({ applied: true })
    }
  })

  test("frees a place though the request throws on the spot", async () => {
    const { gate, runtime } = setUp()
    const backend = resilient(
      {
        ...gate,
        exists: () => {
          throw new KvError("ACCESS_DENIED", "no", { operation: "exists" })
        },
      },
      { runtime, maxConcurrency: 1 },
    )
    for (let round = 0; round < 3; round++) {
      await expect(Promise.resolve(backend.exists("a"))).rejects.toMatchObject({ code: "ACCESS_DENIED" })
    }
    expect(await backend.get("a")).toBeUndefined()
  })
})
