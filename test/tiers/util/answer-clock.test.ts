import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { AnswerClock, type Span } from "../../../tiers/util/answer-clock.ts"
import { testRuntime } from "../../support/runtime.ts"

const START = Date.UTC(2030, 0, 1)

/** A service whose clock is `aheadMs` before that of this process. */
function service(aheadMs: number) {
  const runtime = testRuntime(START)
  const clock = new AnswerClock(runtime)
  let suspendedMs = 0
  const time = () => START + runtime.monotonic() - 1_000 + suspendedMs + aheadMs
  return {
    runtime,
    clock,
    time,
    /** A request whose answer takes this long, with the `Date` of the moment in between. */
    async request(toMs: number, fromMs: number) {
      const sent = clock.moment()
      await runtime.advance(toMs)
      const date = new Date(time()).toUTCString()
      await runtime.advance(fromMs)
      clock.learnDate(sent, date)
    },
    /** As for a machine that is suspended: its monotonic clock stands still. */
    suspend(ms: number) {
      suspendedMs += ms
      runtime.stepWallClock(ms)
    },
  }
}

const known = (clock: AnswerClock): Span => clock.now() ?? { earliest: Number.NaN, latest: Number.NaN }

describe("the time of a service", () => {
  test("is unknown before an answer with a date", () => {
    const clock = new AnswerClock(testRuntime())
    for (const date of [undefined, "", "soon", 7]) clock.learnDate(clock.moment(), date)
    expect(clock.now()).toBeUndefined()
  })

  test("is in the span, whatever the answers take, the clock does and the machine sleeps", async () => {
    const step = fc.oneof(
      fc.record({ request: fc.tuple(fc.nat(4_000), fc.nat(4_000)) }),
      fc.record({ wait: fc.nat(1_000_000) }),
      fc.record({ stepWallClock: fc.integer({ min: -1e7, max: 1e7 }) }),
      fc.record({ suspend: fc.nat(1e7) }),
    )
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: -1e9, max: 1e9 }), fc.array(step), async (aheadMs, steps) => {
        const { runtime, clock, time, request, suspend } = service(aheadMs)
        await request(0, 0)
        for (const what of steps) {
          if ("request" in what) await request(...what.request)
          else if ("wait" in what) await runtime.advance(what.wait)
          else if ("suspend" in what) suspend(what.suspend)
          // A step and a suspension together can look like no suspension.
          else if (steps.every((other) => !("suspend" in other))) runtime.stepWallClock(what.stepWallClock)
          const { earliest, latest } = known(clock)
          expect(earliest).toBeLessThanOrEqual(time())
          expect(latest).toBeGreaterThanOrEqual(time())
        }
      }),
    )
  })

  test("is known to a second and the time of the request after an answer, also after a step of the clock", async () => {
    const { runtime, clock, request } = service(5_000)
    for (const stepMs of [0, 3_600_000, -7_200_000]) {
      runtime.stepWallClock(stepMs)
      await request(20, 30)
      const { earliest, latest } = known(clock)
      expect(latest - earliest).toBeLessThanOrEqual(1_051)
    }
  })

  test("widens with time, and narrows with answers", async () => {
    const { runtime, clock, request } = service(0)
    await request(0, 0)
    const first = width(clock)
    await runtime.advance(3_600_000)
    expect(width(clock)).toBeCloseTo(first + 3_600, 6)
    for (let ms = 0; ms < 20; ms++) {
      await runtime.advance(1_050)
      await request(0, 0)
    }
    expect(width(clock)).toBeLessThan(200)
  })

  test("is that of the last answer if it contradicts the earlier ones", async () => {
    const { runtime, clock } = service(0)
    const at = (earliest: number) => clock.learn(clock.moment(), { earliest, latest: earliest + 10 })
    at(START)
    at(START - 60_000)
    expect(clock.now()).toEqual({ earliest: START - 60_000, latest: START - 59_990 })
    await runtime.advance(1_000)
    at(START + 60_000)
    expect(clock.now()).toEqual({ earliest: START + 60_000, latest: START + 60_010 })
  })
})

test("an answer contradicts what is known if it differs by more than the error", async () => {
  const runtime = testRuntime(START)
  const clock = new AnswerClock(runtime)
  const at = (time: number) => ({ earliest: time, latest: time })
  expect(clock.contradicts(clock.moment(), at(0), 0)).toBe(false)
  clock.learn(clock.moment(), { earliest: START, latest: START + 1_000 })
  for (const [time, expected] of [
    [START - 101, true],
    [START - 100, false],
    [START + 1_100, false],
    [START + 1_101, true],
  ] as const) {
    expect(clock.contradicts(clock.moment(), at(time), 100)).toBe(expected)
  }
  const sent = clock.moment()
  await runtime.advance(10_000)
  expect(clock.contradicts(sent, at(START), 100), "the time of the request counts").toBe(false)
})

const width = (clock: AnswerClock) => known(clock).latest - known(clock).earliest
