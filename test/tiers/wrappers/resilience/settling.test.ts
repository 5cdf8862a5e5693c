import { describe, expect, test } from "vitest"
import { KvError, type KvErrorCode } from "../../../../tiers/errors.ts"
import { memory } from "../../../../tiers/memory.ts"
import { writeId } from "../../../../tiers/util/write-id.ts"
import type { CallObserver, Retry } from "../../../../tiers/wrappers/resilience/observer.ts"
import type { ResilienceOptions } from "../../../../tiers/wrappers/resilience/options.ts"
import { resilient } from "../../../../tiers/wrappers/resilience/resilience.ts"
import { gatedBackend } from "../../../support/gated-backend.ts"
import { remoteMemory } from "../../../support/remote-memory.ts"
import { settle, testRuntime } from "../../../support/runtime.ts"

const error = (code: KvErrorCode) => new KvError(code, `scripted ${code}`, { operation: "test" })
const THROTTLED = error("THROTTLED")
const DENIED = error("ACCESS_DENIED")
const LOST = error("OUTCOME_UNKNOWN")

function setUp(options: ResilienceOptions = {}) {
  const runtime = testRuntime()
  const retries: Retry[] = []
  const observer: CallObserver = {
    begin: () => ({
      scope: undefined,
      retried: (retry) => void retries.push(retry),
      ended() {},
      failed() {},
    }),
    run: (_, send, __, ...args) => send(...args),
    answered: undefined,
  }
  const other = remoteMemory({ runtime })
  const gate = gatedBackend({ backend: other })
  const backend = resilient(gate, { runtime, observer, retryBudget: 1, ...options })
  const write = (conditional = false) => ({
    value: Buffer.from("ours"),
    id: writeId(runtime, conditional),
  })
  /** The outcome of a call within its time; `meanwhile` runs after 100 ms. */
  const ended = async <T>(call: T | Promise<T>, meanwhile?: () => Promise<void>): Promise<T | KvError> => {
    let outcome: T | KvError = error("TIMEOUT")
    const settled = Promise.resolve(call).then(
      (answer) => {
        outcome = answer
      },
      (failure: unknown) => {
        if (!(failure instanceof KvError)) throw failure
        outcome = failure
      },
    )
    await settle()
    await runtime.advance(100)
    await meanwhile?.()
    await settle()
    await runtime.advance(4_900)
    await settled
    return outcome
  }
  return { runtime, gate, other, backend, write, ended, retries }
}

const unknown = (why: RegExp) => ({ code: "OUTCOME_UNKNOWN", key: "a", message: expect.stringMatching(why) })

/** A put in doubt, alone and in a batch: both are settled in the same way. */
describe.each(["put", "putMany"] as const)("a %s in doubt", (operation) => {
  function putting(options?: ResilienceOptions) {
    const set = setUp(options)
    const { backend, write, ended } = set
    const put = async (meanwhile?: () => Promise<void>) => {
      if (operation === "put") return ended(backend.put("a", write()), meanwhile)
      const answer = await ended(backend.putMany(new Map([["a", write()]])), meanwhile)
      return answer instanceof KvError ? answer : answer.get("a")
    }
    return { ...set, put }
  }

  test("is asked about once if the answer is final", async () => {
    const { gate, put } = putting()
    gate.script(operation, { landLate: LOST })
    gate.script("probe", { fail: DENIED })
    expect(await put()).toMatchObject(unknown(/scripted ACCESS_DENIED/))
    expect(gate.count("probe")).toBe(1)
  })

  test("is asked about once beyond the retry budget, and no more though that fails", async () => {
    const { gate, put } = putting({ retryBudget: 0 })
    gate.script(operation, { loseReply: LOST })
    gate.script("probe", { fail: THROTTLED })
    expect(await put()).toMatchObject(unknown(/scripted THROTTLED/))
    expect(gate.count("probe")).toBe(1)
  })

  test("is asked about again if its key failed alone", async () => {
    const { gate, put } = putting()
    gate.script(operation, { loseReply: LOST })
    gate.script("probe", { keys: { a: THROTTLED } })
    expect(await put()).toMatchObject({ applied: true, mayLandLate: true })
    expect([gate.count("probe"), gate.count("put") + gate.count("putMany")]).toEqual([2, 1])
  })

  test("is not sent again beyond the retry budget, and says so", async () => {
    const { gate, put } = putting({ retryBudget: 0 })
    gate.script(operation, { landLate: LOST })
    expect(await put()).toMatchObject(unknown(/it would have to be sent again/))
  })

  test("is asked about no more once it was applied under a condition", async () => {
    const { gate, put } = putting()
    gate.script(operation, { landLate: LOST })
    expect(await put()).toMatchObject({ applied: true, mayLandLate: true })
    expect(gate.count("probe")).toBe(1)
  })

  test("is asked about again if sending it again fails for now", async () => {
    const { gate, put } = putting()
    gate.script(operation, { landLate: LOST })
    gate.script("put", { fail: THROTTLED })
    expect(await put()).toMatchObject({ applied: true, mayLandLate: true })
    expect(gate.count("probe")).toBe(2)
  })

  test("is unknown at once if sending it again fails for good", async () => {
    const { gate, put } = putting()
    gate.script(operation, { landLate: LOST })
    gate.script("put", { fail: DENIED })
    expect(await put()).toMatchObject(unknown(/scripted ACCESS_DENIED/))
    expect(gate.count("probe")).toBe(1)
  })

  test("is asked about again if another writer came before it when it was sent again", async () => {
    const { gate, put, other, write } = putting()
    gate.script(operation, { landLate: LOST })
    gate.script("put", { hold: "request" })
    const overtaken = put(async () => {
      await other.put("a", { ...write(true), value: Buffer.from("theirs") })
      gate.take("put").release()
    })
    expect(await overtaken).toMatchObject(unknown(/another writer/))
    expect(gate.count("probe")).toBe(2)
    const row = await other.get("a")
    expect(row && Buffer.from(row.value).toString()).toBe("theirs")
  })
})

