import { AsyncLocalStorage } from "node:async_hooks"
import {
  type Context,
  type ContextManager,
  context,
  type MeterProvider,
  metrics,
  ProxyTracerProvider,
  ROOT_CONTEXT,
  type TracerProvider,
  trace,
} from "@opentelemetry/api"

/** Returns the active context, if there is one. */
export interface ContextSource {
  active(): Context | undefined
}

/** The providers that are registered with the API. */
interface Registered {
  readonly trace?: object
  readonly metrics?: object
  readonly context?: ContextManager
}

/** The global in which all copies of the API of major version 1 store what is registered. */
const REGISTRY = Symbol.for("opentelemetry.js.api.1")

const NOTHING: Registered = {}

function registered(): Registered {
  return (globalThis as { [REGISTRY]?: Registered })[REGISTRY] ?? NOTHING
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

/** The provider behind the API's proxy while no SDK is registered. */
const NO_PROVIDER = new ProxyTracerProvider().getDelegate()

/** The tracer provider of the currently registered SDK. */
export function registeredTracerProvider(): TracerProvider | undefined {
  const provider = trace.getTracerProvider()
  const actual = provider instanceof ProxyTracerProvider ? provider.getDelegate() : provider
  return actual === NO_PROVIDER ? undefined : actual
}

/** The currently registered meter provider; without an SDK, one whose meters do nothing. */
export function registeredMeterProvider(): MeterProvider {
  return metrics.getMeterProvider()
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
  const agrees = stored === undefined ? !trace.getSpan(manager.active()) : stored === manager.active()
  return agrees ? { active: () => storage.getStore() } : manager
}

/** Whether `with` of a context manager works: calls the function once, with its arguments, and returns its result. */
export function contextsAreEntered(): boolean {
  const argument = {}
  let calls = 0
  const returned = context.with(
    ROOT_CONTEXT,
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
