import { expect, test } from "vitest"
import { within } from "../../../tiers/util/deadline.ts"
import { settle, testRuntime } from "../../support/runtime.ts"

const late = () => new Error("late")

test("an answer or a failure within the deadline passes", async () => {
  const runtime = testRuntime()
  expect(await within(runtime, Promise.resolve("answer"), 10, late)).toBe("answer")
  const failure = new Error("failure")
  await expect(within(runtime, Promise.reject(failure), 10, late)).rejects.toBe(failure)
})

test("an answer or a failure after the deadline is dropped", async () => {
  for (const end of ["resolve", "reject"] as const) {
    const runtime = testRuntime()
    let settleLate = () => {}
    const answer = new Promise((resolve, reject) => {
      settleLate = () => (end === "resolve" ? resolve("too late") : reject(new Error("too late")))
    })
    const bounded = within(runtime, answer, 10, late)
    const rejected = expect(bounded).rejects.toThrow(/^late$/)
    await runtime.advance(10)
    await rejected
    settleLate()
    await settle()
  }
})
