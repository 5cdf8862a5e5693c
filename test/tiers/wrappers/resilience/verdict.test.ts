import fc from "fast-check"
import { describe, expect, test } from "vitest"
import type { RowHead } from "../../../../tiers/backend.ts"
import { isUnconditional, writeId } from "../../../../tiers/util/write-id.ts"
import { type DoubtfulWrite, judge } from "../../../../tiers/wrappers/resilience/verdict.ts"
import { testRuntime } from "../../../support/runtime.ts"

const runtime = testRuntime()
const OWN = writeId(runtime, false)
const span = (earliest: number, latest: number, clock = "node") => ({ clock, earliest, latest })
const write = (more: Partial<DoubtfulWrite> = {}): DoubtfulWrite => ({
  removes: false,
  ids: new Set([OWN]),
  began: span(100, 110),
  ...more,
})
const head = (more: Partial<RowHead> = {}): RowHead => ({
  id: writeId(runtime, false),
  version: "v",
  live: true,
  ...more,
})

describe("a row of another writer is", () => {
  test.each([
    ["older", span(90, 99), { sendUnder: { version: "v" } }],
    [
      "older, if it was there at the latest time that was known",
      span(90, 100),
      { sendUnder: { version: "v" } },
    ],
    ["of unknown age, if its span reaches into that of the beginning", span(90, 101), "unknown"],
    ["of unknown age, if its span lies in that of the beginning", span(102, 108), "unknown"],
    ["of unknown age, if its span begins in that of the beginning", span(109, 120), "unknown"],
    ["newer", span(111, 120), { applied: true }],
    ["of unknown age, on another clock", span(1, 2, "another node"), "unknown"],
    ["of unknown age, without a time", undefined, "unknown"],
  ])("%s", (_, writtenAt, expected) => {
    for (const removes of [false, true]) {
      const verdict = judge(write({ removes }), head({ writtenAt }))
      if (expected === "unknown")
        expect(verdict).toMatchObject({ unknown: expect.any(String), mayShow: false })
      else expect(verdict).toEqual(expected)
    }
  })

  test("of unknown age, if nothing is known of the time at the beginning", () => {
    expect(judge(write({ began: undefined }), head({ writtenAt: span(1, 2) }))).toHaveProperty("unknown")
  })

  test("no proof of a write that was overtaken, if it was written under a condition or by another program", () => {
    for (const id of [writeId(runtime, true), "4".repeat(32), undefined]) {
      expect(judge(write(), head({ id, writtenAt: span(111, 120) }))).toHaveProperty("unknown")
    }
  })

  test("older if this process had seen it, unless its version can come back", () => {
    expect(judge(write({ seen: "v" }), head())).toEqual({ sendUnder: { version: "v" } })
    expect(judge(write({ seen: "u" }), head())).toHaveProperty("unknown")
    expect(judge(write({ seen: "v" }), head({ recurs: true }))).toHaveProperty("unknown")
    expect(judge(write(), head({ recurs: true, writtenAt: span(1, 2) }))).toHaveProperty("unknown")
  })

  test("counted as absent if it has expired", () => {
    const expired = head({ live: false })
    expect(judge(write(), expired)).toEqual({ sendUnder: { absent: true } })
    expect(judge(write({ removes: true }), expired)).toEqual({ applied: true })
  })
})

test("any identity of the write proves that it was applied, live or expired, whatever its condition", () => {
  const ids = new Set([OWN, writeId(runtime, true)])
  for (const condition of [undefined, { absent: true } as const, { version: "u" }]) {
    for (const id of ids) {
      for (const live of [true, false]) {
        const verdict = judge(write({ ids, condition }), head({ id, live }))
        expect(verdict).toEqual({ applied: true, version: "v" })
      }
    }
  }
})

test("a create is never sent again, a condition on a version only where that version is live", () => {
  fc.assert(
    fc.property(
      fc.option(fc.record({ version: fc.constantFrom("u", "v"), live: fc.boolean(), recurs: fc.boolean() }), {
        nil: undefined,
      }),
      (there) => {
        const row = there && head(there)
        expect(judge(write({ condition: { absent: true } }), row)).toEqual({
          unknown: expect.any(String),
          mayShow: row === undefined || !row.live,
        })
        const verdict = judge(write({ condition: { version: "v" } }), row)
        const holds = row?.version === "v" && row.live && !row.recurs
        if (holds) expect(verdict).toEqual({ sendUnder: { version: "v" } })
        else expect(verdict).toMatchObject({ mayShow: false })
      },
    ),
  )
})

test("an identity says whether its write had no condition; one of another program never does", () => {
  expect(isUnconditional(writeId(runtime, false))).toBe(true)
  expect(isUnconditional(writeId(runtime, true))).toBe(false)
  expect(isUnconditional("0f8fad5bd9cb469fa16570867728950e")).toBe(false)
  expect(writeId(runtime, true)).toMatch(/^[0-9a-f]{32}$/)
})
