import fc from "fast-check"
import { describe, expect, test } from "vitest"
import type { Backend, Removal, Write, WriteResult } from "../../../../tiers/backend.ts"
import { KvError } from "../../../../tiers/errors.ts"
import { resilient } from "../../../../tiers/wrappers/resilience/resilience.ts"
import { type Fault, gatedBackend } from "../../../support/gated-backend.ts"
import { wasWrittenBy } from "../../../support/heads.ts"
import { remoteMemory } from "../../../support/remote-memory.ts"
import { settle, testRuntime } from "../../../support/runtime.ts"

const LOST = new KvError("OUTCOME_UNKNOWN", "the reply was lost", { operation: "test" })
const THROTTLED = new KvError("THROTTLED", "slow down", { operation: "test" })
const DENIED = new KvError("ACCESS_DENIED", "not allowed", { operation: "test" })

const KEY = "key"
const OWN = "a".repeat(32)
const bytes = (text: string) => new TextEncoder().encode(text)

type Kind = "put" | "create" | "swap" | "conditional delete" | "delete"
/** `applied`: with its reply lost. `not applied`: neither then nor later. */
type FirstAttempt = "applied" | "not applied"
type Meanwhile = "nothing" | "overwritten" | "deleted"

/** What the caller of a write is told whose first attempt was left without an answer. */
const TABLE: readonly [Kind, FirstAttempt, Meanwhile, "applied" | "applied, with its version" | "unknown"][] =
  [
    ["put", "applied", "nothing", "applied"],
    ["put", "applied", "overwritten", "applied, with its version"],
    ["put", "applied", "deleted", "applied, with its version"],
    ["put", "not applied", "nothing", "applied, with its version"],
    ["put", "not applied", "overwritten", "applied, with its version"],
    ["put", "not applied", "deleted", "applied, with its version"],

    ["create", "applied", "nothing", "applied, with its version"],
    ["create", "applied", "overwritten", "unknown"],
    ["create", "applied", "deleted", "applied, with its version"],
    ["create", "not applied", "nothing", "applied, with its version"],
    ["create", "not applied", "overwritten", "unknown"],
    ["create", "not applied", "deleted", "applied, with its version"],

    ["swap", "applied", "nothing", "applied, with its version"],
    ["swap", "applied", "overwritten", "unknown"],
    ["swap", "applied", "deleted", "unknown"],
    ["swap", "not applied", "nothing", "applied, with its version"],
    ["swap", "not applied", "overwritten", "unknown"],
    ["swap", "not applied", "deleted", "unknown"],

    ["conditional delete", "applied", "nothing", "applied"],
    ["conditional delete", "applied", "overwritten", "unknown"],
    ["conditional delete", "applied", "deleted", "unknown"],
    ["conditional delete", "not applied", "nothing", "applied"],
    ["conditional delete", "not applied", "overwritten", "unknown"],
    ["conditional delete", "not applied", "deleted", "unknown"],

    ["delete", "applied", "nothing", "applied"],
    ["delete", "applied", "overwritten", "applied"],
    ["delete", "applied", "deleted", "applied"],
    ["delete", "not applied", "nothing", "applied"],
    ["delete", "not applied", "overwritten", "applied"],
    ["delete", "not applied", "deleted", "applied"],
  ]

