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
 * The time of one request. The caller makes the request itself, with {@link LimitedRequest.cancel}, and waits for the answer by
 * {@link LimitedRequest.bound}: so no frame is between it and its SDK.
 */
export class LimitedRequest {
  readonly #runtime: Runtime
  readonly #limitMs: number
  readonly #signal: AbortSignal | undefined
  readonly #controller = new AbortController()

  /**
   * Throws {@link RequestTimedOut} if no time is left.
   * @param limitMs longest time of the request, the body of its answer included
   * @param signal cancels the request
   */
  constructor(runtime: Runtime, limitMs: number, signal?: AbortSignal) {
    signal?.throwIfAborted()
    if (limitMs <= 0) throw new RequestTimedOut(0)
    this.#runtime = runtime
    this.#limitMs = limitMs
    this.#signal = signal
  }

  /** Is aborted when the request has to end. */
  get cancel(): AbortSignal {
    return this.#controller.signal
  }

  /**
   * Settles as `answer`. At the limit it cancels the request and rejects with {@link RequestTimedOut}; if the signal is aborted, it cancels
   * the request and rejects with the reason of the signal.
   */
  bound<T>(answer: Promise<T>): Promise<T> {
    const late = () => {
      this.#controller.abort()
      return new RequestTimedOut(this.#limitMs)
    }
    const bounded = within(this.#runtime, answer, this.#limitMs, late)
    return this.#signal === undefined ? bounded : this.#abortable(bounded, this.#signal)
  }

  async #abortable<T>(answer: Promise<T>, signal: AbortSignal): Promise<T> {
    const abort = () => this.#controller.abort()
    signal.addEventListener("abort", abort, { once: true })
    try {
      return await abortable(answer, signal)
    } finally {
      signal.removeEventListener("abort", abort)
    }
  }
}
