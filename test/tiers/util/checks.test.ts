import { describe, expect, test } from "vitest"
import { bool, checkOptions, oneOf, optional, rule, wholeNumber } from "../../../tiers/util/checks.ts"

const CHECKS = {
  size: optional(wholeNumber("size", 1)),
  share: optional(wholeNumber("share", 0, 10)),
  mode: optional(oneOf("mode", ["fast", "safe"])),
  deep: bool("deep"),
  even: optional(rule("even", (value) => typeof value === "number" && value % 2 === 0, "an even number")),
}

const refusal = (options: unknown) => {
  try {
    checkOptions(options, CHECKS, "open")
  } catch (error) {
    return error
  }
  return "accepted"
}

describe("options", () => {
  test("an inherited option is checked as any other", () => {
    class Settings {
      get size() {
        return -5
      }
    }
    for (const options of [Object.create({ size: -5 }), new Settings()]) {
      expect(refusal(options)).toMatchObject({ code: "INVALID_OPTION" })
    }
    expect(refusal(Object.create({ sise: 5 }))).toMatchObject({ code: "INVALID_OPTION" })
  })

  test.each([
    undefined,
    {},
    { size: undefined, mode: undefined },
    { size: 1, share: 0, mode: "safe", deep: false, even: 4 },
  ])("%j are accepted", (options) => {
    expect(refusal(options)).toBe("accepted")
  })

  test.each<[unknown, string]>([
    [{ width: 1 }, 'There is no option "width" here; known are size, share, mode, deep, even'],
    [{ toString: 1 }, 'There is no option "toString" here; known are size, share, mode, deep, even'],
    [{ size: 0 }, "size is a whole number of at least 1; got 0"],
    [{ size: Number.NaN }, "size is a whole number of at least 1; got NaN"],
    [{ size: 1.5 }, "size is a whole number of at least 1; got 1.5"],
    [{ size: Number.POSITIVE_INFINITY }, "size is a whole number of at least 1; got Infinity"],
    [{ size: "1" }, "size is a whole number of at least 1; got a string of 1 characters"],
    [{ size: null }, "size is a whole number of at least 1; got null"],
    [{ share: 11 }, "share is a whole number from 0 to 10; got 11"],
    [{ mode: "secret" }, 'mode is "fast" or "safe"; got a string of 6 characters'],
    [{ deep: undefined }, "deep is true or false; got undefined"],
    [{ even: 3 }, "even is an even number; got 3"],
    [null, "Options are an object; got null"],
    ["text", "Options are an object; got a string of 4 characters"],
  ])("%j are INVALID_OPTION, and the message says what is allowed and shows no text", (options, message) => {
    expect(refusal(options)).toMatchObject({ code: "INVALID_OPTION", operation: "open", message })
  })
})
