import type { Attributes, Context, Link, Span, SpanKind, Tracer, TracerProvider } from "@opentelemetry/api"
import { errorType } from "../src/failures.ts"
import type { KeyCounts, OperationName, Outcome } from "../src/listener.ts"
import type { Place } from "../tiers/backend.ts"
import { isKvError } from "../tiers/errors.ts"
import { installedVersion } from "../tiers/util/packages.ts"
import { activeContext, ERROR, INTERNAL, isValid, spanOf, withoutSpan, withSpan } from "./api.ts"
import { shownKey } from "./keys.ts"
import { ATTRIBUTE, OPERATION, SCOPE, SENTRY_OP } from "./names.ts"
import type { TelemetrySpanOptions } from "./options.ts"
import { type ContextSource, registeredContexts, registeredTracerProvider } from "./providers.ts"
import { report, safely } from "./safely.ts"

/** A span that has not ended, and the context of its operation. */
export interface Spanned {
  readonly span: Span
  readonly context: Context
}

/** L1 hits under each span, with `l1Hits: "attribute"`; of all stores, because the span has one such attribute. */
const hitsUnder = new WeakMap<Span, number>()

/** The spans of one store. */
export class Spans {
  /** The tracer of the registered SDK, if there is one. */
  tracer: Tracer | undefined
  readonly #l1Hits: NonNullable<TelemetrySpanOptions["l1Hits"]>
  readonly #store: string
  readonly #keys: NonNullable<TelemetrySpanOptions["keys"]>
  readonly #requireParent: boolean
  readonly #given: TracerProvider | undefined
  /** The server of the backend, on the spans of operations. */
  readonly #peer: Attributes
  #provider: TracerProvider | undefined
  #contexts: ContextSource | undefined
  /** The last context found without a recording span. It stays so: contexts do not change, and spans only stop recording. */
  #unheard: Context | undefined

