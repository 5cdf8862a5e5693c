import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { lossInJson } from "../../../src/operations/json.ts"

describe("what JSON changes without a word", () => {
  test.each([
    ["NaN", Number.NaN, "", "NaN", "null"],
    ["a rate of Infinity", { rates: [1, 2, Number.POSITIVE_INFINITY] }, ".rates[2]", "Infinity", "null"],
    ["-0", { a: { "b c": -0 } }, '.a["b c"]', "-0", "0"],
    ["a RegExp", [{ pattern: /a/ }], "[0].pattern", "an object (RegExp)", "{}"],
    ["an Error", { cause: new TypeError("no") }, ".cause", "an object (TypeError)", "{}"],
    ["a Map", { index: new Map() }, ".index", "an object (Map)", "{}"],
    ["a Set", [new Set([1])], "[0]", "an object (Set)", "{}"],
    ["bytes", { raw: new Uint8Array(2) }, ".raw", "an object (Uint8Array)", "{}"],
  ])("%s is found with its path", (_, value, path, found, becomes) => {
    expect(lossInJson(value)).toEqual({ path, found, becomes })
  })

  test("an object with a toJSON is what that says", () => {
    const map = Object.assign(new Map(), { toJSON: () => [] })
    expect(lossInJson({ at: new Date(Number.NaN), map })).toBeUndefined()
  })

  test("a value nested 12,000 deep is looked through", () => {
    let value: unknown = Number.NaN
    for (let depth = 0; depth < 12_000; depth++) value = [value]
    expect(lossInJson(value)?.path).toBe("[0]".repeat(12_000))
  })

  test("nothing is found in what comes back equal", () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 6, noUnicodeString: false }), (value) => {
        const parsed: unknown = JSON.parse(JSON.stringify(value))
        expect(lossInJson(parsed)).toBeUndefined()
      }),
    )
  })
})
