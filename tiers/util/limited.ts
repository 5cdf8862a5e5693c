import type { Runtime } from "../runtime.ts"
import { abortable } from "./abort.ts"
import { within } from "./deadline.ts"

/** A request had no complete answer when its time was over. */
export class RequestTimedOut extends Error {
  /** `false`: its time was over before it was sent, so that the service will never get it. */
  readonly sent: boolean

  constructor(limitMs: number) {
    super(limitMs > 0 ? `no answer within ${Math.ceil(limitMs)} ms` : "no time was left to send the request")
    this.sent = limitMs > 0
  }
}

/**
 * Settles as the request that `send` makes. At `limitMs` it rejects with {@link RequestTimedOut} and cancels the request, also in the middle
 * of the body of its answer. If `signal` is aborted, it cancels the request and rejects with the signal's reason.
 */
export async function limited<T>(
  runtime: Runtime,
  limitMs: number,
  signal: AbortSignal | undefined,
  send: (cancel: AbortSignal) => Promise<T>,
): Promise<T> {
  signal?.throwIfAborted()
  if (limitMs <= 0) throw new RequestTimedOut(0)
  const controller = new AbortController()
  const late = () => {
    controller.abort()
    return new RequestTimedOut(limitMs)
  }
  const answer = within(runtime, send(controller.signal), limitMs, late)
  if (signal === undefined) return answer
  const abort = () => controller.abort()
  signal.addEventListener("abort", abort, { once: true })
  try {
    return await abortable(answer, signal)
  } finally {
    signal.removeEventListener("abort", abort)
  }
}
