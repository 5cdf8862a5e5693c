import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { ServiceClock } from "../../../tiers/firestore/service-clock.ts"
import { testRuntime } from "../../support/runtime.ts"

/** What the spans allow for, ms. */
const ERROR_MS = 2_000
/** The clock of the service is an hour ahead of the wall clock of this process. */
const AHEAD_MS = 3_600_000

/** @param rate of the clock of the service, against the monotonic clock of this process */
function fixture(rate = 1) {
  const runtime = testRuntime(1_800_000_000_000)
  const clock = new ServiceClock("p/d", runtime)
  /** The time of the service, which no step of a clock of this process changes. */
  const serviceNow = () => 1_800_000_000_000 + AHEAD_MS + runtime.monotonic() * rate
  const toInstant = (ms: number) => {
    const seconds = Math.floor(ms / 1_000)
    return { seconds, nanos: Math.round((ms - seconds * 1_000) * 1_000_000) }
  }
  /** A request that the service carries out after `thereMs`, and whose answer arrives `backMs` later. */
  const request = async (kind: "read" | "committed", thereMs: number, backMs: number, stepMs = 0) => {
    const begun = clock.begin()
    await runtime.advance(thereMs)
    const time = serviceNow() + stepMs
    await runtime.advance(backMs)
    clock[kind](begun, toInstant(time))
    return time
  }
  return { runtime, clock, serviceNow, toInstant, request }
}

describe("the clock of the service", () => {
  test("is not known before the first answer", () => {
    expect(fixture().clock.now()).toBeUndefined()
  })

  test.each(["read", "committed"] as const)("is within the span after an answer (%s)", async (kind) => {
    const { runtime, clock, serviceNow, request } = fixture()
    for (const [there, back] of [
      [40, 0],
      [0, 40],
      [700, 900],
      [5, 5],
    ] as const) {
      await request(kind, there, back)
      for (const idleMs of [0, 1, 60_000, 3_600_000]) {
        await runtime.advance(idleMs)
        const { earliest = 0, latest = 0 } = clock.now() ?? {}
        expect(earliest).toBeLessThanOrEqual(serviceNow())
        expect(latest).toBeGreaterThanOrEqual(serviceNow() + ERROR_MS)
      }
    }
  })

  test("is known as well after a slow answer as after the fast one before it", async () => {
    const { clock, serviceNow, request } = fixture()
    await request("read", 5, 5)
    await request("read", 1_000, 4_000)
    const { latest = 0 } = clock.now() ?? {}
    expect(latest - serviceNow()).toBeLessThan(ERROR_MS + 50)
  })

  test("is not before the last commit, without any error", async () => {
    const { clock, request } = fixture()
    const committed = await request("committed", 5, 5)
    expect(clock.now()?.earliest).toBe(committed)
    await request("read", 5, 5)
    expect(clock.now()?.earliest).toBe(committed)
    expect(clock.at({ seconds: 1, nanos: 500_000 })).toEqual({
      clock: clock.now()?.clock,
      earliest: 1_000.5,
      latest: 1_000.5,
    })
  })

  test.each([-7_200_000, -500, 500, 7_200_000])(
    "is within the span after a step of the own wall clock by %i ms",
    async (stepMs) => {
      const { runtime, clock, serviceNow, request } = fixture()
      await request("committed", 5, 5)
      const before = clock.now()?.clock
      runtime.stepWallClock(stepMs)
      await runtime.advance(1_000)
      const { earliest = 0, latest = 0 } = clock.now() ?? {}
      expect(earliest).toBeLessThanOrEqual(serviceNow())
      expect(latest).toBeGreaterThanOrEqual(serviceNow() + ERROR_MS)
      await request("read", 5, 5)
      expect(clock.now()?.clock).toBe(before)
      expect((clock.now()?.latest ?? 0) - serviceNow()).toBeLessThan(ERROR_MS + 50)
    },
  )

  test("is within the span after a suspension that stopped the own monotonic clock", async () => {
    const { runtime, clock, request } = fixture()
    const time = await request("committed", 0, 0)
    // The machine is suspended for a minute: on waking only its wall clock has moved.
    runtime.stepWallClock(60_000)
    expect(clock.now()?.latest).toBeGreaterThanOrEqual(time + 60_000 + ERROR_MS)
  })

  test.each([-60_000, 60_000])(
    "is a new one after the service's clock was stepped by %i ms",
    async (stepMs) => {
      const { clock, request } = fixture()
      await request("committed", 5, 5)
      const before = clock.now()?.clock
      const time = await request("read", 5, 5, stepMs)
      expect(clock.now()?.clock).not.toBe(before)
      expect(clock.now()?.earliest).toBeLessThanOrEqual(time + 10)
      expect(clock.at({ seconds: 1, nanos: 0 }).clock).toBe(clock.now()?.clock)
    },
  )

  test("is a new one if an answer is earlier than a commit that it followed, by however little", async () => {
    const { clock, request } = fixture()
    await request("committed", 0, 0)
    const before = clock.now()?.clock
    await request("read", 1, 1, -2)
    expect(clock.now()?.clock).not.toBe(before)
  })

  test("is not before the later of two commits whose answers arrive in the other order", async () => {
    const { runtime, clock, serviceNow, toInstant, request } = fixture()
    const begun = clock.begin()
    const early = serviceNow()
    await runtime.advance(10)
    const later = await request("committed", 5, 5)
    clock.committed(begun, toInstant(early))
    expect(clock.now()?.earliest).toBe(later)
  })

  test("stays the same if an answer to an earlier request arrives after a later commit", async () => {
    const { runtime, clock, serviceNow, toInstant, request } = fixture()
    await request("read", 0, 0)
    const begun = clock.begin()
    const early = serviceNow()
    await runtime.advance(10)
    const committed = await request("committed", 5, 5)
    const before = clock.now()?.clock
    clock.read(begun, toInstant(early))
    expect(clock.now()).toMatchObject({ clock: before, earliest: committed })
  })

  test("is within the span after any answers, pauses and steps of the own wall clock", async () => {
    const answer = fc.record({
      kind: fc.constantFrom("read" as const, "committed" as const),
      thereMs: fc.nat(5_000),
      backMs: fc.nat(5_000),
    })
    const pause = fc.record({ pauseMs: fc.nat(10_000_000) })
    const step = fc.record({ stepMs: fc.integer({ min: -100_000, max: 100_000 }) })
    const events = fc.array(fc.oneof(answer, pause, step), { maxLength: 30 })
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(0.9995, 1, 1.0005), events, async (rate, events) => {
        const { runtime, clock, serviceNow, request } = fixture(rate)
        let answered = await request("committed", 0, 0)
        const name = clock.now()?.clock
        for (const event of events) {
          if ("kind" in event) answered = await request(event.kind, event.thereMs, event.backMs)
          else if ("pauseMs" in event) await runtime.advance(event.pauseMs)
          else runtime.stepWallClock(event.stepMs)
          const span = clock.now()
          expect(span?.clock).toBe(name)
          expect(span?.earliest).toBeGreaterThanOrEqual(answered - ERROR_MS - 1)
          expect(span?.earliest).toBeLessThanOrEqual(serviceNow())
          expect(span?.latest).toBeGreaterThanOrEqual(serviceNow() + ERROR_MS - 1)
        }
      }),
    )
  })
})
