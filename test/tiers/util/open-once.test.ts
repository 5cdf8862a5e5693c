import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { OpenOnce } from "../../../tiers/util/open-once.ts"
import { settle } from "../../support/runtime.ts"

/** What a backend holds: numbered, and watched. */
class Held {
  readonly number: number
  closes = 0
  readonly end: () => void | Promise<void>

  constructor(number: number, end: () => void | Promise<void> = () => {}) {
    this.number = number
    this.end = end
  }

  close(): void | Promise<void> {
    this.closes++
    return this.end()
  }
}

const closed = expect.objectContaining({
  code: "CLOSED",
  operation: "get",
  backend: "made-up",
  key: "key",
})

function counting(end?: () => void | Promise<void>) {
  const made: Held[] = []
  const backend = new OpenOnce("made-up", async () => {
    await settle()
    const held = new Held(made.length + 1, end)
    made.push(held)
    return held
  })
  return { backend, made }
}

describe("a backend", () => {
  test("is CLOSED before it is open, while it opens, and from the moment that it closes", async () => {
    const { backend } = counting()
    const use = () => backend.use("get", "key")
    for (let round = 1; round <= 2; round++) {
      expect(use).toThrow(closed)
      const opening = backend.open()
      expect(use).toThrow(closed)
      await opening
      expect(use().number).toBe(round)
      const closing = backend.close()
      expect(use).toThrow(closed)
      await closing
    }
  })

  test("opens once, however often it is told to, and closes once", async () => {
    const { backend, made } = counting()
    await Promise.all([backend.open(), backend.open()])
    await backend.open()
    await Promise.all([backend.close(), backend.close()])
    await backend.close()
    expect(made.map(({ closes }) => closes)).toEqual([1])
  })

  test("that fails to open rejects all who opened it, and the next attempt starts anew", async () => {
    const failure = new Error("not today")
    let attempts = 0
    const backend = new OpenOnce("made-up", async () => {
      if (++attempts === 1) throw failure
      return new Held(attempts)
    })
    const results = await Promise.allSettled([backend.open(), backend.open()])
    expect(results).toEqual(Array(2).fill({ status: "rejected", reason: failure }))
    await backend.close()
    await backend.open()
    expect(backend.use("get").number).toBe(2)
  })

  test("that closes while it opens is closed, and what was opened is, too", async () => {
    const { backend, made } = counting()
    const opening = backend.open()
    await backend.close()
    await opening
    expect(made.map(({ closes }) => closes)).toEqual([1])
    expect(() => backend.use("get", "key")).toThrow(closed)
  })

  test("that closes while it fails to open closes well", async () => {
    const failure = new Error("not today")
    const backend = new OpenOnce<Held>("made-up", async () => {
      await settle()
      throw failure
    })
    const opening = backend.open()
    const rejected = expect(opening).rejects.toBe(failure)
    await backend.close()
    await rejected
  })

  test("whose close fails or hangs says so, and can be opened again", async () => {
    const failure = new Error("it will not close")
    const failing = counting(() => Promise.reject(failure))
    await failing.backend.open()
    await expect(failing.backend.close()).rejects.toBe(failure)
    await failing.backend.open()
    expect(failing.backend.use("get").number).toBe(2)

    const hanging = counting(() => new Promise(() => {}))
    await hanging.backend.open()
    void hanging.backend.close()
    await hanging.backend.open()
    expect(hanging.backend.use("get").number).toBe(2)
  })
})

test("in any order of opens, closes and failures a backend holds what its last open brought, and closes all the others", async () => {
  const step = fc.constantFrom("open", "open", "close", "pause")
  await fc.assert(
    fc.asyncProperty(
      fc.scheduler(),
      fc.array(step, { maxLength: 12 }),
      fc.array(fc.boolean(), { maxLength: 8 }),
      async (scheduler, steps, failures) => {
        const made: Held[] = []
        const backend = new OpenOnce("made-up", async () => {
          await scheduler.schedule(Promise.resolve(), "open")
          if (failures.shift()) throw new Error("not today")
          const held = new Held(made.length + 1)
          made.push(held)
          return held
        })
        const isOpen = () => {
          try {
            return backend.use("get").closes === 0
          } catch {
            return false
          }
        }
        let wanted = false
        const calls: Promise<void>[] = []
        for (const step of steps) {
          if (step === "pause") await scheduler.waitNext(scheduler.count() > 0 ? 1 : 0)
          else if (step === "open") {
            wanted = true
            calls.push(backend.open().catch(() => {}))
          } else {
            wanted = false
            calls.push(backend.close())
            expect(isOpen()).toBe(false)
          }
        }
        await scheduler.waitFor(Promise.all(calls))
        const unclosed = made.filter(({ closes }) => closes === 0)
        expect(made.every(({ closes }) => closes <= 1)).toBe(true)
        expect(unclosed.length).toBe(isOpen() ? 1 : 0)
        if (!wanted) expect(isOpen()).toBe(false)
        await backend.close()
        expect(made.every(({ closes }) => closes === 1)).toBe(true)
      },
    ),
    { numRuns: 300 },
  )
})
