import fc from "fast-check"
import { describe, expect, test } from "vitest"
import type { Runtime } from "../../../tiers/runtime.ts"
import { CLOSE_PATIENCE_MS, SharedResource } from "../../../tiers/util/shared-resource.ts"
import { settle, testRuntime } from "../../support/runtime.ts"

const runtime = testRuntime()

describe("a shared resource", () => {
  test("is opened once for all who ask, and closed by the last release", async () => {
    const closed: string[] = []
    const shared = new SharedResource((resource: string) => closed.push(resource))
    let opened = 0
    const acquire = () => shared.acquire("place", runtime, async () => `resource ${++opened}`)
    const [one, two] = await Promise.all([acquire(), acquire()])
    const three = await acquire()
    expect([one, two, three].map(({ resource }) => resource)).toEqual(Array(3).fill("resource 1"))
    await Promise.all([one.release(), one.release(), two.release()])
    expect(closed).toEqual([])
    await three.release()
    expect(closed).toEqual(["resource 1"])
    expect((await acquire()).resource).toBe("resource 2")
  })

  test("is another one under another key", async () => {
    const closed: string[] = []
    const shared = new SharedResource((resource: string) => closed.push(resource))
    const a = await shared.acquire("a", runtime, () => "a")
    await shared.acquire("b", runtime, () => "b")
    await a.release()
    expect(closed).toEqual(["a"])
  })

  test("that fails to open rejects everyone who asked, and is opened anew by the next", async () => {
    const shared = new SharedResource<string>(() => {})
    const failure = new Error("not today")
    const fail = () => shared.acquire("place", runtime, () => Promise.reject(failure))
    const attempts = await Promise.allSettled([fail(), fail()])
    expect(attempts).toEqual(Array(2).fill({ status: "rejected", reason: failure }))
    const again = fail().catch(() => shared.acquire("place", runtime, () => "resource"))
    expect((await again).resource).toBe("resource")
  })

  test("whose open throws at once fails in the same way", async () => {
    const shared = new SharedResource<string>(() => {})
    const open = () => {
      throw new Error("at once")
    }
    await expect(shared.acquire("place", runtime, open)).rejects.toThrow("at once")
    expect((await shared.acquire("place", runtime, () => "resource")).resource).toBe("resource")
  })

  test("is opened anew only once it is closed", async () => {
    let close = () => {}
    const shared = new SharedResource<string>(() => new Promise<void>((resolve) => (close = resolve)))
    const first = await shared.acquire("place", runtime, () => "first")
    const released = first.release()
    let opened = false
    const second = shared.acquire("place", runtime, () => {
      opened = true
      return "second"
    })
    await settle()
    expect(opened).toBe(false)
    close()
    await released
    expect((await second).resource).toBe("second")
  })

  test("whose close fails rejects the release that closed it, each time, and leaves its place free", async () => {
    const failure = new Error("it will not close")
    const shared = new SharedResource<string>(() => Promise.reject(failure))
    const first = await shared.acquire("place", runtime, () => "first")
    for (let time = 0; time < 2; time++) await expect(first.release()).rejects.toBe(failure)
    expect((await shared.acquire("place", runtime, () => "second")).resource).toBe("second")
  })

  test("whose close hangs loses its place after a while, once and for all", async () => {
    const runtime = testRuntime()
    const shared = new SharedResource<string>(() => new Promise(() => {}))
    const first = await shared.acquire("place", runtime, () => "first")
    first.release()
    const opened: string[] = []
    const open = (name: string) =>
      shared.acquire("place", runtime, () => {
        opened.push(name)
        throw new Error("not yet")
      })
    const second = expect(open("second")).rejects.toThrow("not yet")
    await runtime.advance(CLOSE_PATIENCE_MS - 1)
    expect(opened).toEqual([])
    await runtime.advance(1)
    await second
    await expect(open("third")).rejects.toThrow("not yet")
    expect(opened).toEqual(["second", "third"])
  })
})

type End = "well" | "badly" | "never"

