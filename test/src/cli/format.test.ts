import { expect, test } from "vitest"
import {
  formatBytes,
  formatCount,
  formatDuration,
  formatRatio,
  formatShare,
  renderTable,
} from "../../../src/cli/format.ts"
import { toLine, toPrintable } from "../../../src/cli/show.ts"

test.each([
  [0, "0.0 %"],
  [0.1234, "12.3 %"],
  [0.99949, "99.9 %"],
  [0.9999999, "99.9 %"],
  [1, "100.0 %"],
])("the ratio %d is %s: only all of it is a hundred", (ratio, shown) => {
  expect(formatRatio(ratio)).toBe(shown)
})

test("durations, sizes and counts have three digits and a unit", () => {
  expect([0.00025, 0.0123, 0.9996, 4.5678, 12.34, 999.7, 1_234].map(formatDuration)).toEqual([
    "250 ns",
    "12.3 µs",
    "1000 µs",
    "4.57 ms",
    "12.3 ms",
    "1000 ms",
    "1.23 s",
  ])
  expect([512, 24_576, 1_572_864, 3 * 1_024 ** 3].map(formatBytes)).toEqual([
    "512 B",
    "24.0 KiB",
    "1.50 MiB",
    "3.00 GiB",
  ])
  expect(formatCount(1_234_567)).toBe("1,234,567")
  expect(formatShare(0, 0)).toBe("–")
})

test("a table is aligned, its first column to the left", () => {
  expect(
    renderTable(
      ["size", "n"],
      [
        ["a", "1"],
        ["abcdef", "1,000"],
      ],
    ),
  ).toBe("size        n\n──────  ─────\na           1\nabcdef  1,000")
})

test("a line holds any value; a terminal gets only what cannot command it", () => {
  const bytes = (text: string) => Buffer.from(text)
  expect(toLine(bytes("a\tb\n\\ü\u0000\u009b\u2028"))).toBe("a\\tb\\n\\\\ü\\u0000\\u009b\\u2028")
  expect(toLine(Uint8Array.of(0xff))).toBe("base64:/w==")
  expect(toPrintable(bytes("line\n\tübung\r\n"))).toBe("line\n\tübung\r\n")
  for (const commanding of ["\u001b[2J", "\u009b2J", "\u0007", "\u007f"]) {
    expect(toPrintable(bytes(commanding))).toBeUndefined()
  }
  expect(toPrintable(Uint8Array.of(0xc3, 0x28))).toBeUndefined()
})
