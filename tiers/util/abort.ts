import { defaultMaxListeners, getMaxListeners, setMaxListeners } from "node:events"

/** Calls that may wait under one signal before Node warns of a leak. */
const MAX_LISTENERS = 100_000

/**
 * `promise`, or a rejection with the signal's reason as soon as it is aborted. What is under way goes on by itself; its
 * failure, nobody's any more, is not reported as unhandled.
 */
export function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise
  // One signal for all calls of a request is common: more than ten at a time are no leak to warn of.
  if (getMaxListeners(signal) === defaultMaxListeners) setMaxListeners(MAX_LISTENERS, signal)
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason)
    if (signal.aborted) onAbort()
    signal.addEventListener("abort", onAbort, { once: true })
    const settled = () => signal.removeEventListener("abort", onAbort)
    promise.then(
      (value) => {
        settled()
        resolve(value)
      },
      (error: unknown) => {
        settled()
        reject(error)
      },
    )
  })
}
