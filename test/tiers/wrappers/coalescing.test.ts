import { AsyncLocalStorage } from "node:async_hooks"
import fc from "fast-check"
import { describe, expect, test } from "vitest"
import type { Backend, BackendTraits, RequestOptions, Write } from "../../../tiers/backend.ts"
import { KvError, type KvErrorCode } from "../../../tiers/errors.ts"
import { memory, memoryStore } from "../../../tiers/memory.ts"
import { coalescing } from "../../../tiers/wrappers/coalescing.ts"
import { resilient } from "../../../tiers/wrappers/resilience/resilience.ts"
import { describeConformance } from "../../support/conformance/run.ts"
import { gatedBackend } from "../../support/gated-backend.ts"
import { remoteMemory } from "../../support/remote-memory.ts"
import { settle, testRuntime } from "../../support/runtime.ts"

const error = (code: KvErrorCode) => new KvError(code, `scripted ${code}`, { operation: "test" })
const bytes = (text: string) => new TextEncoder().encode(text)
const text = (value: Uint8Array | undefined) => value && new TextDecoder().decode(value)
const keysOf = (count: number) => Array.from({ length: count }, (_, index) => `key-${index}`)
const write = (key: string): Write => ({
  value: bytes(`value of ${key}`),
  id: Buffer.from(key.padEnd(16)).toString("hex").slice(0, 32),
})

/** A coalescing backend over a gated one that holds a value for each of `keys`. */
async function setUp(keys: readonly string[] = [], { traits }: { traits?: Partial<BackendTraits> } = {}) {
  const store = memory()
  for (const key of keys) await store.put(key, write(key))
  const gate = gatedBackend({ backend: store, traits: { maxReadBatch: 100, maxWriteBatch: 25, ...traits } })
  return { store, gate, backend: coalescing(gate) }
}

const outcomes = (calls: Iterable<unknown>) => Promise.allSettled(calls)

