import type { Context } from "@opentelemetry/api"
import type { BegunOperation, Caller, Outcome } from "../src/listener.ts"
import type { MaybePromise } from "../tiers/backend.ts"
import { runIn, safely } from "./safely.ts"

/** The callbacks at the end of an observed operation. Their errors go to `diag`. */
export interface Ends {
  done(outcome: Outcome): void
  failed(error: unknown): void
}

/** An operation or a load under way, observed until its end. */
export class Observation implements BegunOperation {
  readonly caller: Caller
  /** The context of its span, in which it runs; `undefined` without a span. */
  readonly #context: Context | undefined
  readonly #ends: Ends

  constructor(caller: Caller, context: Context | undefined, ends: Ends) {
    this.caller = caller
    this.#context = context
    this.#ends = ends
  }

  /** The callbacks are attached first, so that the span ends before the caller continues. Returns the same promise. */
  ends<T>(answer: MaybePromise<T>, describe: (value: T) => Outcome): MaybePromise<T> {
    const done = (value: T) => void safely(() => this.#ends.done(describe(value)))
    if (answer instanceof Promise) answer.then(done, (error: unknown) => this.#failed(error))
    else done(answer)
    return answer
  }

  run<T>(run: (caller: Caller) => MaybePromise<T>, describe: (value: T) => Outcome): MaybePromise<T> {
    let answer: MaybePromise<T>
    try {
      answer = this.#context === undefined ? run(this.caller) : runIn(this.#context, () => run(this.caller))
    } catch (error) {
      this.#failed(error)
      throw error
    }
    return this.ends(answer, describe)
  }

  #failed(error: unknown): void {
    safely(() => this.#ends.failed(error))
  }
}
