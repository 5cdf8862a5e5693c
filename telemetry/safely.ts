import { type Context, context, diag } from "@opentelemetry/api"
import type { MaybePromise } from "../tiers/backend.ts"

/** Does what belongs to somebody else and may throw: providers, processors, context managers. Its errors go to `diag`. */
export function safely<T>(call: () => T): T | undefined {
  try {
    return call()
  } catch (error) {
    report(error)
    return undefined
  }
}

export function report(error: unknown): void {
  try {
    diag.error("tiered-kv: telemetry failed, the store goes on", error)
  } catch {
    // A logger that throws has nobody left to tell.
  }
}

/** Runs `run` once, in `active` if there is one, and tells of the end of it. What it gives or throws passes through untouched. */
export function watch<T>(
  active: Context | undefined,
  run: () => MaybePromise<T>,
  done: (value: T) => void,
  failed: (error: unknown) => void,
): MaybePromise<T> {
  const ended = (value: T) => void safely(() => done(value))
  const broke = (error: unknown) => void safely(() => failed(error))
  let answer: MaybePromise<T>
  try {
    answer = active === undefined ? run() : runIn(active, run)
  } catch (error) {
    broke(error)
    throw error
  }
  // The listeners come first, so a span has ended before its caller goes on; the caller gets the very same promise.
  if (answer instanceof Promise) answer.then(ended, broke)
  else ended(answer)
  return answer
}

/** As `context.with`, but `run` runs once whatever the context manager does. */
export function runIn<T>(active: Context, run: () => T): T {
  const result: { outcome?: { value: T } | { error: unknown } } = {}
  const once = () => {
    result.outcome = attempt(run)
  }
  safely(() => context.with(active, once))
  const outcome = result.outcome ?? attempt(run)
  if ("error" in outcome) throw outcome.error
  return outcome.value
}

function attempt<T>(run: () => T): { value: T } | { error: unknown } {
  try {
    return { value: run() }
  } catch (error) {
    return { error }
  }
}
