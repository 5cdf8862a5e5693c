import { defaultMaxListeners, getMaxListeners, setMaxListeners } from "node:events"

/** Number of calls that may wait with one signal before Node warns of a leak. */
const MAX_LISTENERS = 100_000

/**
 * Settles as `promise` does, or rejects with the reason of `signal` as soon as it is aborted. The operation behind `promise` continues; its
 * failure is then handled and not reported as an unhandled rejection.
 */
export function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise
  // Many concurrent calls often share the signal of one request, which is no leak.
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
