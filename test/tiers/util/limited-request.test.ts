import { expect, test } from "vitest"
import type { Runtime } from "../../../tiers/runtime.ts"
import { LimitedRequest, RequestTimedOut } from "../../../tiers/util/limited-request.ts"
import { settle, testRuntime } from "../../support/runtime.ts"

async function limited<T>(
  runtime: Runtime,
  limitMs: number,
  signal: AbortSignal | undefined,
  send: (cancel: AbortSignal) => Promise<T>,
): Promise<T> {
  const request = new LimitedRequest(runtime, limitMs, signal)
  return request.bound(send(request.cancel))
}

/** A request that is never answered, with what became of it. */
function unanswered() {
  const request = {
    sent: false,
    cancelled: false,
    send(cancel: AbortSignal) {
      request.sent = true
      cancel.addEventListener("abort", () => {
        request.cancelled = true
      })
      return new Promise<never>(() => {})
    },
  }
  return request
}

test("an answer or a failure within the limit passes, and the request is not cancelled afterwards", async () => {
  const runtime = testRuntime()
  const { signal, abort } = abortion()
  let cancelled = false
  const send = async (cancel: AbortSignal) => {
    cancel.addEventListener("abort", () => {
      cancelled = true
    })
    return "answer"
  }
  expect(await limited(runtime, 10, signal, send)).toBe("answer")
  const failure = new Error("failure")
  await expect(limited(runtime, 10, signal, () => Promise.reject(failure))).rejects.toBe(failure)
  await runtime.advance(10)
  abort()
  await settle()
  expect(cancelled).toBe(false)
})

test("at the limit the request is cancelled, also if it ignores that", async () => {
  const runtime = testRuntime()
  const request = unanswered()
  const failure = limited(runtime, 10, undefined, request.send).catch((error: unknown) => error)
  await runtime.advance(9)
  expect(request.cancelled).toBe(false)
  await runtime.advance(1)
  expect(request.cancelled).toBe(true)
  const error = await failure
  expect(error).toBeInstanceOf(RequestTimedOut)
  expect(error).toMatchObject({ sent: true })
})

test("an abort cancels the request and rejects with the reason of the signal", async () => {
  const request = unanswered()
  const { signal, abort } = abortion("enough")
  const failure = expect(limited(testRuntime(), 10, signal, request.send)).rejects.toBe("enough")
  abort()
  await failure
  expect(request.cancelled).toBe(true)
})

test("a request without time left, or of an aborted signal, is not sent", async () => {
  for (const [limitMs, signal, expected] of [
    [0, undefined, { sent: false }],
    [-1, undefined, { sent: false }],
    [10, AbortSignal.abort("before"), "before"],
  ] as const) {
    const request = unanswered()
    const error: unknown = await limited(testRuntime(), limitMs, signal, request.send).catch(
      (thrown) => thrown,
    )
    if (typeof expected === "string") expect(error).toBe(expected)
    else expect(error).toMatchObject(expected)
    expect(request.sent).toBe(false)
  }
})

function abortion(reason?: string) {
  const controller = new AbortController()
  return { signal: controller.signal, abort: () => controller.abort(reason) }
}