describe("a write whose first attempt was left without an answer", () => {
  test.each(TABLE)("%s, %s, then %s: %s", async (kind, firstAttempt, meanwhile, expected) => {
    const { gate, call, another, finish } = await begin(kind)
    gate.script(methodOf(kind), firstAttempt === "applied" ? { loseReply: LOST } : { landLate: LOST })
    const outcome = call()
    await settle()
    if (meanwhile === "overwritten") await another.put()
    if (meanwhile === "deleted") await another.delete()
    const result = await finish(outcome)

    if (expected === "unknown") {
      expect(result).toMatchObject({ code: "OUTCOME_UNKNOWN", key: KEY })
      expect(result).toHaveProperty("message", expect.stringContaining("after 2 attempts"))
    } else {
      const version = expected === "applied" ? {} : { version: (await gate.get(KEY))?.version }
      expect(result).toEqual({ applied: true, mayLandLate: true, ...version })
    }
    const ids = gate.calls.flatMap(({ writes }) => [...writes.values()].map(({ id }) => id))
    expect(new Set(ids)).toEqual(new Set([OWN]))
  })

  test("a put that was found applied is not sent again, over what may have come after it", async () => {
    const { gate, call, finish } = await begin("put")
    gate.script("put", { loseReply: LOST })
    await finish(call())
    expect(gate.count("put")).toBe(1)
  })

  test("is applied if it lands before the second attempt, though the backend takes it for another's", async () => {
    for (const kind of ["create", "swap", "conditional delete"] as const) {
      const { gate, call, finish } = await begin(kind, withoutRecognition)
      gate.script(methodOf(kind), { landLate: LOST }, { hold: "request" })
      const outcome = call()
      const first = gate.last(methodOf(kind))
      const ending = finish(outcome)
      while (gate.held().length === 0) await settle()
      await first.land()
      gate.releaseAll()
      expect(await ending).toEqual({ applied: true, mayLandLate: true })
      expect(gate.count("probe")).toBe(1)
    }
  })

  test("a conditional delete that left nothing to ask for is unknown", async () => {
    const { gate, call, finish } = await begin("conditional delete", withoutTraces)
    gate.script("delete", { loseReply: LOST })
    expect(await finish(call())).toMatchObject({ code: "OUTCOME_UNKNOWN" })
  })

  test("a create whose row has expired by now was applied", async () => {
    for (const wrap of [withoutRecognition, (backend: Backend) => backend]) {
      const { gate, call, finish, runtime } = await begin("create", wrap)
      gate.script("put", { loseReply: LOST })
      const outcome = call({ expiresAt: runtime.now() + 1 })
      expect(await finish(outcome)).toMatchObject({ applied: true, mayLandLate: true })
      expect(await gate.exists(KEY)).toBe(false)
    }
  })

  test.each([THROTTLED, DENIED, LOST])("stays in doubt when the rest fails: %s", async (later) => {
    for (const kind of KINDS) {
      const { gate, call, finish } = await begin(kind)
      gate.script(methodOf(kind), { landLate: LOST })
      const outcome = call()
      gate.always(methodOf(kind), { fail: later })
      expect(await finish(outcome)).toMatchObject({ code: "OUTCOME_UNKNOWN", key: KEY, cause: later })
    }
  })

  test("an attempt that hangs is one without an answer", async () => {
    for (const kind of KINDS) {
      const { gate, call, finish } = await begin(kind)
      gate.script(methodOf(kind), { hold: "request" })
      expect(await finish(call())).toMatchObject({ applied: true, mayLandLate: true })
    }
  })

  test("a question that hangs or fails is asked again, within the deadline", async () => {
    const { gate, call, finish } = await begin("put")
    gate.script("put", { loseReply: LOST })
    gate.script("probe", { fail: THROTTLED }, { hold: "request" }, { fail: THROTTLED })
    expect(await finish(call())).toEqual({ applied: true, mayLandLate: true })
    expect(gate.count("probe")).toBe(4)
    expect(gate.count("put")).toBe(1)
  })

  test("a write that was never in doubt says nothing of landing late", async () => {
    for (const kind of KINDS) {
      const { gate, call, finish } = await begin(kind)
      gate.script(methodOf(kind), { fail: THROTTLED })
      const result = await finish(call())
      expect(result).toMatchObject({ applied: true })
      expect(result).not.toHaveProperty("mayLandLate")
      expect(gate.count("probe")).toBe(0)
    }
  })
})

test("what a caller is told of a write is so, whatever befalls its attempts and whoever else writes", async () => {
  const fault = fc.constantFrom<Fault>(
    "pass",
    { fail: THROTTLED },
    { loseReply: LOST },
    { landLate: LOST },
    { hold: "request" },
    { hold: "reply" },
  )
  const step = fc.constantFrom("nothing", "nothing", "overwrite", "delete", "land")
  const script = fc.array(fault, { maxLength: 7 })
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...KINDS),
      script,
      script,
      fc.array(step, { maxLength: 12 }),
      fc.boolean(),
      async (kind, attempts, questions, steps, traces) => {
        const took = new Set<string>()
        const rest = [...steps]
        const { gate, call, another, finish } = await begin(kind, (backend) =>
          noting(took, traces ? backend : withoutTraces(backend), async () => {
            const next = rest.shift()
            if (next === "overwrite") await another.put()
            if (next === "delete") await another.delete()
            if (next === "land") {
              await gate.calls.find(({ mayLand, writes }) => mayLand && writes.size > 0)?.land()
            }
          }),
        )
        gate.script(methodOf(kind), ...attempts)
        gate.script("probe", ...questions.filter((fault) => fault !== "pass" && !("landLate" in fault)))
        const outcome = await finish(call())

        const doubtful = (fault: Fault) => fault !== "pass" && !("fail" in fault)
        const inDoubt = attempts.slice(0, gate.count(methodOf(kind))).some(doubtful)
        if (outcome instanceof KvError) {
          if (outcome.code !== "OUTCOME_UNKNOWN") expect(took.has(OWN)).toBe(false)
          if (!inDoubt) expect(outcome.code).not.toBe("OUTCOME_UNKNOWN")
        } else {
          expect(outcome.applied).toBe(took.has(OWN))
          expect(outcome.mayLandLate ?? false).toBe(inDoubt)
        }
      },
    ),
    { numRuns: 500 },
  )
})

