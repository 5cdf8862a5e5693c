import fc from "fast-check"
import { describe, expect, test } from "vitest"
import type { Backend, Removal, Write, WriteResult } from "../../../../tiers/backend.ts"
import { KvError } from "../../../../tiers/errors.ts"
import { DEFAULTS } from "../../../../tiers/limits.ts"
import { writeId } from "../../../../tiers/util/write-id.ts"
import type { ResilienceOptions } from "../../../../tiers/wrappers/resilience/options.ts"
import { resilient } from "../../../../tiers/wrappers/resilience/resilience.ts"
import { type Fault, gatedBackend } from "../../../support/gated-backend.ts"
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
/** `replaced`: by a write without a condition. `swapped`: by one on the version that was there. */
type Meanwhile = "nothing" | "replaced" | "swapped" | "deleted"
/** Whether the backend knows when a row was written. */
type Times = "known" | "unknown"
/** `overtaken`: applied, without a version. `own`: its own row is there. `again`: applied by the attempt that was sent again. */
type Ending = "own" | "again" | "overtaken" | "removed" | "unknown"

/** What the caller of a write is told whose first attempt was left without an answer. */
const TABLE: readonly [Kind, FirstAttempt, Meanwhile, Readonly<Record<Times, Ending>>][] = [
  ["put", "applied", "nothing", { known: "own", unknown: "own" }],
  ["put", "applied", "replaced", { known: "overtaken", unknown: "unknown" }],
  ["put", "applied", "swapped", { known: "unknown", unknown: "unknown" }],
  ["put", "applied", "deleted", { known: "again", unknown: "again" }],
  ["put", "not applied", "nothing", { known: "again", unknown: "unknown" }],
  ["put", "not applied", "replaced", { known: "overtaken", unknown: "unknown" }],
  ["put", "not applied", "swapped", { known: "unknown", unknown: "unknown" }],
  ["put", "not applied", "deleted", { known: "again", unknown: "again" }],

  ["create", "applied", "nothing", { known: "own", unknown: "own" }],
  ["create", "applied", "replaced", { known: "unknown", unknown: "unknown" }],
  ["create", "applied", "swapped", { known: "unknown", unknown: "unknown" }],
  ["create", "applied", "deleted", { known: "unknown", unknown: "unknown" }],
  ["create", "not applied", "nothing", { known: "unknown", unknown: "unknown" }],
  ["create", "not applied", "replaced", { known: "unknown", unknown: "unknown" }],
  ["create", "not applied", "deleted", { known: "unknown", unknown: "unknown" }],

  ["swap", "applied", "nothing", { known: "own", unknown: "own" }],
  ["swap", "applied", "replaced", { known: "unknown", unknown: "unknown" }],
  ["swap", "applied", "swapped", { known: "unknown", unknown: "unknown" }],
  ["swap", "applied", "deleted", { known: "unknown", unknown: "unknown" }],
  ["swap", "not applied", "nothing", { known: "again", unknown: "again" }],
  ["swap", "not applied", "replaced", { known: "unknown", unknown: "unknown" }],
  ["swap", "not applied", "swapped", { known: "unknown", unknown: "unknown" }],
  ["swap", "not applied", "deleted", { known: "unknown", unknown: "unknown" }],

  ["conditional delete", "applied", "nothing", { known: "removed", unknown: "removed" }],
  ["conditional delete", "applied", "replaced", { known: "unknown", unknown: "unknown" }],
  ["conditional delete", "applied", "deleted", { known: "unknown", unknown: "unknown" }],
  ["conditional delete", "not applied", "nothing", { known: "removed", unknown: "removed" }],
  ["conditional delete", "not applied", "replaced", { known: "unknown", unknown: "unknown" }],
  ["conditional delete", "not applied", "swapped", { known: "unknown", unknown: "unknown" }],
  ["conditional delete", "not applied", "deleted", { known: "unknown", unknown: "unknown" }],

  ["delete", "applied", "nothing", { known: "removed", unknown: "removed" }],
  ["delete", "applied", "replaced", { known: "overtaken", unknown: "unknown" }],
  ["delete", "applied", "deleted", { known: "removed", unknown: "removed" }],
  ["delete", "not applied", "nothing", { known: "removed", unknown: "unknown" }],
  ["delete", "not applied", "replaced", { known: "overtaken", unknown: "unknown" }],
  ["delete", "not applied", "swapped", { known: "unknown", unknown: "unknown" }],
  ["delete", "not applied", "deleted", { known: "removed", unknown: "removed" }],
]