  constructor(
    store: string,
    { l1Hits = "span", keys = "off", requireParent = false }: TelemetrySpanOptions,
    provider: TracerProvider | undefined,
    { address, port }: Place = {},
  ) {
    this.#peer = {
      ...(address === undefined ? {} : { [ATTRIBUTE.peerAddress]: address }),
      ...(port === undefined ? {} : { [ATTRIBUTE.peerPort]: port }),
    }
    this.#store = store
    this.#l1Hits = l1Hits
    this.#keys = keys
    this.#requireParent = requireParent
    this.#given = provider
  }

  /** Looks up the tracer and the context manager again after an SDK was registered or removed. */
  sync(): void {
    this.#contexts = safely(registeredContexts)
    const provider = this.#given ?? registeredTracerProvider()
    if (provider === this.#provider) return
    this.#provider = provider
    this.tracer = provider && safely(() => provider.getTracer(SCOPE, installedVersion("tiered-kv")))
  }

  /** The span of an operation that L1 cannot answer. */
  operation(name: OperationName, key: string | undefined): Spanned | undefined {
    return this.start(() => this.#cacheSpan(OPERATION[name], key))
  }

  /** The span of a load that callers wait for. */
  load(key: string): Spanned | undefined {
    return this.start(() => this.#cacheSpan("load", key, "absent"))
  }

  /** The span of a load in the background: a separate trace, with a link to the span that was active when it began. */
  refresh(key: string): Spanned | undefined {
    return this.start(() => {
      const cause = activeContext()
      const span = this.#cacheSpan("refresh", key, "refresh_ahead")
      return { ...span, parent: withoutSpan(cause), links: linksTo([cause]) }
    })
  }

  /** Starts a span; returns `undefined` without a tracer, or if `requireParent` is set and no span is active. */
  start(describe: () => SpanStart): Spanned | undefined {
    const { tracer } = this
    if (tracer === undefined) return undefined
    return safely(() => {
      const start = describe()
      const { parent, links } = start
      if (this.#requireParent && spanOf(parent) === undefined && !links?.length) return undefined
      const span = tracer.startSpan(start.name, start, parent)
      return { span, context: withSpan(parent, span) }
    })
  }

  #cacheSpan(word: string, key: string | undefined, reason?: string): SpanStart {
    const attributes: Attributes = { [ATTRIBUTE.name]: this.#store, [ATTRIBUTE.operation]: word }
    if (reason !== undefined) attributes[ATTRIBUTE.loadReason] = reason
    const shown = key === undefined || this.#keys === "off" ? undefined : this.#shown(key)
    if (shown !== undefined) attributes[ATTRIBUTE.key] = [shown]
    const op = SENTRY_OP[word]
    if (op !== undefined) Object.assign(attributes, { [ATTRIBUTE.sentryOp]: op }, this.#peer)
    return {
      name: `cache.${word} ${this.#store}`,
      parent: activeContext(),
      kind: INTERNAL,
      attributes,
    }
  }

  /** The active context, if an SDK traces. */
  capture(): Context | undefined {
    return this.tracer && safely(() => activeContext())
  }

  /** Whether a hit may record something: there is a tracer, and a span can be active. */
  get hearsHits(): boolean {
    return this.tracer !== undefined && this.#contexts !== undefined && this.#l1Hits !== "off"
  }

  /** Is called for each answer from L1, on the hot path: without a recording span it only looks for one. */
  readonly onHit = (
    operation: OperationName,
    key: string | undefined,
    size: number | undefined,
    keys?: KeyCounts,
  ): void => {
    try {
      const here = this.#contexts?.active()
      if (here === this.#unheard || here === undefined) return
      const active = spanOf(here)
      if (active?.isRecording()) this.#hit(active, operation, key, size, keys)
      else this.#unheard = here
    } catch (error) {
      report(error)
    }
  }

  #hit(
    active: Span,
    operation: OperationName,
    key: string | undefined,
    size: number | undefined,
    keys: KeyCounts | undefined,
  ): void {
    if (this.#l1Hits === "attribute") {
      const hits = (hitsUnder.get(active) ?? 0) + 1
      hitsUnder.set(active, hits)
      active.setAttribute(ATTRIBUTE.l1Hits, hits)
      return
    }
    const hit = keys === undefined ? size !== undefined : keys.absent === 0
    const result = hit ? "hit" : "negative"
    const started = this.operation(operation, key)
    if (started !== undefined)
      end(started, outcomeAttributes({ tier: "l1", result, hit, size, ...(keys && { keys }) }))
  }

  #shown(key: string): string | undefined {
    const shown = safely(() => shownKey(this.#keys, key))
    return typeof shown === "string" ? shown : undefined
  }
}

/** What a span starts with. */
export interface SpanStart {
  name: string
  parent: Context
  kind: SpanKind
  attributes: Attributes
  links?: Link[]
}

/** Ends a span without an error. */
export function end({ span }: Spanned, attributes?: Attributes): void {
  if (attributes !== undefined && span.isRecording()) span.setAttributes(attributes)
  span.end()
}

/** Ends a span whose caller aborted the operation, which is no error. */
export function endAborted(started: Spanned, error: unknown): void {
  end(started, { [ATTRIBUTE.result]: "aborted", [ATTRIBUTE.errorType]: errorType(error) })
}

/** Ends a span whose caller gets an error. The message of a loader's error may hold private data, so only a `KvError`'s message is recorded. */
export function endFailed({ span }: Spanned, error: unknown, attributes: Attributes = {}): void {
  if (span.isRecording()) {
    span.setAttributes({ ...attributes, [ATTRIBUTE.errorType]: errorType(error) })
    span.setStatus({ code: ERROR, ...(isKvError(error) ? { message: error.message } : {}) })
  }
  span.end()
}

/** Links the span of `caller` to the span of `other`, for which it waits. */
export function waitFor(caller: unknown, other: unknown): void {
  const waiting = isContext(caller) ? spanOf(caller) : undefined
  if (!waiting?.isRecording()) return
  waiting.setAttribute(ATTRIBUTE.coalesced, true)
  // Spans of SDKs before 1.23 have no links that are added later.
  waiting.addLinks?.(linksTo([other]))
}

/** Links to the spans of these contexts, each once, except to the span in `except`. */
export function linksTo(captured: readonly unknown[], except?: Context): Link[] {
  const seen = new Set<string>()
  const own = except && spanOf(except)?.spanContext()
  if (own !== undefined) seen.add(own.spanId)
  const links: Link[] = []
  for (const one of captured) {
    const target = isContext(one) ? spanOf(one)?.spanContext() : undefined
    if (target === undefined || !isValid(target) || seen.has(target.spanId)) continue
    seen.add(target.spanId)
    links.push({ context: target })
  }
  return links
}

export function isContext(captured: unknown): captured is Context {
  return typeof captured === "object" && captured !== null && "getValue" in captured
}

/** The attributes of an outcome. */
export function outcomeAttributes({ tier, result, hit, size, ttlMs, applied, keys }: Outcome): Attributes {
  const attributes: Attributes = { [ATTRIBUTE.tier]: tier }
  if (result !== undefined) attributes[ATTRIBUTE.result] = result
  if (hit !== undefined) attributes[ATTRIBUTE.hit] = hit
  if (size !== undefined) attributes[ATTRIBUTE.itemSize] = size
  if (applied !== undefined) attributes[ATTRIBUTE.write] = applied
  if (ttlMs !== undefined) attributes[ATTRIBUTE.ttl] = Math.ceil(ttlMs / 1_000)
  if (keys === undefined) return attributes
  attributes[ATTRIBUTE.keysFromL2] = keys.l2
  if (keys.l1 !== undefined) attributes[ATTRIBUTE.keysFromL1] = keys.l1
  if (keys.absent !== undefined) attributes[ATTRIBUTE.keysAbsent] = keys.absent
  return attributes
}
