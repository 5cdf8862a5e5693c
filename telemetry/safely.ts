import type { Context } from "@opentelemetry/api"
import { registered } from "./api.ts"

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
    registered().diag?.error("tiered-kv: telemetry failed, the store goes on", error)
  } catch {
    // The error of a throwing logger cannot be logged.
  }
}

/** Runs `run` in a context: it runs exactly once, whatever the context manager does. */
export function runIn<T>(active: Context, run: () => T): T {
  const result: { outcome?: { value: T } | { error: unknown } } = {}
  const once = () => {
    result.outcome = attempt(run)
  }
  safely(() => registered().context?.with(active, once))
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
