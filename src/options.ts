import type { TelemetryOptions } from "../telemetry/options.ts"
import { KvError } from "../tiers/errors.ts"
import type { L1Settings } from "../tiers/l1/settings.ts"
import { DEFAULTS, LATEST_EXPIRY, MAX_L1_ENTRIES, MAX_PAGE_LIMIT, MIN_TTL_MS } from "../tiers/limits.ts"
import { type Runtime, systemRuntime } from "../tiers/runtime.ts"
import {
  bool,
  type Check,
  type Checks,
  checkOptions,
  describe,
  invalidOption,
  oneOf,
  optional,
  rule,
  runtimeOption,
  show,
  wholeNumber,
} from "../tiers/util/checks.ts"
import { RESILIENCE_CHECKS, type StoreResilience, timeoutsOf } from "../tiers/wrappers/resilience/options.ts"
import type { KvOptions, L1Options } from "./api.ts"

const signal: Checks = { signal: optional(checkSignal) }
const read: Checks = { ...signal, consistency: optional(oneOf("consistency", ["cached", "strong"])) }
const readJson: Checks = { ...read, mutable: optional(bool("mutable")) }
const write: Checks = { ...signal, ttlMs: checkTtl }

/** The options of each kind of call, with their checks. An option that is not listed is refused, never ignored. */
export const OPTIONS = {
  signal,
  read,
  readJson,
  readMany: { ...read, fill: optional(bool("fill")) },
  readManyJson: { ...readJson, fill: optional(bool("fill")) },
  write,
  put: { ...write, ifNotExists: bool("ifNotExists"), ifVersion: given("ifVersion") },
  delete: { ...signal, ifVersion: given("ifVersion") },
  scanPage: {
    ...signal,
    limit: optional(wholeNumber("limit", 1, MAX_PAGE_LIMIT)),
    cursor: optional(() => {}),
  },
  scan: {
    ...signal,
    limit: optional(wholeNumber("limit", 1, MAX_PAGE_LIMIT)),
    cursor: optional(() => {}),
    fill: optional(bool("fill")),
  },
  getOrSet: {
    ...readJson,
    ttlMs: checkTtl,
    as: optional(oneOf("as", ["json", "text", "bytes"])),
    refreshAheadMs: optional(wholeNumber("refreshAheadMs", 0)),
  },
} satisfies Record<string, Checks>

/** The expiry of a value written at `now`, Unix ms; `undefined` if it does not expire. Throws `INVALID_TTL` after the year 9999. */
export function expiryOf(ttlMs: number | undefined, now: number, operation: string): number | undefined {
  if (ttlMs === undefined) return undefined
  const expiresAt = now + ttlMs
  if (expiresAt <= LATEST_EXPIRY) return expiresAt
  throw new KvError(
    "INVALID_TTL",
    "ttlMs reaches beyond the year 9999; leave it out for a value that never expires",
    {
      operation,
    },
  )
}

/** L1's settings with their defaults; `undefined` for `l1: false`. With a bus, an entry is kept to be confirmed by its version. */
function l1Settings(options: L1Options | false | undefined, hasBus: boolean): L1Settings | undefined {
  if (options === false) return undefined
  const given = withoutUndefined(options ?? {})
  if (!hasBus) return { ...DEFAULTS.l1, ...given }
  const settings = { ...DEFAULTS.l1, ttlMs: DEFAULTS.busTtlMs, ...given }
  return { ...settings, keptMs: settings.ttlMs }
}

const L1_CHECKS: Checks = {
  maxEntries: optional(wholeNumber("l1.maxEntries", 1, MAX_L1_ENTRIES)),
  maxBytes: optional(wholeNumber("l1.maxBytes", 1)),
  ttlMs: optional(wholeNumber("l1.ttlMs", 1)),
  negativeTtlMs: optional(wholeNumber("l1.negativeTtlMs", 0)),
  fillOnWrite: optional(bool("l1.fillOnWrite")),
  jitter: optional(
    rule(
      "l1.jitter",
      (value) => typeof value === "number" && value >= 0 && value < 1,
      "a number of at least 0 and less than 1",
    ),
  ),
}

