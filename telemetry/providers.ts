import {
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
