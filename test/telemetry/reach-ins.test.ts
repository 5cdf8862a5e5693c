import { AsyncLocalStorage } from "node:async_hooks"
import {
  context,
  createContextKey,
  isSpanContextValid,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
} from "@opentelemetry/api"
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks"
import { BasicTracerProvider } from "@opentelemetry/sdk-trace-base"
import { afterEach, describe, expect, test } from "vitest"
import {
  activeContext,
  CLIENT,
  ERROR,
  INTERNAL,
  isValid,
  spanOf,
  withoutSpan,
  withSpan,
} from "../../telemetry/api.ts"
import { changed } from "../support/canary.ts"
import { unregisterAll } from "../support/otel.ts"

describe("OpenTelemetry", () => {
  afterEach(unregisterAll)

  test("keeps what is registered under the symbol opentelemetry.js.api.1", () => {
    const manager = new AsyncLocalStorageContextManager()
    context.setGlobalContextManager(manager)
    const registered: unknown = Reflect.get(globalThis, Symbol.for("opentelemetry.js.api.1"))
    expect(registered, changed("OpenTelemetry's registry")).toHaveProperty("context", manager)
  })

  test("keeps the span of a context under a key of one name in all copies, and makes contexts that any copy can read", () => {
    const span = trace.wrapSpanContext({ traceId: "1".repeat(32), spanId: "2".repeat(16), traceFlags: 1 })
    expect(spanOf(trace.setSpan(ROOT_CONTEXT, span)), changed("OpenTelemetry's key of spans")).toBe(span)
    const own = withSpan(activeContext(), span)
    expect(trace.getSpan(own)).toBe(span)
    expect(trace.getSpan(withoutSpan(own))).toBeUndefined()
    expect(isValid(span.spanContext())).toBe(isSpanContextValid(span.spanContext()))
    expect([INTERNAL, CLIENT, ERROR]).toEqual([SpanKind.INTERNAL, SpanKind.CLIENT, SpanStatusCode.ERROR])
  })

  test("keeps the active context in an AsyncLocalStorage that is a member of the context manager", () => {
    const manager = new AsyncLocalStorageContextManager()
    const storages = Object.values(manager).filter((member) => member instanceof AsyncLocalStorage)
    expect(storages, changed("OpenTelemetry's context manager")).toHaveLength(1)
    const active = ROOT_CONTEXT.setValue(createContextKey("test"), 1)
    manager.with(active, () => {
      expect(storages[0]?.getStore(), changed("OpenTelemetry's context manager")).toBe(active)
    })
  })

  test("records no span in a context that suppresses tracing", () => {
    const key = createContextKey("OpenTelemetry SDK Context Key SUPPRESS_TRACING")
    const tracer = new BasicTracerProvider().getTracer("test")
    expect(tracer.startSpan("a", {}, ROOT_CONTEXT).isRecording()).toBe(true)
    const suppressed = tracer.startSpan("b", {}, ROOT_CONTEXT.setValue(key, true))
    expect(suppressed.isRecording(), changed("OpenTelemetry's key of suppression")).toBe(false)
  })
})