describe("concurrent gets", () => {
  test.each([
    [1, 1],
    [2, 1],
    [100, 1],
    [101, 2],
    [250, 3],
    [1_000, 10],
  ])("of %i keys travel in %i requests", async (count, requests) => {
    const keys = keysOf(count)
    const { gate, backend } = await setUp(keys)
    const entries = await Promise.all(keys.map((key) => backend.get(key)))
    expect(entries.map((entry) => text(entry?.value))).toEqual(keys.map((key) => `value of ${key}`))
    expect(gate.count()).toBe(requests)
    expect(gate.calls.flatMap(({ keys }) => keys).sort()).toEqual([...keys].sort())
  })

  test("a lone key travels by get, also as the odd one of a batch", async () => {
    const keys = keysOf(101)
    const { gate, backend } = await setUp(keys)
    await backend.get("key-0")
    expect(gate.count("get")).toBe(1)
    expect(gate.count("getMany")).toBe(0)
    await Promise.all(keys.map((key) => backend.get(key)))
    expect(gate.count("get")).toBe(2)
    expect(gate.count("getMany")).toBe(1)
  })

  test("are one request though each comes out of promise jobs of its own", async () => {
    const keys = keysOf(20)
    const { gate, backend } = await setUp(keys)
    const later = async (key: string, jobs: number) => {
      for (let job = 0; job < jobs; job++) await null
      return backend.get(key)
    }
    await Promise.all(keys.map((key, index) => later(key, index)))
    expect(gate.count()).toBe(1)
  })

  test("are one request though the first is made before the promise jobs of its turn", async () => {
    const { gate, backend } = await setUp(["a", "b"])
    const reads: unknown[] = []
    setImmediate(() => {
      reads.push(backend.get("a"))
      void Promise.resolve().then(() => reads.push(backend.get("b")))
    })
    await settle()
    await Promise.all(reads)
    expect(gate.calls.map(({ keys }) => keys)).toEqual([["a", "b"]])
  })

  test("a lone read leaves before the event loop turns", async () => {
    const { gate, backend } = await setUp(["a"])
    await new Promise<void>((resolve, reject) => {
      setImmediate(() => {
        void backend.get("a")
        setImmediate(() => {
          try {
            expect(gate.count("get")).toBe(1)
            resolve()
          } catch (error) {
            reject(error)
          }
        })
      })
    })
    const order: string[] = []
    gate.hold("get")
    setImmediate(() => order.push("immediate"))
    void backend.get("a")
    process.nextTick(() => process.nextTick(() => order.push(`ticks: ${gate.held().length} sent`)))
    await settle()
    expect(order).toEqual(["ticks: 1 sent", "immediate"])
    gate.releaseAll()
  })

  test("gets of the next turn do not wait for those under way", async () => {
    const { gate, backend } = await setUp(["a", "b"])
    gate.script("get", { hold: "request" })
    const first = backend.get("a")
    await settle()
    expect(text((await backend.get("b"))?.value)).toBe("value of b")
    gate.releaseAll()
    expect(text((await first)?.value)).toBe("value of a")
  })

  test("of one key are one request, and each caller's bytes are its own", async () => {
    const { gate, backend } = await setUp(["a", "b"])
    const [first, second, third, other] = await Promise.all([
      backend.get("a"),
      backend.get("a"),
      backend.get("a"),
      backend.get("b"),
    ])
    expect(gate.calls.map(({ keys }) => keys)).toEqual([["a", "b"]])
    first?.value.fill(0)
    second?.value.fill(1)
    expect(text(third?.value)).toBe("value of a")
    expect(third?.version).toBe(first?.version)
    expect(text(other?.value)).toBe("value of b")
  })

  test("of one key give each caller bytes of its own, though a slice of the backend's Buffer is no copy", async () => {
    const { gate } = await setUp(["a"])
    const buffers: Backend = { ...gate, get: () => ({ value: Buffer.from("value"), version: "1" }) }
    const backend = coalescing(buffers)
    const [first, second] = await Promise.all([backend.get("a"), backend.get("a")])
    first?.value.fill(0)
    expect(text(second?.value)).toBe("value")
  })

  test("an absent key is a miss for its callers alone", async () => {
    const { backend } = await setUp(["a"])
    const entries = await Promise.all([backend.get("absent"), backend.get("a"), backend.get("absent")])
    expect(entries.map((entry) => text(entry?.value))).toEqual([undefined, "value of a", undefined])
  })

  test("a key's own error rejects its callers alone", async () => {
    const { gate, backend } = await setUp(["a", "b"])
    const corrupt = error("CORRUPT_ENTRY")
    gate.script("getMany", { keys: { b: corrupt } })
    const [a, b, again] = await outcomes([backend.get("a"), backend.get("b"), backend.get("b")])
    expect(a).toMatchObject({ status: "fulfilled" })
    expect(b).toEqual({ status: "rejected", reason: corrupt })
    expect(again).toEqual({ status: "rejected", reason: corrupt })
  })

  test("a request that fails as a whole rejects all its callers with copies that name their keys", async () => {
    const keys = keysOf(150)
    const { gate, backend } = await setUp(keys)
    const unavailable = error("UNAVAILABLE")
    gate.script("getMany", { fail: unavailable })
    const results = await outcomes(keys.map((key) => backend.get(key)))
    for (const [index, result] of results.entries()) {
      const reason = { code: "UNAVAILABLE", retryable: true, key: keys[index], cause: unavailable }
      expect(result).toMatchObject(index < 100 ? { status: "rejected", reason } : { status: "fulfilled" })
    }
    expect(text((await backend.get("key-0"))?.value)).toBe("value of key-0")
  })

  test("a lone key's error and a fault of the backend pass as they are", async () => {
    const { gate, backend } = await setUp()
    const throttled = error("THROTTLED")
    gate.script("get", { fail: throttled })
    await expect(backend.get("a")).rejects.toBe(throttled)
    const bug = new TypeError("a fault of the backend")
    gate.script("getMany", { fail: bug })
    const results = await outcomes([backend.get("a"), backend.get("b")])
    for (const result of results) expect(result).toEqual({ status: "rejected", reason: bug })
  })

  test("nobody hangs on a backend that throws on the spot or answers nonsense", async () => {
    const { gate } = await setUp()
    const broken = coalescing({
      ...gate,
      get() {
        throw error("UNAVAILABLE")
      },
      getMany: () => JSON.parse("null"),
    })
    await expect(broken.get("a")).rejects.toMatchObject({ code: "UNAVAILABLE" })
    for (const result of await outcomes([broken.get("a"), broken.get("b")])) {
      expect(result.status).toBe("rejected")
    }
  })

  test("with a maxReadBatch of 1 each goes out at once by itself", async () => {
    const { gate, backend } = await setUp(["a", "b"], { traits: { maxReadBatch: 1 } })
    const reading = [backend.get("a"), backend.get("b")]
    expect(gate.calls.map(({ operation, keys }) => [operation, ...keys])).toEqual([
      ["get", "a"],
      ["get", "b"],
    ])
    await Promise.all(reading)
  })
})

