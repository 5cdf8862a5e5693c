import { AsyncLocalStorage } from "node:async_hooks"
import type { Context, ContextManager, MeterProvider, TracerProvider } from "@opentelemetry/api"
import { activeContext, type Registered, registered, registeredElsewhere, spanOf } from "./api.ts"

/** Returns the active context, if there is one. */
export interface ContextSource {
  active(): Context | undefined
}

/** Detects that an SDK was registered or removed, by three comparisons. */
export class Registration {
  #last: Registered | undefined

  /** Whether anything changed since the last call. The first call returns `true`. */
  hasChanged(): boolean {
    const { trace, metrics, context } = registered()
    const last = this.#last
    if (last?.trace === trace && last?.metrics === metrics && last?.context === context && last) return false
    this.#last = { ...(trace && { trace }), ...(metrics && { metrics }), ...(context && { context }) }
    return true
  }
}

/** The tracer provider of the currently registered SDK. */
export function registeredTracerProvider(): TracerProvider | undefined {
  const provider = registered().trace
  return provider !== undefined && isProxy(provider) ? provider.getDelegate() : provider
}

/** The API registers a proxy and hands the provider to that. */
function isProxy(provider: TracerProvider): provider is TracerProvider & { getDelegate(): TracerProvider } {
  return "getDelegate" in provider && typeof provider.getDelegate === "function"
}

/** The currently registered meter provider. */
export function registeredMeterProvider(): MeterProvider | undefined {
  return registered().metrics
}

let warned = false

/** Says once in a process that an SDK is registered which cannot be used: without this, telemetry would be silently empty. */
export function warnOfOtherVersion(): void {
  if (warned || registered().trace !== undefined || registered().metrics !== undefined) return
  const other = registeredElsewhere()
  if (other === undefined) return
  warned = true
  const message =
    `tiered-kv reports nothing: version ${other.major} of @opentelemetry/api is registered, and tiered-kv reads version 1. ` +
    "Use an SDK of OpenTelemetry that is made for version 1"
  if (other.diag === undefined) process.emitWarning(message, { code: "TIERED_KV_TELEMETRY" })
  else other.diag.warn(message)
}

/**
 * Returns a function for the active context, for hits; without a context manager no span is active. The API looks up its manager and checks
 * its version on each call, and the look-up of the SDK's manager is slow without an active context. So a hit reads the
 * `AsyncLocalStorage` of the manager if it has one, and else asks the manager.
 */
export function registeredContexts(): ContextSource | undefined {
  const manager = registered().context
  const storage = manager && Object.values(manager).find(isStorage)
  if (manager === undefined || storage === undefined) return manager
  const stored = storage.getStore()
  const agrees = stored === undefined ? !spanOf(manager.active()) : stored === manager.active()
  return agrees ? { active: () => storage.getStore() } : manager
}

/** Whether `with` of a context manager works: calls the function once, with its arguments, and returns its result. */
export function isEntered(manager: ContextManager): boolean {
  const argument = {}
  let calls = 0
  const returned = manager.with(
    activeContext(),
    (given) => {
      calls++
      return given
    },
    undefined,
    argument,
  )
  return calls === 1 && returned === argument
}

function isStorage(value: unknown): value is AsyncLocalStorage<Context> {
  return value instanceof AsyncLocalStorage
}
