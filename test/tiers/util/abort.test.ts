import { expect, test } from "vitest"
import { abortable } from "../../../tiers/util/abort.ts"
import { settle } from "../../support/runtime.ts"

test("an abort rejects with its reason, also one before the call, and leaves no listener", async () => {
  const never = new Promise(() => {})
  await expect(abortable(never, AbortSignal.abort("before"))).rejects.toBe("before")

  const controller = new AbortController()
  const waiting = abortable(never, controller.signal)
  controller.abort("meanwhile")
  await expect(waiting).rejects.toBe("meanwhile")

  const { signal } = new AbortController()
  let listeners = 0
  signal.addEventListener = () => void listeners++
  signal.removeEventListener = () => void listeners--
  expect(await abortable(Promise.resolve("answer"), signal)).toBe("answer")
  await settle()
  expect(listeners).toBe(0)
})