describe("the callers", () => {
  test("are passed on with the request that serves them, in the order of their keys", async () => {
    const { gate } = await setUp(["a", "b"])
    const requests: [keys: readonly string[], request: RequestOptions | undefined][] = []
    const backend = coalescing({
      ...gate,
      get(key, request) {
        requests.push([[key], request])
        return gate.get(key)
      },
      getMany(keys, request) {
        requests.push([keys, request])
        return gate.getMany(keys)
      },
    })
    await Promise.all([
      backend.get("a", { callers: ["first"] }),
      backend.get("b", { callers: ["second"] }),
      backend.get("a", { callers: ["third"] }),
      backend.get("b"),
    ])
    await backend.get("b", { callers: ["fourth"] })
    await backend.get("b")
    await backend.getMany(["a", "b"], { callers: ["fifth"] })
    expect(requests).toEqual([
      [["a", "b"], { callers: ["first", "third", "second"], early: expect.any(Function) }],
      [["b"], { callers: ["fourth"] }],
      [["b"], undefined],
      [["a", "b"], { callers: ["fifth"] }],
    ])
  })

  test("the request has the first caller's asynchronous context, the callers keep their own", async () => {
    const scope = new AsyncLocalStorage<string>()
    const { gate } = await setUp(["a", "b"])
    const seen: unknown[] = []
    const backend = coalescing({
      ...gate,
      getMany(keys) {
        seen.push(scope.getStore())
        return gate.getMany(keys)
      },
    })
    const as = (caller: string, key: string) =>
      scope.run(caller, async () => {
        await backend.get(key)
        return scope.getStore()
      })
    expect(await Promise.all([as("first", "a"), as("second", "b")])).toEqual(["first", "second"])
    expect(seen).toEqual(["first"])
  })
})