const KINDS: readonly Kind[] = ["put", "create", "swap", "conditional delete", "delete"]

function methodOf(kind: Kind): "put" | "delete" {
  return kind === "delete" || kind === "conditional delete" ? "delete" : "put"
}

/** A store in which the write may go through: `call` makes it, `finish` moves time until it has ended, `another` is another writer. */
async function begin(kind: Kind, wrap: (backend: Backend) => Backend = (backend) => backend) {
  const runtime = testRuntime()
  const store = wrap(remoteMemory({ runtime }))
  let writes = 0
  const id = () => (++writes).toString(16).padStart(32, "0")
  const another = {
    put: () => store.put(KEY, { value: bytes("another's"), id: id() }),
    delete: () => store.delete(KEY, { id: id() }),
  }
  if (kind !== "create") await store.put(KEY, { value: bytes("before"), id: id() })
  const version = (await store.get(KEY))?.version ?? ""

  const gate = gatedBackend({ backend: store })
  const backend = resilient(gate, { runtime })
  const call = (more: Partial<Write> = {}): Promise<WriteResult> => {
    const own: Write = { value: bytes("own"), id: OWN, ...more }
    if (kind === "put") return backend.put(KEY, own)
    if (kind === "create") return backend.put(KEY, { ...own, condition: { absent: true } })
    if (kind === "swap") return backend.put(KEY, { ...own, condition: { version } })
    const removal: Removal = kind === "delete" ? { id: OWN } : { id: OWN, condition: { version } }
    return backend.delete(KEY, removal)
  }
  const finish = async (call: Promise<WriteResult>): Promise<WriteResult | KvError> => {
    let outcome: WriteResult | KvError | undefined
    call.then(
      (result) => {
        outcome = result
      },
      (error: unknown) => {
        if (!(error instanceof KvError)) throw error
        outcome = error
      },
    )
    await settle()
    for (let passedMs = 0; outcome === undefined && passedMs < 5_000; passedMs += 50)
      await runtime.advance(50)
    if (outcome === undefined) throw new Error("the write hangs")
    return outcome
  }
  return { runtime, gate, call, finish, another }
}

/** As a backend that has already removed what a conditional delete left. */
function withoutTraces(backend: Backend): Backend {
  return {
    ...backend,
    async delete(key, removal) {
      const result = await backend.delete(key, removal)
      if (result.applied) await backend.delete(key, { id: removal.id })
      return result
    },
  }
}

/** As a backend that looks at the condition of a write, or at the expiry of a row, before it looks whose row it is. */
function withoutRecognition(backend: Backend): Backend {
  const unlessOwn = async (key: string, id: string, apply: () => Promise<WriteResult>) =>
    (await wasWrittenBy(backend, key, id)) ? { applied: false } : apply()
  return {
    ...backend,
    put: (key, write) => unlessOwn(key, write.id, () => backend.put(key, write)),
    delete: (key, removal) => unlessOwn(key, removal.id, () => backend.delete(key, removal)),
  }
}

/** Notes in `took` the ids of the writes that took effect; `first` runs before each call of the write under test. */
function noting(took: Set<string>, backend: Backend, first: () => Promise<void>): Backend {
  const note = (id: string, result: WriteResult) => {
    if (result.applied) took.add(id)
    return result
  }
  const before = async (id: string) => {
    if (id === OWN) await first()
  }
  return {
    ...backend,
    async put(key, write) {
      await before(write.id)
      return note(write.id, await backend.put(key, write))
    },
    async delete(key, removal) {
      await before(removal.id)
      return note(removal.id, await backend.delete(key, removal))
    },
    async probe(keys) {
      await first()
      return backend.probe(keys)
    },
  }
}
