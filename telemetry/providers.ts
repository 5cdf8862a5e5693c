import {
  type Context,
  type MeterProvider,
  metrics,
  ProxyTracerProvider,
  type TracerProvider,
  trace,
} from "@opentelemetry/api"

/** Tells the active context. */
export interface ContextSource {
  active(): Context
}

/** What is registered with the API. */
interface Registered {
  readonly trace?: object
  readonly metrics?: object
  readonly context?: ContextSource
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
 * The context manager that is registered now; without one no span is ever active. For hits, to be asked directly: the API
 * looks it up anew, and checks its version, every time that it is asked, which takes longer than the answer.
 */
export function registeredContextManager(): ContextSource | undefined {
  return registered().context
}
