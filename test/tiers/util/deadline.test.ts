import { expect, test } from "vitest"
import { within } from "../../../tiers/util/deadline.ts"
import { settle, testRuntime } from "../../support/runtime.ts"

const late = () => new Error("late")

test("within its time an answer passes, and so does a failure", async () => {
  const runtime = testRuntime()
  expect(await within(runtime, Promise.resolve("answer"), 10, late)).toBe("answer")
  const failure = new Error("failure")
  await expect(within(runtime, Promise.reject(failure), 10, late)).rejects.toBe(failure)
})

test("what comes too late is not heard of", async () => {
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
