/**
 * The part of a key that spans have as `cache.key`. Keys are often personal data.
 *
 * `"off"`: nothing. `"prefix"`: the key up to and including the first `:`, nothing of a key without one. `"hash"`: the first 16
 * hexadecimal digits of its SHA-256, which can be reversed by trying keys. `"full"`: the whole key. A function: its result.
 */
export type ShownKeys = "off" | "prefix" | "hash" | "full" | ((key: string) => string)

export interface TelemetrySpanOptions {
  /**
   * What an L1 hit records under an active, recording span. `"span"`: a child span. `"attribute"`: the number of hits, as
   * `tiered_kv.l1.hits` of the active span. `"off"`: nothing. Without such a span a hit records nothing.
   * @default "span"
   */
  l1Hits?: "span" | "attribute" | "off"
  /** The part of a key that spans have. @default "off" */
  keys?: ShownKeys
  /** `true`: spans are made only under an active span, so that work outside of a request makes no traces. @default false */
  requireParent?: boolean
}

/** A `TracerProvider` of OpenTelemetry. Declared here so that the types of this package do not need those of OpenTelemetry. */
export interface GivesTracers {
  getTracer(name: string, version?: string): object
}

/** A `MeterProvider` of OpenTelemetry. */
export interface GivesMeters {
  getMeter(name: string, version?: string): object
}

/** What a store reports to OpenTelemetry. Without a registered SDK it reports nothing. */
export interface TelemetryOptions {
  /** Options of spans; `false`: no spans. @default {} */
  spans?: TelemetrySpanOptions | false
  /** `false`: no metrics. @default true */
  metrics?: boolean
  /** Makes the tracer of the store. @default the registered provider, at any time */
  tracerProvider?: GivesTracers
  /** Makes the meter of the store. @default the registered provider, at any time */
  meterProvider?: GivesMeters
}