const TELEMETRY_CHECKS: Checks = {
  spans: optional(
    optionsOrFalse("telemetry.spans", {
      l1Hits: optional(oneOf("telemetry.spans.l1Hits", ["span", "attribute", "off"])),
      keys: optional((value, operation) => {
        if (typeof value === "function") return
        oneOf("telemetry.spans.keys", ["off", "prefix", "hash", "full"], " or a function")(value, operation)
      }),
      requireParent: optional(bool("telemetry.spans.requireParent")),
    }),
  ),
  metrics: optional(bool("telemetry.metrics")),
  tracerProvider: optional(provider("telemetry.tracerProvider", "getTracer")),
  meterProvider: optional(provider("telemetry.meterProvider", "getMeter")),
}

const KV_CHECKS: Checks = {
  backend: optional((value, operation) => {
    if (typeof value === "string" || (typeof value === "object" && value !== null && "traits" in value))
      return
    throw invalidOption(`backend is a URL or a backend; got ${describe(value)}`, operation)
  }),
  l1: optional(optionsOrFalse("l1", L1_CHECKS)),
  telemetry: optional(optionsOrFalse("telemetry", TELEMETRY_CHECKS)),
  ...RESILIENCE_CHECKS,
  openLazily: optional(bool("openLazily")),
  quarantineMs: optional(wholeNumber("quarantineMs", 0)),
  isolated: optional(bool("isolated")),
  bus: optional((value, operation) => {
    if (value === false || typeof value === "string") return
    if (typeof value === "object" && value !== null && "publish" in value) return
    throw invalidOption(`bus is a URL, a bus or false; got ${describe(value)}`, operation)
  }),
  staleness: optional(oneOf("staleness", ["bounded", "ttl"])),
  runtime: runtimeOption,
}

export interface KvSettings {
  l1: L1Settings | undefined
  telemetry: TelemetryOptions | false
  resilience: StoreResilience
  /** Longest time of one request of a backend that is made here, where the call does not say, ms. */
  timeoutMs: number
  openLazily: boolean
  quarantineMs: number
  isolated: boolean
  staleness: "bounded" | "ttl"
  runtime: Runtime
}

/** The options of a store, all checked. */
export function checkKvOptions(options: KvOptions | undefined): void {
  checkOptions(options, KV_CHECKS, "open")
  if (options?.l1 !== false) checkOptions(options?.l1, L1_CHECKS, "open")
}

/** The options of a store with their defaults. */
export function kvSettings(options: KvOptions | undefined, hasBus: boolean): KvSettings {
  const { timeoutMs, attemptTimeoutMs, retryBudget, maxConcurrency, maxQueue } = options ?? {}
  return {
    l1: l1Settings(options?.l1, hasBus),
    telemetry: options?.telemetry ?? {},
    resilience: { timeoutMs, attemptTimeoutMs, retryBudget, maxConcurrency, maxQueue },
    timeoutMs: timeoutsOf(timeoutMs).write,
    openLazily: options?.openLazily ?? false,
    quarantineMs: options?.quarantineMs ?? DEFAULTS.quarantineMs,
    isolated: options?.isolated ?? false,
    staleness: options?.staleness ?? "bounded",
    runtime: options?.runtime ?? systemRuntime,
  }
}

function checkTtl(value: unknown, operation: string): void {
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= MIN_TTL_MS) return
  throw new KvError(
    "INVALID_TTL",
    `ttlMs is a whole number of milliseconds, at least ${MIN_TTL_MS}; got ${show(value)}. Leave the option out for a value that never expires`,
    { operation },
  )
}

function checkSignal(value: unknown, operation: string): void {
  if (value instanceof AbortSignal) return
  throw invalidOption(`signal is an AbortSignal; got ${describe(value)}`, operation)
}

function given(name: string): Check {
  return (value, operation) => {
    if (value !== undefined) return
    throw invalidOption(`${name} is undefined; leave the option out for an unconditional call`, operation)
  }
}

function optionsOrFalse(name: string, checks: Checks): Check {
  return (value, operation) => {
    if (value === false) return
    if (typeof value === "object" && value !== null) return checkOptions(value, checks, operation)
    throw invalidOption(`${name} is an object of options, or false; got ${show(value)}`, operation)
  }
}

function provider(name: string, method: string): Check {
  return (value, operation) => {
    if (typeof value === "object" && value !== null && method in value) return
    const message = `${name} is a provider of OpenTelemetry, with a method ${method}; got ${describe(value)}`
    throw invalidOption(message, operation)
  }
}

function withoutUndefined<T extends object>(options: T): T {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as T
}
