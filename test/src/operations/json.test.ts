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
    ["a boxed NaN", [new Number(Number.NaN)], "[0]", "NaN", "null"],
    ["undefined in an array", { list: [1, undefined] }, ".list[1]", "undefined", "null"],
    ["a hole in an array", [new Array(1)], "[0][0]", "undefined", "null"],
    ["a function", { save: () => {} }, ".save", "a function", "nothing"],
    ["a symbol in an array", { "b c": [Symbol("s")] }, '["b c"][0]', "a symbol", "null"],
    ["headers", { sent: new Headers({ a: "1" }) }, ".sent", "an object (Headers)", "{}"],
    ["a query", [new URLSearchParams("a=1")], "[0]", "an object (URLSearchParams)", "{}"],
    ["bytes", { raw: new Uint8Array(2) }, ".raw", "an object (Uint8Array)", "{}"],
  ])("%s is found with its path", (_, value, path, found, becomes) => {
    expect(lossInJson(value)).toEqual({ path, found, becomes })
  })

  test("an object with a toJSON is what that says", () => {
    const map = Object.assign(new Map(), { toJSON: () => [] })
    const call = Object.assign(() => {}, { toJSON: () => "called" })
    expect(lossInJson({ at: new Date(Number.NaN), map, call })).toBeUndefined()
  })

  test("a property that is undefined, a boxed text and an iterable with properties are kept, or read as they were", () => {
    const list = { items: [1], *[Symbol.iterator]() {} }
    expect(lossInJson({ optional: undefined, text: new String("text"), list })).toBeUndefined()
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
