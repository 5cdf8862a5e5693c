import { describe, expect, test } from "vitest"
import { memory, memoryStore } from "../../../tiers/memory.ts"
import { type ConformanceSubject, conformance } from "../../../tiers/testing/conformance.ts"
import { FAULTS, type Fault } from "../../support/conformance/faults.ts"

function subjectOf(fault: Fault, departures: Record<string, string> = {}): ConformanceSubject {
  return {
    createStore(runtime) {
      const store = memoryStore()
      return {
        connect() {
          const sound = memory({ runtime, store })
          return { ...sound, ...fault(sound, store, runtime) }
        },
      }
    },
    departures,
  }
}

const none: Fault = () => ({})

/** The names of the cases that fail. */
async function failures(subject: ConformanceSubject): Promise<string[]> {
  const failed: string[] = []
  for (const { name, run } of conformance(subject)) await run().catch(() => failed.push(name))
  return failed
}

describe("the conformance suite", () => {
  test("has unique, stable names", () => {
    const names = conformance(subjectOf(none)).map(({ name }) => name)
    expect(new Set(names).size).toBe(names.length)
    for (const name of names) expect(name).toMatch(/^[a-z]+: /)
  })

  test("passes a sound backend, and says what does not concern it", async () => {
    const outcomes = await Promise.all(conformance(subjectOf(none)).map(({ run }) => run()))
    expect(outcomes.filter(({ outcome }) => outcome === "departed")).toEqual([])
    expect(outcomes.filter(({ outcome }) => outcome === "skipped")).toHaveLength(2)
  })

  test.each(Object.entries(FAULTS))("catches %s", async (_, { caughtBy, fault }) => {
    expect(await failures(subjectOf(fault))).toContain(caughtBy)
  })

  test("lets a declared departure fail, and only that", async () => {
    const { caughtBy, fault } = FAULTS["a probe that keeps what it read"] ?? { caughtBy: "", fault: none }
    const failed = await failures(subjectOf(fault))
    const departures = Object.fromEntries(failed.map((name) => [name, "the service keeps no ids"]))
    expect(await failures(subjectOf(fault, departures))).toEqual([])
    const outcome = await conformance(subjectOf(fault, departures))
      .find(({ name }) => name === caughtBy)
      ?.run()
    expect(outcome).toEqual({ outcome: "departed", reason: "the service keeps no ids" })
  })

  test("fails a departure whose case passes, or does not apply, or does not exist", async () => {
    const passes = "entries: an empty value comes back empty"
    const skipped = "delivery: a delete if version sent twice is applied"
    const departures = { [passes]: "why", [skipped]: "why", "entries: no such case": "why" }
    expect(await failures(subjectOf(none, departures))).toEqual([
      "departures: each names a case of this suite",
      passes,
      skipped,
    ])
  })

  test("closes what it opened and removes the store, whatever came of the case", async () => {
    const events: string[] = []
    const subject: ConformanceSubject = {
      createStore(runtime) {
        const store = memoryStore()
        return {
          connect() {
            const sound = memory({ runtime, store })
            return {
              ...sound,
              open: async () => void events.push("open"),
              close: async () => void events.push("close"),
              get: () => Promise.reject(new Error("down")),
            }
          },
          dispose: () => void events.push("dispose"),
        }
      },
    }
    const over = conformance(subject).find(({ name }) => name.startsWith("entries: what one process wrote"))
    await expect(over?.run()).rejects.toThrow("down")
    expect(events).toEqual(["open", "open", "close", "close", "dispose"])
  })
})