describe.each(["known", "unknown"] as const)(
  "a write whose first attempt was left without an answer, where the times of rows are %s",
  (times) => {
    test.each(
      TABLE.map((row) => [...row.slice(0, 3), row[3][times]] as [Kind, FirstAttempt, Meanwhile, Ending]),
    )("%s, %s, then %s: %s", async (kind, firstAttempt, meanwhile, expected) => {
      const { gate, call, another, finish } = await begin(kind, { clock: times === "known" })
      gate.script(methodOf(kind), firstAttempt === "applied" ? { loseReply: LOST } : { landLate: LOST })
      const outcome = call()
      await settle()
      if (meanwhile === "replaced") await another.put()
      if (meanwhile === "swapped") await another.swap()
      if (meanwhile === "deleted") await another.delete()
      const before = (await gate.get(KEY))?.version
      const result = await finish(outcome)

      const there = await gate.get(KEY)
      if (expected === "unknown") expect(result).toMatchObject({ code: "OUTCOME_UNKNOWN", key: KEY })
      else {
        const version = expected === "own" || expected === "again" ? { version: there?.version } : {}
        expect(result).toEqual({ applied: true, mayLandLate: true, ...version })
      }
      // What is there is another writer's still, unless the write was sent again.
      if (expected !== "again" && expected !== "removed") expect(there?.version).toBe(before)
      if (expected === "removed") expect(there).toBeUndefined()
      expect(gate.count(methodOf(kind))).toBeLessThanOrEqual(2)
      if (kind === "create") expect(gate.count("put")).toBe(1)
    })
  },
)

