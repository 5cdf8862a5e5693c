import { expect, test } from "vitest"
import { renderTable } from "../../../src/cli/table.ts"

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
