import { type Context, context, diag } from "@opentelemetry/api"

/** Calls code that may throw: providers, processors, context managers. Its errors go to `diag`. */
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
    // The error of a throwing logger cannot be logged.
  }
}

/** Like `context.with`, but `run` runs exactly once, whatever the context manager does. */
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
