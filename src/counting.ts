import type { MaybePromise } from "../tiers/backend.ts"
import type { Failures } from "./failures.ts"
import type { BegunOperation, Caller, Listener, OperationName } from "./listener.ts"

/** The listener that counts failures and does nothing else. */
export function counting(failures: Failures): Listener {
  const begun = new Map<OperationName, BegunOperation>()

  function begin(name: OperationName, _key: string | undefined, signal: AbortSignal | undefined) {
    if (signal !== undefined) return new Counted(failures, name, signal)
    const known = begun.get(name) ?? new Counted(failures, name, undefined)
    begun.set(name, known)
    return known
  }

  return {
    onHit: undefined,
    onUntimedHit: undefined,
    onPeek: undefined,
    begin,
    operation: (name, key, run, describe, signal) => {
      const operation = begin(name, key, signal)
      let answer: ReturnType<typeof run>
      try {
        answer = run(undefined)
      } catch (error) {
        failures.add(name, error, signal)
        throw error
      }
      return operation.ends(answer, describe)
    },
    load(_key, background, run) {
      const loaded = run(undefined)
      if (background) loaded.catch((error: unknown) => failures.add("refresh", error))
      return loaded
    },
    joined() {},
    loaded() {},
    sampled() {},
  }
}

/** An operation of which only a failure is counted. */
class Counted implements BegunOperation {
  readonly caller: Caller = undefined
  readonly #failures: Failures
  readonly #name: OperationName
  readonly #signal: AbortSignal | undefined

  constructor(failures: Failures, name: OperationName, signal: AbortSignal | undefined) {
    this.#failures = failures
    this.#name = name
    this.#signal = signal
  }

  /** The failure is counted before the caller continues. */
  ends<T>(answer: MaybePromise<T>): MaybePromise<T> {
    if (answer instanceof Promise) {
      answer.catch((error: unknown) => this.#failures.add(this.#name, error, this.#signal))
    }
    return answer
  }
}
