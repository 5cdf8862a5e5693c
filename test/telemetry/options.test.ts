import { createRequire } from "node:module"
import { describe, expect, test } from "vitest"
import { type KvOptions, kv } from "../../src/index.ts"

/** Whether OpenTelemetry's API is among the modules of this process. */
function apiIsLoaded(): boolean {
  const loaded = Object.keys(createRequire(import.meta.url).cache)
  return loaded.some((file) => file.includes("/@opentelemetry/api/"))
}

test("no store loads OpenTelemetry's API, with telemetry or without", async () => {
  for (const telemetry of [{}, false] as const) {
    const store = await kv("test", { backend: "memory:", telemetry })
    await store.set("a", "1")
    await store.get("a")
    await store.get("a")
    await store.close()
  }
  expect(apiIsLoaded()).toBe(false)
  createRequire(import.meta.url)("@opentelemetry/api")
  expect(apiIsLoaded(), "that the check sees the API").toBe(true)
})

describe("options of telemetry that are refused, and told what is allowed", () => {
  const wrong: [telemetry: unknown, message: RegExp][] = [
    [true, /telemetry is an object of options, or false; got true/],
    ["on", /telemetry is an object/],
    [null, /telemetry is an object/],
    [{ span: {} }, /no option "span" here; known are spans, metrics, tracerProvider, meterProvider/],
    [{ spans: true }, /telemetry\.spans is an object of options, or false/],
    [{ spans: { hits: "off" } }, /no option "hits" here; known are l1Hits, keys, requireParent/],
    [{ spans: { l1Hits: false } }, /l1Hits is "span" or "attribute" or "off"; got false/],
    [{ spans: { l1Hits: "all" } }, /l1Hits is "span"/],
    [{ spans: { keys: true } }, /keys is "off" or "prefix" or "hash" or "full" or a function; got true/],
    [{ spans: { keys: "some" } }, /keys is "off"/],
    [{ spans: { requireParent: "yes" } }, /requireParent is true or false/],
    [{ metrics: {} }, /metrics is true or false/],
    [{ metrics: 1 }, /metrics is true or false; got 1/],
    [{ tracerProvider: {} }, /tracerProvider is a provider of OpenTelemetry, with a method getTracer/],
    [{ meterProvider: "none" }, /meterProvider is a provider of OpenTelemetry, with a method getMeter/],
  ]

  test.each(wrong)("%j", async (telemetry, message) => {
    const options = { backend: "memory:", telemetry } as KvOptions
    await expect(kv("wrong", options)).rejects.toMatchObject({
      code: "INVALID_OPTION",
      message: expect.stringMatching(message),
    })
  })
})

test("telemetry with every option at its default is telemetry without options, and undefined stands for the default", async () => {
  const telemetry = { spans: { l1Hits: "span", keys: "off", requireParent: false }, metrics: true } as const
  const undefinedOnes = { spans: { l1Hits: undefined }, metrics: undefined, tracerProvider: undefined }
  for (const options of [telemetry, undefinedOnes, {}, undefined]) {
    const store = await kv("defaults", { backend: "memory:", telemetry: options } as KvOptions)
    expect(await store.set("a", "1")).toBe(true)
    await store.close()
  }
})