describe("calls of any size", () => {
  test("getMany is cut into full requests, a bounded number at a time", async () => {
    const keys = keysOf(2_050)
    const { gate, backend } = await setUp(keys)
    gate.hold("getMany")
    const reading = backend.getMany([...keys, "absent"])
    let most = 0
    while (gate.count() < 21 || gate.held().length > 0) {
      await settle()
      most = Math.max(most, gate.held().length)
      gate.take().release()
    }
    const found = await reading
    expect(most).toBe(16)
    expect(gate.calls.map(({ keys }) => keys.length)).toEqual([...Array<number>(20).fill(100), 51])
    expect(found.size).toBe(2_050)
    for (const key of keys) expect(found.get(key)).toMatchObject({ value: write(key).value })
  })

  test("getMany of nothing asks nobody", async () => {
    const { gate, backend } = await setUp()
    expect(await backend.getMany([])).toEqual(new Map())
    expect(await backend.putMany(new Map())).toEqual(new Map())
    expect(await backend.deleteMany(new Map())).toEqual(new Map())
    expect(gate.count()).toBe(0)
  })

  test("getMany keeps each key's own error, and rejects with the first request that fails", async () => {
    const keys = keysOf(2_000)
    const { gate, backend } = await setUp(keys)
    const corrupt = error("CORRUPT_ENTRY")
    gate.script("getMany", { keys: { "key-7": corrupt } })
    const found = await backend.getMany(keys)
    expect(found.get("key-7")).toBe(corrupt)
    expect([...found.values()].filter((entry) => entry instanceof KvError)).toEqual([corrupt])

    const unavailable = error("UNAVAILABLE")
    gate.always("getMany", { fail: unavailable })
    const before = gate.count()
    await expect(backend.getMany(keys)).rejects.toBe(unavailable)
    await settle()
    expect(gate.count() - before).toBeLessThanOrEqual(16)
  })

  test("getMany sends nothing more once a request has failed, though others are served", async () => {
    const keys = keysOf(2_000)
    const { gate, backend } = await setUp(keys)
    const unavailable = error("UNAVAILABLE")
    gate.hold("getMany")
    gate.script("getMany", { fail: unavailable })
    const reading = backend.getMany(keys)
    gate.take().release()
    await expect(reading).rejects.toBe(unavailable)
    gate.releaseAll()
    await settle()
    expect(gate.count()).toBe(16)
  })

  test("getMany with a maxReadBatch of 1 reads point by point, a bounded number at a time", async () => {
    const keys = keysOf(40)
    const { gate, backend } = await setUp(keys, { traits: { maxReadBatch: 1 } })
    const corrupt = error("CORRUPT_ENTRY")
    gate.hold("get")
    gate.script("get", "pass", { fail: corrupt })
    const reading = backend.getMany([...keys, "absent"])
    await settle()
    expect(gate.held()).toHaveLength(16)
    gate.releaseAll()
    const found = await reading
    expect(found.size).toBe(40)
    expect(found.get("key-0")).toMatchObject({ value: write("key-0").value })
    expect(found.get("key-1")).toMatchObject({ code: "CORRUPT_ENTRY", key: "key-1" })
    expect(gate.count("getMany")).toBe(0)

    gate.script("get", { fail: error("UNAVAILABLE") })
    await expect(backend.getMany(keys)).rejects.toMatchObject({ code: "UNAVAILABLE", key: "key-0" })
  })

  test("putMany and deleteMany are cut into full requests, and every key has its result", async () => {
    const keys = keysOf(60)
    const { gate, backend, store } = await setUp()
    const throttled = error("THROTTLED")
    gate.script("putMany", { keys: { "key-3": throttled } })
    const written = await backend.putMany(new Map(keys.map((key) => [key, write(key)])))
    expect(gate.calls.map(({ keys }) => keys.length)).toEqual([25, 25, 10])
    expect(new Set(written.keys())).toEqual(new Set(keys))
    for (const key of keys) {
      if (key === "key-3") expect(written.get(key)).toBe(throttled)
      else expect(written.get(key)).toEqual({ applied: true, version: (await store.get(key))?.version })
    }
    const removed = await backend.deleteMany(new Map(keys.map((key) => [key, { id: write(key).id }])))
    expect(removed).toEqual(new Map(keys.map((key) => [key, { applied: true }])))
    expect(await Promise.all(keys.map((key) => store.exists(key)))).not.toContain(true)
  })

  test("mayLandLate passes through", async () => {
    const { gate } = await setUp()
    const late = { applied: true, mayLandLate: true } as const
    const backend = coalescing({
      ...gate,
      put: async () => late,
      delete: async () => late,
      putMany: async (writes) => new Map([...writes.keys()].map((key) => [key, late])),
    })
    expect(await backend.put("a", write("a"))).toBe(late)
    expect(await backend.delete("a", { id: write("a").id })).toBe(late)
    const keys = keysOf(30)
    const results = await backend.putMany(new Map(keys.map((key) => [key, write(key)])))
    for (const key of keys) expect(results.get(key)).toBe(late)
  })

  test("a write that is refused as a whole rejects as one that fits in a request does", async () => {
    for (const count of [25, 60]) {
      const { gate, backend } = await setUp()
      const missing = error("STORE_NOT_FOUND")
      gate.always("putMany", { fail: missing })
      const writes = new Map(keysOf(count).map((key) => [key, write(key)]))
      await expect(backend.putMany(writes)).rejects.toBe(missing)
    }
  })

  test.each(["as a whole", "key by key"])(
    "in an outage, %s, no more is sent, and what was not is not in doubt",
    async (how) => {
      const keys = keysOf(25 * 40)
      const { gate, backend } = await setUp()
      const lost = error("OUTCOME_UNKNOWN")
      const each = Object.fromEntries(keys.map((key) => [key, lost]))
      gate.script("putMany", "pass")
      gate.always("putMany", how === "as a whole" ? { loseReply: lost } : { keys: each, applied: true })
      const results = await backend.putMany(new Map(keys.map((key) => [key, write(key)])))
      const sent = gate.count("putMany")
      expect(sent).toBeLessThanOrEqual(17)
      expect(results.size).toBe(keys.length)
      const codes = keys.map((key) => {
        const result = results.get(key)
        return result instanceof KvError ? result.code : result?.applied
      })
      const counted = (code: unknown) => codes.filter((each) => each === code).length
      expect(counted(true)).toBe(25)
      expect(counted("OUTCOME_UNKNOWN")).toBe(25 * (sent - 1))
      expect(counted("UNAVAILABLE")).toBe(25 * (40 - sent))
      const unsent = results.get("key-999")
      expect(unsent).toMatchObject({ code: "UNAVAILABLE", key: "key-999" })
      expect(unsent).toHaveProperty("message", expect.stringMatching(/^not sent/))
    },
  )
})