describe("a write in doubt", () => {
  test("is sent again with a new identity, under a condition on the row that was found", async () => {
    const { gate, call, finish, version } = await begin("put")
    gate.script("put", { landLate: LOST })
    await finish(call())
    const [, again] = gate.calls.filter(({ operation }) => operation === "put")
    const sent = again?.writes.get(KEY)
    expect(sent).toMatchObject({ condition: { version } })
    expect(sent?.id).toMatch(/^[0-9a-f]{32}$/)
    expect(sent?.id).not.toBe(OWN)
  })

  test("that was found is not sent again, over what may have come after it", async () => {
    const { gate, call, finish } = await begin("put")
    gate.script("put", { loseReply: LOST })
    await finish(call())
    expect(gate.count("put")).toBe(1)
  })

  test("knows a row that this process had seen for an older one", async () => {
    for (const kind of ["put", "delete"] as const) {
      const { gate, call, finish, version } = await begin(kind, { clock: false })
      gate.script(methodOf(kind), { landLate: LOST })
      expect(await finish(call({ seen: version }))).toMatchObject({ applied: true, mayLandLate: true })
    }
  })

  test("trusts no version that can come back", async () => {
    for (const kind of ["put", "delete", "swap"] as const) {
      const { gate, call, finish, version } = await begin(kind, { clock: false }, recurring)
      gate.script(methodOf(kind), { landLate: LOST })
      expect(await finish(call({ seen: version }))).toMatchObject({ code: "OUTCOME_UNKNOWN" })
      expect(gate.count(methodOf(kind))).toBe(1)
    }
  })

  test("is applied if it lands between the question and the attempt that is sent again", async () => {
    for (const kind of ["put", "swap", "conditional delete"] as const) {
      const { gate, call, finish } = await begin(kind)
      gate.script(methodOf(kind), { landLate: LOST }, { hold: "request" })
      const outcome = call()
      const first = gate.last(methodOf(kind))
      const ending = finish(outcome)
      while (gate.held().length === 0) await settle()
      await first.land()
      const landed = (await gate.get(KEY))?.version
      gate.releaseAll()
      expect(await ending).toMatchObject({ applied: true, mayLandLate: true })
      expect((await gate.get(KEY))?.version).toBe(landed)
    }
  })

  test("is applied if a create lands while it is asked for", async () => {
    const { gate, call, finish } = await begin("create")
    gate.script("put", { landLate: LOST })
    gate.script("probe", { hold: "reply" })
    const outcome = call()
    const ending = finish(outcome)
    while (gate.held().length === 0) await settle()
    await gate.last("put").land()
    gate.releaseAll()
    expect(await ending).toMatchObject({ applied: true, version: (await gate.get(KEY))?.version })
    expect(gate.count("put")).toBe(1)
  })

  test("is unknown if it was a conditional delete that left nothing to ask for", async () => {
    const { gate, call, finish } = await begin("conditional delete", {}, withoutTraces)
    gate.script("delete", { loseReply: LOST })
    expect(await finish(call())).toMatchObject({ code: "OUTCOME_UNKNOWN" })
  })

  test("is applied if its row is there, and has expired", async () => {
    const { gate, call, finish, runtime } = await begin("create")
    gate.script("put", { loseReply: LOST })
    const outcome = call({ expiresAt: runtime.now() + 1 })
    expect(await finish(outcome)).toMatchObject({ applied: true, mayLandLate: true })
    expect(await gate.exists(KEY)).toBe(false)
  })

  test.each([THROTTLED, DENIED, LOST])("stays in doubt when the rest fails: %s", async (later) => {
    for (const kind of KINDS) {
      const { gate, call, finish } = await begin(kind)
      gate.script(methodOf(kind), { landLate: LOST })
      const outcome = call()
      gate.always("probe", { fail: later })
      expect(await finish(outcome)).toMatchObject({ code: "OUTCOME_UNKNOWN", key: KEY, cause: later })
    }
  })

  test("is settled within the time of the call if its attempt hangs", async () => {
    for (const kind of KINDS) {
      const { gate, call, finish } = await begin(kind)
      gate.script(methodOf(kind), { hold: "request" })
      const outcome = await finish(call())
      if (kind === "create") expect(outcome).toMatchObject({ code: "OUTCOME_UNKNOWN" })
      else expect(outcome).toMatchObject({ applied: true, mayLandLate: true })
    }
  })

  test("is found by a look at its row while its attempt is still open", async () => {
    for (const kind of ["put", "create", "swap", "conditional delete"] as const) {
      const { gate, call, finish, runtime } = await begin(kind)
      gate.script(methodOf(kind), { hold: "reply" })
      const startedAt = runtime.monotonic()
      const outcome = await finish(call())
      const version = (await gate.get(KEY))?.version
      expect(outcome).toEqual({ applied: true, mayLandLate: true, ...(version && { version }) })
      expect(runtime.monotonic() - startedAt).toBeLessThan(DEFAULTS.timeoutMs.write / 2)
      expect(gate.count(methodOf(kind))).toBe(1)
    }
  })

  test("is asked for again when the question hangs or fails, within the deadline", async () => {
    const { gate, call, finish } = await begin("put")
    gate.script("put", { loseReply: LOST })
    gate.script("probe", { fail: THROTTLED }, { fail: THROTTLED }, { fail: THROTTLED })
    expect(await finish(call())).toMatchObject({ applied: true, mayLandLate: true })
    expect(gate.count("probe")).toBe(4)
    expect(gate.count("put")).toBe(1)
  })

  test("is asked for once beyond the retry budget, and not sent again without it", async () => {
    for (const [fault, expected] of [
      [{ loseReply: LOST }, { applied: true }],
      [{ landLate: LOST }, { code: "OUTCOME_UNKNOWN" }],
    ] as const) {
      const { gate, call, finish } = await begin("put", {}, (backend) => backend, { retryBudget: 0 })
      gate.script("put", fault)
      expect(await finish(call())).toMatchObject(expected)
      expect([gate.count("probe"), gate.count("put")]).toEqual([1, 1])
    }
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

/** What took effect on the key, in order: `own` with the number of the attempt, or what another writer did. */
type Effect = { own: number } | "replaced" | "swapped" | "deleted"

test("a write takes effect once, and what its caller is told is so, whatever befalls its attempts and whoever else writes", {
  timeout: 30_000,
}, async () => {
  const fault = fc.constantFrom<Fault>(
    "pass",
    { fail: THROTTLED },
    { loseReply: LOST },
    { landLate: LOST },
    { hold: "request" },
    { hold: "reply" },
  )
  const step = fc.constantFrom("nothing", "nothing", "replace", "swap", "delete", "land")
  const script = fc.array(fault, { maxLength: 7 })
  const endings: Record<string, number> = {}
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...KINDS),
      script,
      script,
      fc.array(step, { maxLength: 12 }),
      fc.boolean(),
      fc.boolean(),
      async (kind, attempts, questions, steps, traces, clock) => {
        const effects: Effect[] = []
        const rest = [...steps]
        const attemptOf = (id: string): number => {
          const ids = gate.calls.flatMap(({ writes }) => Array.from(writes.values(), (write) => write.id))
          return [...new Set(ids)].indexOf(id)
        }
        const { gate, call, another, finish } = await begin(kind, { clock }, (backend) =>
          noting(effects, attemptOf, traces ? backend : withoutTraces(backend), async () => {
            const next = rest.shift()
            if (next === "replace") await another.put()
            if (next === "swap") await another.swap()
            if (next === "delete") await another.delete()
            if (next === "land") {
              await gate.calls.find(({ mayLand, writes }) => mayLand && writes.size > 0)?.land()
            }
          }),
        )
        effects.length = 0
        gate.script(methodOf(kind), ...attempts)
        gate.script("probe", ...questions.filter((fault) => fault !== "pass" && !("landLate" in fault)))
        const outcome = await finish(call())

        const doubtful = (fault: Fault) => fault !== "pass" && !("fail" in fault)
        const inDoubt = attempts.slice(0, gate.count(methodOf(kind))).some(doubtful)
        const own = effects.filter((effect) => typeof effect === "object")
        if (outcome instanceof KvError) {
          if (outcome.code !== "OUTCOME_UNKNOWN") expect(own).toEqual([])
          if (!inDoubt) expect(outcome.code).not.toBe("OUTCOME_UNKNOWN")
        } else {
          if (!outcome.applied) expect(own).toEqual([])
          else if (own.length === 0) expect(effects.some(isAsGoodAsApplied(kind))).toBe(true)
          expect(outcome.mayLandLate ?? false).toBe(inDoubt)
        }
        expect(effects).toSatisfy((all: Effect[]) => takesEffectOnce(all, kind))
        const ending = outcome instanceof KvError ? outcome.code : `applied: ${outcome.applied}`
        endings[ending] = (endings[ending] ?? 0) + 1
      },
    ),
    { numRuns: 800 },
  )
  expect(Object.keys(endings).sort()).toEqual(["OUTCOME_UNKNOWN", "applied: false", "applied: true"])
})

/** A write without a condition that another overtook, and a delete of what another deleted, are as good as applied. */
function isAsGoodAsApplied(kind: Kind): (effect: Effect) => boolean {
  return (effect) =>
    (effect === "replaced" && kind !== "create") || (effect === "deleted" && kind === "delete")
}

/**
 * Whether no attempt took effect after an earlier one had. An earlier attempt may land after a later one, and a put may be sent again after
 * another writer has deleted it. A delete of nothing changes nothing.
 */
function takesEffectOnce(effects: readonly Effect[], kind: Kind): boolean {
  let highest = -1
  let deletedSince = true
  for (const effect of effects) {
    if (effect === "deleted") deletedSince = true
    if (typeof effect !== "object") continue
    const isExcused = kind === "put" && deletedSince
    if (highest >= 0 && effect.own > highest && !isExcused) return false
    highest = Math.max(highest, effect.own)
    deletedSince = false
  }
  return true
}

const KINDS: readonly Kind[] = ["put", "create", "swap", "conditional delete", "delete"]

function methodOf(kind: Kind): "put" | "delete" {
  return kind === "delete" || kind === "conditional delete" ? "delete" : "put"
}

/** A store in which the write may go through: `call` makes it, `finish` moves time until it has ended, `another` is another writer. */
async function begin(
  kind: Kind,
  { clock = true }: { clock?: boolean } = {},
  wrap: (backend: Backend) => Backend = (backend) => backend,
  options: ResilienceOptions = {},
) {
  const runtime = testRuntime()
  const store = wrap(remoteMemory({ runtime, clock }))
  const others = testRuntime(0, 0xb)
  const write = { value: bytes("another's") }
  const another = {
    put: () => store.put(KEY, { ...write, id: writeId(others, false) }),
    async swap() {
      const there = await store.get(KEY)
      if (there === undefined) return
      await store.put(KEY, { ...write, id: writeId(others, true), condition: { version: there.version } })
    },
    delete: () => store.delete(KEY, { id: writeId(others, false) }),
  }
  if (kind !== "create") await another.put()
  const version = (await store.get(KEY))?.version ?? ""

  const gate = gatedBackend({ backend: store })
  const backend = resilient(gate, { runtime, ...options })
  const call = (more: Partial<Write> = {}): Promise<WriteResult> => {
    const own: Write = { value: bytes("own"), id: OWN, ...more }
    if (kind === "put") return backend.put(KEY, own)
    if (kind === "create") return backend.put(KEY, { ...own, condition: { absent: true } })
    if (kind === "swap") return backend.put(KEY, { ...own, condition: { version } })
    const { seen } = more
    const removal: Removal = { id: OWN, seen, ...(kind === "delete" ? {} : { condition: { version } }) }
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
  return { runtime, gate, call, finish, another, version }
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

/** As a backend whose rows are another program's: their versions are derived from their content. */
function recurring(backend: Backend): Backend {
  return {
    ...backend,
    async probe(keys) {
      const heads = await backend.probe(keys)
      return new Map(
        Array.from(heads, ([key, head]) => [key, head instanceof KvError ? head : { ...head, recurs: true }]),
      )
    },
  }
}

/** Notes in `effects` the writes that took effect, in order; `first` runs before each call of the write under test. */
function noting(
  effects: Effect[],
  attemptOf: (id: string) => number,
  backend: Backend,
  first: () => Promise<void>,
): Backend {
  const isAnothers = (id: string) => id.includes("b0000")
  const before = async (id: string) => {
    if (!isAnothers(id)) await first()
  }
  const note = (id: string, effect: "replaced" | "swapped" | "deleted", result: WriteResult) => {
    if (result.applied) effects.push(isAnothers(id) ? effect : { own: attemptOf(id) })
    return result
  }
  return {
    ...backend,
    async put(key, write) {
      await before(write.id)
      return note(write.id, write.condition ? "swapped" : "replaced", await backend.put(key, write))
    },
    async delete(key, removal) {
      await before(removal.id)
      return note(removal.id, "deleted", await backend.delete(key, removal))
    },
    async probe(keys) {
      await first()
      return backend.probe(keys)
    },
  }
}