/** A resource under test: who made it, and how far it has come. */
interface Made {
  readonly key: string
  state: "opening" | "open" | "closing" | "closed"
  leases: number
  /** Whether somebody has waited for its close in vain. */
  outwaited: boolean
}

test("whatever opens, fails, hangs and closes in whatever order, no lease is of a closed resource and no place is lost", async () => {
  const user = fc.record({
    key: fc.constantFrom("a", "b"),
    pausesBefore: fc.nat({ max: 3 }),
    pausesWithin: fc.nat({ max: 3 }),
    releases: fc.integer({ min: 1, max: 2 }),
  })
  const opens = fc.array(fc.constantFrom<End[]>("well", "well", "badly"), { maxLength: 8 })
  const closes = fc.array(fc.constantFrom<End[]>("well", "well", "badly", "never"), { maxLength: 8 })
  let reopened = 0
  let outwaited = 0
  await fc.assert(
    fc.asyncProperty(
      fc.scheduler(),
      fc.array(user, { minLength: 1, maxLength: 12 }),
      opens,
      closes,
      async (scheduler, users, opens, closes) => {
        const pause = (label: string) => scheduler.schedule(Promise.resolve(), label)
        const made: Made[] = []
        const closingIn = (key: string) => made.filter((one) => one.key === key && one.state === "closing")
        /** The only timers are those of an open that waits for a close, and they may ring at any moment. */
        const runtimeOf = (key: string): Runtime => ({
          ...testRuntime(),
          setTimer(callback) {
            let cancelled = false
            void pause("patience ends").then(() => {
              if (cancelled) return
              for (const one of closingIn(key)) one.outwaited = true
              callback()
            })
            return {
              cancel() {
                cancelled = true
              },
            }
          },
        })

        /** What must not be, since whatever an open or a close throws is an outcome like any other here. */
        const broken: string[] = []
        const shared = new SharedResource<Made>(async (resource) => {
          if (resource.state !== "open" || resource.leases > 0) broken.push("closed in use, or twice")
          resource.state = "closing"
          await pause("close")
          const end = closes.shift() ?? "well"
          if (end === "never") await new Promise(() => {})
          resource.state = "closed"
          if (end === "badly") throw new Error("closed badly")
        })
        const open = async (key: string): Promise<Made> => {
          const before = made.filter((one) => one.key === key && one.state !== "closed")
          if (!before.every(({ state, outwaited }) => state === "closing" && outwaited)) {
            broken.push("opened beside another one")
          }
          if (before.length > 0) outwaited++
          if (made.some((one) => one.key === key)) reopened++
          const resource: Made = { key, state: "opening", leases: 0, outwaited: false }
          made.push(resource)
          await pause("open")
          if (opens.shift() === "badly") {
            resource.state = "closed"
            throw new Error("opened badly")
          }
          resource.state = "open"
          return resource
        }

        const run = async ({ key, pausesBefore, pausesWithin, releases }: (typeof users)[number]) => {
          for (let turn = 0; turn < pausesBefore; turn++) await pause("before")
          const lease = await shared.acquire(key, runtimeOf(key), () => open(key)).catch(() => undefined)
          if (lease === undefined) return
          const { resource, release } = lease
          resource.leases++
          for (let turn = 0; turn < pausesWithin; turn++) {
            if (resource.state !== "open") broken.push("leased, but not open")
            await pause("within")
          }
          resource.leases--
          // A close that hangs is waited for by nobody here.
          for (let time = 0; time < releases; time++) release().catch(() => {})
        }
        await scheduler.waitFor(Promise.all(users.map(run)))
        await scheduler.waitIdle()
        expect(made.filter(({ state }) => state === "opening" || state === "open")).toEqual([])

        const anew = Promise.all(
          ["a", "b"].map(async (key) => {
            opens.length = 0
            const { resource } = await shared.acquire(key, runtimeOf(key), () => open(key))
            expect(resource.state).toBe("open")
          }),
        )
        await scheduler.waitFor(anew)
        expect(broken).toEqual([])
      },
    ),
    { numRuns: 500 },
  )
  expect(Math.min(reopened, outwaited)).toBeGreaterThan(50)
})
