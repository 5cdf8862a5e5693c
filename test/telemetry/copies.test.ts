import { afterEach, describe, expect, test, vi } from "vitest"
import { gatedStore } from "../support/gated-store.ts"
import { metricsOf, numberOf, registerTracing, unregisterAll } from "../support/otel.ts"
import { settle } from "../support/runtime.ts"

const REGISTRY = Symbol.for("opentelemetry.js.api.1")
const NEXT = Symbol.for("opentelemetry.js.api.2")

afterEach(() => {
  unregisterAll()
  Reflect.deleteProperty(globalThis, REGISTRY)
  Reflect.deleteProperty(globalThis, NEXT)
})

test("an SDK that came with an older copy of the API gets spans, links and metrics", async () => {
  const tracing = registerTracing()
  const { collect } = metricsOf()
  Reflect.set(Object(Reflect.get(globalThis, REGISTRY)), "version", "1.3.0")
  const { client, gate } = await gatedStore({ networked: true })
  gate.hold("get")
  const reads = [client.get("a"), client.get("a")]
  await settle()
  gate.releaseAll()
  await Promise.all(reads)
  expect(tracing.spans().map(({ name }) => name)).toEqual(["get memory", "cache.get test", "cache.get test"])
  const [call, first] = tracing.spans()
  expect(call?.parentSpanContext?.spanId).toBe(first?.spanContext().spanId)
  expect(tracing.spans()[2]?.links).toHaveLength(1)
  const missed = { "cache.tier": "l1", "cache.result": "miss" }
  expect(numberOf(await collect(), "tiered_kv.requests", missed)).toBe(2)
  await client.close()
})

describe("an SDK for another major version of the API is named once", () => {
  /** Opens two stores in a new copy of the package. */
  async function openTwo(): Promise<void> {
    vi.resetModules()
    const { kv } = await import("../../src/index.ts")
    for (const name of ["one", "two"]) await (await kv(name, { backend: "memory:" })).close()
  }

  test("in a warning of the process", async () => {
    Reflect.set(globalThis, NEXT, { version: "2.0.0", trace: {} })
    const warn = vi.spyOn(process, "emitWarning").mockReturnValue()
    await openTwo()
    expect(warn.mock.calls.map(([message]) => message)).toEqual([
      expect.stringMatching(/version 2 of @opentel/),
    ])
    warn.mockRestore()
  })

  test("to the logger of its diag, if it has one", async () => {
    const warn = vi.fn()
    Reflect.set(globalThis, NEXT, { version: "2.0.0", diag: { warn } })
    const emitWarning = vi.spyOn(process, "emitWarning").mockReturnValue()
    await openTwo()
    expect(warn.mock.calls).toEqual([[expect.stringMatching(/version 2 of @opentel/)]])
    expect(emitWarning).not.toHaveBeenCalled()
    emitWarning.mockRestore()
  })

  test("unless one for version 1 is registered, too", async () => {
    Reflect.set(globalThis, NEXT, { version: "2.0.0" })
    registerTracing()
    const warn = vi.spyOn(process, "emitWarning").mockReturnValue()
    await openTwo()
    expect(warn).not.toHaveBeenCalled()
    warn.mockRestore()
  })
})
