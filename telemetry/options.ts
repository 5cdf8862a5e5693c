import type { MeterProvider, TracerProvider } from "@opentelemetry/api"

/**
 * How much of a key a span shows as `cache.key`. Keys are often personal data, so nothing by default.
 *
 * `"prefix"`: up to and including the first `:`, nothing of a key without one. `"hash"`: the first 16 hex digits of its
 * SHA-256, which tells keys apart but can be undone by trying keys. `"full"`: all of it. Or what a function makes of it.
 */
export type ShownKeys = "off" | "prefix" | "hash" | "full" | ((key: string) => string)

export interface TelemetrySpanOptions {
  /**
   * What an L1 hit leaves behind under an active, recording span: a span of its own, its number in the attribute
   * `tiered_kv.l1.hits` of that span, or nothing. Without such a span a hit leaves nothing, whatever this says.
   * @default "span"
   */
  l1Hits?: "span" | "attribute" | "off"
  /** How much of a key spans show. @default "off" */
  keys?: ShownKeys
  /** Whether spans are made only under an active one, so that work outside of any request makes no traces. @default false */
  requireParent?: boolean
}

/** What a store tells OpenTelemetry. Without a registered SDK it tells nothing, and a hit costs nothing more. */
export interface TelemetryOptions {
  /** `false` makes no spans. @default {} */
  spans?: TelemetrySpanOptions | false
  /** `false` makes no metrics. @default true */
  metrics?: boolean
  /** Where spans go. @default the one that is registered, whenever it is */
  tracerProvider?: TracerProvider
  /** Where metrics go. @default the one that is registered, whenever it is */
  meterProvider?: MeterProvider
}
