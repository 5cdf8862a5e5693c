import {
  type Context,
  context,
  type MeterProvider,
  metrics,
  ProxyTracerProvider,
  type TracerProvider,
  trace,
} from "@opentelemetry/api"

/** What the API's proxy stands for as long as no SDK is registered. */
const NONE = new ProxyTracerProvider().getDelegate()

/** The tracer provider of the SDK that is registered now. */
export function registeredTracerProvider(): TracerProvider | undefined {
  const provider = trace.getTracerProvider()
  const actual = provider instanceof ProxyTracerProvider ? provider.getDelegate() : provider
  return actual === NONE ? undefined : actual
}

/** The meter provider that is registered now; without an SDK, one whose meters do nothing. */
export function registeredMeterProvider(): MeterProvider {
  return metrics.getMeterProvider()
}

/** Where the API, of whatever copy, keeps what was registered: the one thing that its copies share. */
const REGISTRY = Symbol.for("opentelemetry.js.api.1")

/** Tells the active context. */
export interface ContextSource {
  active(): Context
}

/**
 * The context manager that is registered now, to be asked directly: the API looks it up anew, and checks its version, every
 * time it is asked for the active context, which takes twice as long as the answer. `undefined` if there is none, so that
 * no span is ever active. An API that keeps it elsewhere is asked itself.
 */
export function registeredContextManager(): ContextSource | undefined {
  const registry: unknown = Reflect.get(globalThis, REGISTRY)
  if (typeof registry !== "object" || registry === null) return context
  const manager: unknown = Reflect.get(registry, "context")
  return manager === undefined || isContextSource(manager) ? manager : context
}

function isContextSource(manager: unknown): manager is ContextSource {
  return typeof manager === "object" && manager !== null && "active" in manager
}