test("a put in doubt that another writer came before, and that is asked about no more, says so", async () => {
  const { gate, backend, other, write, ended } = setUp({ maxAttempts: 2 })
  gate.script("put", { landLate: LOST }, { hold: "request" })
  const overtaken = ended(backend.put("a", write()), async () => {
    await other.put("a", write(true))
    gate.take("put").release()
  })
  expect(await overtaken).toMatchObject(unknown(/another writer came before it/))
})

test("a create in doubt is asked about again while its row may appear, and no more once it cannot", async () => {
  for (const [theirs, questions] of [
    [false, 6],
    [true, 1],
  ] as const) {
    const { gate, backend, other, write, ended } = setUp({ maxAttempts: 7 })
    gate.script("put", { landLate: LOST })
    const call = backend.put("a", { ...write(true), condition: { absent: true } })
    await settle()
    if (theirs) await other.put("a", write(true))
    expect(await ended(call)).toMatchObject(unknown(theirs ? /another writer's row is there/ : /absent/))
    expect(gate.count("probe")).toBe(questions)
  }
})

describe("a batch of writes", () => {
  const both = (write: () => { value: Buffer; id: string }) =>
    new Map(["a", "b"].map((key) => [key, write()]))

  test("keeps what was applied when the rest is refused as a whole", async () => {
    const { gate, backend, write, ended } = setUp()
    gate.script("putMany", { keys: { b: THROTTLED } }, { fail: DENIED })
    const results = await ended(backend.putMany(both(write)))
    if (results instanceof KvError) throw results
    expect(results.get("a")).toMatchObject({ applied: true })
    expect(results.get("b")).toMatchObject({ code: "ACCESS_DENIED" })
  })

  test("asks no more about a key whose own answer is final", async () => {
    const { gate, backend, write, ended } = setUp()
    gate.script("putMany", { landLate: LOST })
    gate.script("probe", { keys: { a: DENIED } })
    const results = await ended(backend.putMany(both(write)))
    if (results instanceof KvError) throw results
    expect(results.get("a")).toMatchObject(unknown(/scripted ACCESS_DENIED/))
    expect(results.get("b")).toMatchObject({ applied: true })
    expect(gate.count("probe")).toBe(1)
  })

  test("takes what was not applied from the budget, and what is in doubt once not, whenever the doubt comes", async () => {
    const none = setUp({ retryBudget: 0 })
    none.gate.script("putMany", { keys: { a: THROTTLED } })
    const refused = await none.ended(none.backend.putMany(both(none.write)))
    if (refused instanceof KvError) throw refused
    expect(refused.get("a")).toMatchObject({ code: "THROTTLED" })
    expect(none.gate.count("putMany")).toBe(1)

    // Nine of the ten retries within 10 s are spent, and the batch takes the last.
    const fresh = setUp({ retryBudget: 0.01, backoffBaseMs: 0 })
    const spent = Array.from({ length: 9 }, () => {
      fresh.gate.script("exists", { fail: THROTTLED })
      return fresh.backend.exists("a")
    })
    await settle()
    await fresh.runtime.advance(0)
    await Promise.all(spent)
    fresh.gate.script("putMany", { keys: { a: THROTTLED } }, { keys: { a: LOST }, applied: true })
    const results = await fresh.ended(fresh.backend.putMany(both(fresh.write)))
    if (results instanceof KvError) throw results
    expect(results.get("a")).toMatchObject({ applied: true, mayLandLate: true })
  })

  test("is settled if it removes what is gone: nothing is sent again", async () => {
    const { gate, backend, write, ended } = setUp({ retryBudget: 0 })
    gate.script("deleteMany", { loseReply: LOST })
    const results = await ended(backend.deleteMany(new Map([["a", { id: write().id }]])))
    if (results instanceof KvError) throw results
    expect(results.get("a")).toEqual({ applied: true, mayLandLate: true })
  })

  test("tells how many keys are tried again, in doubt or refused", async () => {
    const { gate, backend, write, ended, retries } = setUp()
    gate.script("putMany", { keys: { a: LOST, b: THROTTLED } })
    await ended(backend.putMany(both(write)))
    expect(retries.map(({ keys }) => keys)).toEqual([2])
  })
})

describe("a batch of reads", () => {
  test("tells of settled keys only if there are some", async () => {
    const { gate, backend, ended } = setUp()
    const told: (readonly string[])[] = []
    gate.script("getMany", { keys: { a: THROTTLED, b: THROTTLED } }, { keys: { a: THROTTLED } })
    await ended(backend.getMany(["a", "b"], { early: (keys) => void told.push(keys) }))
    expect(told).toEqual([["b"]])
  })

  test("passes without a promise if nothing in it may be tried again", () => {
    const store = memory()
    const backend = resilient({ ...store, getMany: () => new Map([["a", DENIED]]) })
    expect(backend.getMany(["a"])).toEqual(new Map([["a", DENIED]]))
  })
})