test("no caller gets another key's value, hangs, or reads an error as a miss", async () => {
  const present = keysOf(12)
  const keys = [...present, "absent-1", "absent-2"]
  const fault = fc.constantFrom("none", "none", "some keys", "whole", "no more")
  await fc.assert(
    fc.asyncProperty(
      fc.scheduler(),
      fc.array(fc.tuple(fc.constantFrom(...keys), fc.nat({ max: 3 })), { minLength: 1, maxLength: 40 }),
      fc.array(fault, { maxLength: 10 }),
      fc.integer({ min: 1, max: 5 }),
      async (scheduler, reads, faults, maxReadBatch) => {
        const { store, gate } = await setUp(present, { traits: { maxReadBatch } })
        const answered: { keys: readonly string[]; failed: Set<string> }[] = []
        const rest = [...faults]
        // Answers come in any order; a batch answers with its keys in another order than it was asked.
        const serve = async (asked: readonly string[]) => {
          await scheduler.schedule(Promise.resolve(), `serve ${asked.join()}`)
          const fault = rest.shift() ?? "none"
          if (fault === "whole" || (fault === "some keys" && asked.length === 1)) {
            answered.push({ keys: asked, failed: new Set(asked) })
            throw error("UNAVAILABLE")
          }
          const failed = new Set(fault === "some keys" ? asked.filter((_, index) => index % 2 === 0) : [])
          answered.push({ keys: asked, failed })
          const found = await store.getMany([...asked].reverse())
          return new Map([...found, ...[...failed].map((key) => [key, error("THROTTLED")] as const)])
        }
        const backend = coalescing({
          ...gate,
          getMany: serve,
          async get(key) {
            const entry = (await serve([key])).get(key)
            if (entry instanceof KvError) throw entry
            return entry
          },
        })

        const callers = reads.map(async ([key, wait]) => {
          for (let turn = 0; turn < wait; turn++) await scheduler.schedule(Promise.resolve(), `before ${key}`)
          try {
            return { key, found: text((await backend.get(key))?.value) }
          } catch (error) {
            return { key, error }
          }
        })
        const all = Promise.all(callers)
        await scheduler.waitFor(all)

        const failedKeys = new Set(answered.flatMap(({ failed }) => [...failed]))
        for (const result of await all) {
          if ("error" in result) {
            expect(failedKeys).toContain(result.key)
            expect(result.error).toBeInstanceOf(KvError)
          } else
            expect(result.found).toBe(present.includes(result.key) ? `value of ${result.key}` : undefined)
        }
        for (const { keys } of answered) {
          expect(keys.length).toBeLessThanOrEqual(maxReadBatch)
          expect(new Set(keys).size).toBe(keys.length)
        }
        expect(answered.length).toBeLessThanOrEqual(reads.length)
      },
    ),
    { numRuns: 200 },
  )
})

test("the number of requests is the least possible, within 2 percent", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 3_000 }),
      fc.integer({ min: 2, max: 100 }),
      async (count, size) => {
        const { gate, backend } = await setUp([], { traits: { maxReadBatch: size } })
        await Promise.all(keysOf(count).map((key) => backend.get(key)))
        expect(gate.count()).toBeLessThanOrEqual(1.02 * Math.ceil(count / size))
      },
    ),
    { numRuns: 30 },
  )
})

test("over resilience, keys that the service leaves out are asked for again and never missed", async () => {
  const runtime = testRuntime()
  const keys = keysOf(100)
  const { gate } = await setUp(keys)
  const backend = coalescing(resilient(gate, { runtime }))
  const unprocessed = Object.fromEntries(keysOf(30).map((key) => [key, error("THROTTLED")]))
  gate.script("getMany", { keys: unprocessed })
  const reading = Promise.all(keys.map((key) => backend.get(key)))
  await settle()
  await runtime.advance(5_000)
  expect((await reading).map((entry) => text(entry?.value))).toEqual(keys.map((key) => `value of ${key}`))
  expect(gate.calls.map(({ keys }) => keys.length)).toEqual([100, 30])
})

describeConformance("coalescing(resilient(memory))", {
  createStore(runtime) {
    const store = memoryStore()
    const traits = { maxReadBatch: 100, maxWriteBatch: 25 }
    const remote = () => gatedBackend({ backend: remoteMemory({ runtime, store }), traits })
    return { connect: () => coalescing(resilient(remote(), { runtime })) }
  },
})
