import { trace } from "@opentelemetry/api"
import { afterEach, expect, test } from "vitest"
import { Failures } from "../../src/failures.ts"
import { Telemetry } from "../../telemetry/store-telemetry.ts"
import type { Backend } from "../../tiers/backend.ts"
import { coalescing } from "../../tiers/wrappers/coalescing.ts"
import { forward } from "../../tiers/wrappers/forward.ts"
import { resilient } from "../../tiers/wrappers/resilience/resilience.ts"
import { inRequest, registerTracing, shape, unregisterAll } from "../support/otel.ts"
import { remoteMemory } from "../support/remote-memory.ts"
import { settle, testRuntime } from "../support/runtime.ts"

afterEach(unregisterAll)

/** Holds reads until `go` is called, and then forwards them, outside the contexts of their callers. */
function postponed(inner: Backend): { backend: Backend; go: () => void } {
  const waiting: (() => void)[] = []
  const backend = forward(inner, {
    get: (key, callers) => new Promise((resolve) => waiting.push(() => resolve(inner.get(key, callers)))),
    getMany: (keys, callers) =>
      new Promise((resolve) => waiting.push(() => resolve(inner.getMany(keys, callers)))),
  })
  return {
    backend,
    go() {
      for (const pass of waiting.splice(0)) pass()
    },
  }
}

test("a call belongs to its first caller and links to the others, though a wrapper in between is asynchronous", async () => {
  const tracing = registerTracing()
  const runtime = testRuntime()
  const remote = remoteMemory({ runtime })
  const telemetry = new Telemetry("test", remote, runtime, new Failures(() => 0, "test", "memory"), {})
  const { backend, go } = postponed(resilient(remote, { runtime, observer: telemetry.calls }))
  const coalesced = coalescing(backend)
  const get = (key: string) =>
    telemetry.operation(
      "get",
      key,
      (caller) => coalesced.get(key, { callers: [caller] }),
      () => ({ tier: "l2" }),
      undefined,
    )

  const lone = inRequest("lone", () => get("a"))
  await settle()
  expect(trace.getActiveSpan()).toBeUndefined()
  go()
  await lone
  const all = tracing.spans()
  const parents = [
    all.find(({ name }) => name === "get memory"),
    all.find(({ name }) => name === "cache.get test"),
  ]
  expect(parents.map((span) => span && shape(span, all))).toEqual([
    { name: "get memory", parent: "cache.get test", links: [] },
    { name: "cache.get test", parent: "lone", links: [] },
  ])

  tracing.reset()
  const together = ["one", "two", "three"].map((name) => inRequest(name, () => get(name)))
  await settle()
  go()
  await Promise.all(together)
  const spans = tracing.spans()
  const requestOf = (spanId: string | undefined) => {
    const operation = spans.find((span) => span.spanContext().spanId === spanId)
    return operation && shape(operation, spans).parent
  }
  const call = tracing.span("getMany memory")
  expect(requestOf(call.parentSpanContext?.spanId)).toBe("one")
  expect(call.links.map(({ context }) => requestOf(context.spanId))).toEqual(["two", "three"])
})
