import { expect, test } from "vitest"
import {
  formatAge,
  formatBytes,
  formatCount,
  formatDuration,
  formatRate,
  formatShare,
  plural,
} from "../../../tiers/util/format.ts"

test("counts are grouped by thousands, and name what they count in the singular or plural", () => {
  expect(formatCount(1_234_567)).toBe("1,234,567")
  expect([plural(1, "key", "keys"), plural(2_000, "key", "keys")]).toEqual(["1 key", "2,000 keys"])
})

test("rates show one decimal below a hundred, and k or M from ten thousand", () => {
  expect([0, 0.01, 12.34, 1_234, 56_789, 3_456_789].map(formatRate)).toEqual([
    "0",
    "< 0.1",
    "12.3",
    "1,234",
    "56.8k",
    "3.46M",
  ])
})

test.each([
  [0, 0, "–"],
  [0, 5, "0.0 %"],
  [1, 100_000, "< 0.1 %"],
  [0.1234, 1, "12.3 %"],
  [99_949, 100_000, "99.9 %"],
  [9_999_999, 10_000_000, "99.9 %"],
  [1, 1, "100.0 %"],
])("%d of %d is %s: a part rounds neither up to all nor down to none", (part, whole, shown) => {
  expect(formatShare(part, whole)).toBe(shown)
})

test("durations and sizes have three digits and a unit", () => {
  expect([0.00025, 0.0123, 0.9996, 4.5678, 12.34, 999.7, 1_234].map(formatDuration)).toEqual([
    "250 ns",
    "12.3 µs",
    "1000 µs",
    "4.57 ms",
    "12.3 ms",
    "1000 ms",
    "1.23 s",
  ])
  expect([0, 512, 1_023, 24_576, 1_572_864, 67_108_864, 3 * 1_024 ** 3].map(formatBytes)).toEqual([
    "0 B",
    "512 B",
    "1023 B",
    "24.0 KiB",
    "1.50 MiB",
    "64.0 MiB",
    "3.00 GiB",
  ])
})

test("ages have the two largest units, minutes and seconds one", () => {
  expect([400, 61_000, 3_661_000, 90_000_000].map(formatAge)).toEqual([
    "0 s",
    "1 min",
    "1 h 1 min",
    "1 d 1 h",
  ])
})
