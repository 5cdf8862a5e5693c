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

/** Tells the active context, if there is one. */
export interface ContextSource {
  active(): Context | undefined
}

/** What is registered with the API. */
interface Registered {
  readonly trace?: object
  readonly metrics?: object
  readonly context?: ContextManager
}

/** Where every copy of the API, of major version 1, looks up what was registered with any of them. */
const REGISTRY = Symbol.for("opentelemetry.js.api.1")

const NOTHING: Registered = {}

function registered(): Registered {
  return (globalThis as { [REGISTRY]?: Registered })[REGISTRY] ?? NOTHING
}

/** Notices that an SDK was registered or taken away, for the price of three comparisons. */
export class Registration {
  #last: Registered | undefined

  /** Whether anything changed since this was last asked; at first, whatever there is has. */
  hasChanged(): boolean {
    const { trace, metrics, context } = registered()
    const last = this.#last
    if (last?.trace === trace && last?.metrics === metrics && last?.context === context && last) return false
    this.#last = { ...(trace && { trace }), ...(metrics && { metrics }), ...(context && { context }) }
    return true
  }
}

/** What the API's proxy stands for as long as no SDK is registered. */
const NO_PROVIDER = new ProxyTracerProvider().getDelegate()

/** The tracer provider of the SDK that is registered now. */
export function registeredTracerProvider(): TracerProvider | undefined {
  const provider = trace.getTracerProvider()
  const actual = provider instanceof ProxyTracerProvider ? provider.getDelegate() : provider
  return actual === NO_PROVIDER ? undefined : actual
}

/** The meter provider that is registered now; without an SDK, one whose meters do nothing. */
export function registeredMeterProvider(): MeterProvider {
  return metrics.getMeterProvider()
}

/**
 * Tells the active context, for hits; without a context manager no span is ever active. The API looks its manager up anew
 * and checks its version every time it is asked, and the SDK's manager goes the long way round when there is none. A hit
 * asks the storage that the manager keeps its contexts in, if it keeps them in one, and else the manager.
 */
export function registeredContexts(): ContextSource | undefined {
  const manager = registered().context
  const storage = manager && Object.values(manager).find(isStorage)
  if (manager === undefined || storage === undefined) return manager
  const stored = storage.getStore()
  const agrees = stored === undefined ? !trace.getSpan(manager.active()) : stored === manager.active()
  return agrees ? { active: () => storage.getStore() } : manager
}

/** Whether to call something in a context is to call it: once, with its arguments, for what it returns. */
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
