import { cp, mkdtemp, rm } from "node:fs/promises"
import { createRequire } from "node:module"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { context, ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api"
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks"
import { AlwaysOffSampler } from "@opentelemetry/sdk-trace-base"
import { afterEach, describe, expect, test } from "vitest"
import { type Kv, KvError, kv } from "../../src/index.ts"
import { type GatedStoreOptions, gatedStore } from "../support/gated-store.ts"
import {
  histogramOf,
  inRequest,
  metricsOf,
  registerTracing,
  shape,
  type TestTracing,
  unregisterAll,
} from "../support/otel.ts"
import { settle } from "../support/runtime.ts"

afterEach(unregisterAll)

const unavailable = () => new KvError("UNAVAILABLE", "down", { operation: "get", backend: "memory" })

async function traced(options: GatedStoreOptions = {}) {
  const tracing = registerTracing()
  return { tracing, ...(await gatedStore({ networked: true, ...options })) }
}

async function drain(pages: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of pages);
}

function shapes(tracing: TestTracing) {
  const spans = tracing.spans()
  return spans.map((span) => shape(span, spans))
}

describe("an operation that leaves L1", () => {
  const strong = { consistency: "strong" } as const
  const found = { "cache.tier": "l2", "cache.result": "hit", "cache.hit": true }
  const bypassed = { ...found, "cache.result": "bypass" }
  const missed = { "cache.tier": "l2", "cache.result": "miss", "cache.hit": false }
  const written = { "cache.tier": "l2", "cache.write": true }
  const size = { "cache.item_size": 3 }
  const one = { "cache.item_size": 1 }
  const sentryOps: Record<string, string> = { get: "get", exists: "get", set: "put", delete: "remove" }
  const cases: Record<string, [call: string, word: string, (client: Kv) => Promise<unknown>, object]> = {
    get: ["get", "get", (client) => client.get("a"), { ...found, ...size }],
    getText: ["get", "get", (client) => client.getText("a"), { ...found, ...size }],
    getJson: ["get", "get", (client) => client.getJson("a"), { ...found, ...size }],
    getEntry: ["get", "get", (client) => client.getEntry("a"), { ...found, ...size }],
    "get of an absent key": ["get", "get", (client) => client.get("absent"), missed],
    "get, strong": ["get", "get", (client) => client.get("a", strong), { ...bypassed, ...size }],
    exists: ["exists", "exists", (client) => client.exists("a"), found],
    "exists, strong": ["exists", "exists", (client) => client.exists("a", strong), bypassed],
    "exists of an absent key": ["exists", "exists", (client) => client.exists("absent"), missed],
    getMany: [
      "getMany",
      "get_many",
      (client) => client.getMany(["a", "b", "absent"]),
      { ...missed, "tiered_kv.keys.l1": 0, "tiered_kv.keys.l2": 2, "tiered_kv.keys.absent": 1 },
    ],
    "getMany of one key": [
      "get",
      "get_many",
      (client) => client.getManyText(["a", "a"]),
      { ...found, "tiered_kv.keys.l1": 0, "tiered_kv.keys.l2": 1, "tiered_kv.keys.absent": 0 },
    ],
    "getOrSet of a key that is there": [
      "get",
      "get_or_set",
      (client) => client.getOrSet("a", () => 1),
      { ...found, ...size },
    ],
    set: [
      "put",
      "set",
      (client) => client.set("c", "x", { ttlMs: 1_500 }),
      { ...written, ...one, "cache.ttl": 2 },
    ],
    put: ["put", "set", (client) => client.put("c", "x"), { ...written, ...one }],
    "set under a condition that does not hold": [
      "put",
      "set",
      (client) => client.set("a", "x", { ifNotExists: true }),
      { ...written, ...one, "cache.write": false },
    ],
    setMany: [
      "putMany",
      "set_many",
      (client) =>
        client.setMany([
          ["c", "x"],
          ["d", "y"],
        ]),
      { "cache.tier": "l2", "tiered_kv.keys.l2": 2 },
    ],
    delete: ["delete", "delete", (client) => client.delete("a"), written],
    deleteMany: [
      "deleteMany",
      "delete_many",
      (client) => client.deleteMany(["a", "b"]),
      { "cache.tier": "l2", "tiered_kv.keys.l2": 2 },
    ],
    scan: [
      "scan",
      "scan",
      (client) => drain(client.scan("")),
      { "cache.tier": "l2", "tiered_kv.keys.l2": 2 },
    ],
    scanPage: [
      "scan",
      "scan",
      (client) => client.scanPage("b"),
      { "cache.tier": "l2", "tiered_kv.keys.l2": 1 },
    ],
  }

  test.each(Object.entries(cases))(
    "%s: a span, and under it that of the call",
    async (_, [call, word, run, outcome]) => {
      const { tracing, client, elsewhere } = await traced()
      await elsewhere.put("a", "123")
      await elsewhere.put("b", "456")
      await inRequest("request", () => run(client))

      expect(shapes(tracing)).toEqual([
        { name: `${call} memory`, parent: `cache.${word} test`, links: [] },
        { name: `cache.${word} test`, parent: "request", links: [] },
        { name: "request", parent: undefined, links: [] },
      ])
      const operation = tracing.span(`cache.${word} test`)
      expect(operation.kind).toBe(SpanKind.INTERNAL)
      expect(operation.status.code).toBe(SpanStatusCode.UNSET)
      const op = sentryOps[/^[a-z]+/.exec(word)?.[0] ?? ""]
      const sentry = op === undefined ? {} : { "sentry.op": `cache.${op}` }
      const attributes = { "cache.name": "test", "cache.operation": word, ...outcome, ...sentry }
      expect(operation.attributes).toEqual(attributes)
      expect(operation.instrumentationScope.name).toBe("tiered-kv")
      expect(operation.instrumentationScope.version).toMatch(/^\d+\.\d+\.\d+/)

      const batched = call.endsWith("Many") ? { "db.operation.batch.size": word === "get_many" ? 3 : 2 } : {}
      const client_ = tracing.span(`${call} memory`)
      expect(client_.kind).toBe(SpanKind.CLIENT)
      expect(client_.attributes).toEqual({
        "db.system.name": "memory",
        "db.operation.name": call,
        "db.collection.name": "memory",
        ...batched,
      })
    },
  )

  test("has a span for each page of a scan", async () => {
    const { tracing, client, elsewhere } = await traced()
    for (const key of ["a", "b", "c"]) await elsewhere.put(key, key)
    await drain(client.scan("", { limit: 2 }))
    const pages = tracing.spans().filter(({ name }) => name === "cache.scan test")
    expect(pages.map(({ attributes }) => attributes["tiered_kv.keys.l2"])).toEqual([2, 1])
  })

  test("makes no span of the call where the backend is embedded", async () => {
    const { tracing, client } = await traced({ networked: false })
    await client.set("a", "1")
    await client.get("a")
    expect(shapes(tracing).map(({ name }) => name)).toEqual(["cache.set test", "cache.get test"])
  })

  test("has a root span where no span is active, and none with requireParent", async () => {
    const { tracing, client } = await traced()
    await client.get("a")
    expect(tracing.span("cache.get test").parentSpanContext).toBeUndefined()
    tracing.reset()

    const strict = await gatedStore({ networked: true, telemetry: { spans: { requireParent: true } } })
    await strict.client.get("a")
    await strict.client.getOrSet("a", () => 1, { ttlMs: 100 })
    await strict.client.getOrSet("a", () => 1, { ttlMs: 300, refreshAheadMs: 200 })
    await settle()
    expect(tracing.spans()).toEqual([])
    await inRequest("request", () => strict.client.get("b"))
    expect(tracing.span("cache.get test").parentSpanContext).toBeDefined()
    expect(tracing.span("get memory").parentSpanContext).toBeDefined()
  })

  test("keeps what the SDK would trace of the call out of the trace", async () => {
    const tracing = registerTracing()
    const noisy = async <T>(answer: T | Promise<T>) => {
      const span = trace.getTracer("sdk").startSpan("POST")
      await answer
      span.end()
      return answer
    }
    const { client } = await gatedStore({
      networked: true,
      behind: (table) => ({ ...table, get: (key) => noisy(table.get(key)) }),
    })
    await client.get("a")
    await client.getOrSet("b", () =>
      trace.getTracer("loader").startActiveSpan("origin", (span) => span.end()),
    )
    expect(shapes(tracing).map(({ name }) => name)).toEqual([
      "get memory",
      "cache.get test",
      "get memory",
      "origin",
      "cache.load test",
      "cache.get_or_set test",
    ])
  })

  test("names the server, the script, and what the service said of a failure, by the conventions", async () => {
    const tracing = registerTracing()
    const { collect } = metricsOf()
    const said = { "db.response.status_code": "Slow", "aws.request_id": "42" }
    const place = { collection: "rows", address: "host", port: 1, region: "eu" }
    const { client, gate } = await gatedStore({
      networked: true,
      behind: (table) => {
        const procedures = { put: "write" }
        const responseAttributes = (error: unknown) => (error === "of the SDK" ? said : {})
        const conditionalDelete = { call: "script", procedure: "write" }
        return {
          ...table,
          traits: { ...table.traits, place, procedures, conditionalDelete, responseAttributes },
        }
      },
    })
    const { version = "" } = await client.put("a", "1")
    expect(await client.delete("a", { ifVersion: version })).toBe(true)
    await client.delete("a")
    const mapped = new KvError("ACCESS_DENIED", "no", { operation: "get", cause: "of the SDK" })
    gate.script("get", { fail: new KvError("ACCESS_DENIED", "no", { operation: "get", cause: mapped }) })
    await expect(client.get("a")).rejects.toThrow()

    const server = { "server.address": "host", "server.port": 1, "cloud.region": "eu" }
    const put = tracing.span("put rows").attributes
    expect(put).toMatchObject({ ...server, "db.stored_procedure.name": "write" })
    expect(tracing.span("delete rows").attributes).not.toHaveProperty("db.stored_procedure.name")
    expect(tracing.span("script rows").attributes).toMatchObject({
      ...server,
      "db.operation.name": "script",
      "db.stored_procedure.name": "write",
    })
    expect(tracing.span("get rows").attributes).toMatchObject({ ...server, ...said })
    const operation = tracing.span("cache.get test").attributes
    expect(operation).toMatchObject({ "network.peer.address": "host", "network.peer.port": 1 })
    const timed = { "db.response.status_code": "Slow", "aws.request_id": undefined }
    expect(histogramOf(await collect(), "db.client.operation.duration", timed)?.count).toBe(1)
  })

  test("has an error on its span only if its caller sees one", async () => {
    const { tracing, client, gate, runtime } = await traced()
    gate.script("get", { fail: unavailable() })
    const reading = client.get("a")
    await settle()
    await runtime.advance(100)
    await reading
    expect(tracing.span("cache.get test").status.code).toBe(SpanStatusCode.UNSET)
    expect(tracing.span("get memory").status.code).toBe(SpanStatusCode.UNSET)
    expect(tracing.span("get memory").attributes["tiered_kv.retry.count"]).toBe(1)
    expect(tracing.span("get memory").attributes["error.type"]).toBeUndefined()
    tracing.reset()

    gate.always("get", { fail: new KvError("ACCESS_DENIED", "no", { operation: "get" }) })
    await expect(client.get("b")).rejects.toThrow()
    for (const name of ["cache.get test", "get memory"]) {
      const { status, attributes } = tracing.span(name)
      expect(status.code).toBe(SpanStatusCode.ERROR)
      expect(attributes["error.type"]).toBe("ACCESS_DENIED")
    }
    expect(tracing.span("cache.get test").attributes).toMatchObject({
      "cache.tier": "l2",
      "cache.result": "error",
    })
  })

  test("counts the attempts of concurrent calls apart", async () => {
    const { tracing, client, gate, runtime } = await traced()
    gate.script("exists", { fail: unavailable() }, "pass", { fail: unavailable() })
    const all = ["a", "b", "c"].map((key) => inRequest(key, () => client.exists(key)))
    await settle()
    await runtime.advance(1_000)
    await Promise.all(all)
    const spans = tracing.spans().filter(({ name }) => name === "exists memory")
    const retries = spans.map((span) => [
      requestOf(span, tracing),
      span.attributes["tiered_kv.retry.count"] ?? 0,
    ])
    expect(Object.fromEntries(retries)).toEqual({ a: 1, b: 0, c: 1 })
  })

  test("ends its span as aborted, and not as failed, when its caller gives up", async () => {
    const { tracing, client, gate } = await traced()
    gate.hold("get")
    const controller = new AbortController()
    const reading = client.get("a", { signal: controller.signal })
    await settle()
    controller.abort()
    await expect(reading).rejects.toThrow()
    const span = tracing.span("cache.get test")
    expect(span.attributes).toMatchObject({ "cache.result": "aborted", "error.type": "AbortError" })
    expect(span.status.code).toBe(SpanStatusCode.UNSET)
    gate.releaseAll()
    await settle()
    expect(tracing.span("get memory").status.code).toBe(SpanStatusCode.UNSET)
  })

  test("has an error on its span and on that of the call where a batch fails for some keys", async () => {
    const { tracing, client, gate } = await traced()
    gate.script("putMany", { keys: { b: new KvError("ACCESS_DENIED", "no", { operation: "putMany" }) } })
    const writing = client.setMany([
      ["a", "1"],
      ["b", "2"],
    ])
    await expect(writing).rejects.toThrow()
    expect(tracing.span("cache.set_many test").attributes["error.type"]).toBe("PARTIAL_FAILURE")
    expect(tracing.span("putMany memory").attributes["error.type"]).toBe("ACCESS_DENIED")
  })
})

/** The name of the root above a span. */
function requestOf(
  span: { parentSpanContext?: { spanId: string }; name: string },
  tracing: TestTracing,
): string {
  const parent = tracing
    .spans()
    .find((other) => other.spanContext().spanId === span.parentSpanContext?.spanId)
  return parent === undefined ? span.name : requestOf(parent, tracing)
}

describe("an L1 hit", () => {
  const hits: Record<string, [word: string, (client: Kv) => unknown]> = {
    get: ["get", (client) => client.get("a")],
    getText: ["get", (client) => client.getText("a")],
    getJson: ["get", (client) => client.getJson("a")],
    getEntry: ["get", (client) => client.getEntry("a")],
    "get with options": ["get", (client) => client.get("a", { consistency: "cached" })],
    exists: ["exists", (client) => client.exists("a")],
    getOrSet: ["get_or_set", (client) => client.getOrSet("a", () => 2)],
  }

  test.each(Object.entries(hits))("%s: a span under an active, recording one", async (_, [word, run]) => {
    const { tracing, client } = await traced()
    await client.set("a", 100)
    await client.get("a")
    tracing.reset()
    await run(client)
    expect(tracing.spans()).toEqual([])
    await inRequest("request", () => run(client))
    expect(shapes(tracing)).toEqual([
      { name: `cache.${word} test`, parent: "request", links: [] },
      { name: "request", parent: undefined, links: [] },
    ])
    expect(tracing.span(`cache.${word} test`).attributes).toEqual({
      "cache.name": "test",
      "cache.operation": word,
      "sentry.op": "cache.get",
      "cache.tier": "l1",
      "cache.result": "hit",
      "cache.hit": true,
      "cache.item_size": 3,
    })
  })

  test("of a key known to be absent is negative", async () => {
    const { tracing, client } = await traced()
    await client.get("a")
    tracing.reset()
    await inRequest("request", () => client.get("a"))
    await inRequest("request", () => client.exists("a"))
    const negative = { "cache.tier": "l1", "cache.result": "negative", "cache.hit": false }
    expect(tracing.span("cache.get test").attributes).toMatchObject(negative)
    expect(tracing.span("cache.exists test").attributes).toMatchObject(negative)
  })

  test("of a whole batch is one span with the counts", async () => {
    const { tracing, client } = await traced()
    await client.set("a", "1")
    await client.getMany(["a", "absent"], { fill: true })
    tracing.reset()
    await inRequest("request", () => client.getMany(["a", "absent"]))
    expect(tracing.span("cache.get_many test").attributes).toMatchObject({
      "cache.tier": "l1",
      "cache.result": "negative",
      "tiered_kv.keys.l1": 1,
      "tiered_kv.keys.l2": 0,
      "tiered_kv.keys.absent": 1,
    })
  })

  test("by peek leaves no span", async () => {
    const { tracing, client } = await traced()
    await client.set("a", "1")
    await client.get("a")
    tracing.reset()
    await inRequest("request", () => client.peekText("a"))
    expect(shapes(tracing).map(({ name }) => name)).toEqual(["request"])
  })

  test("makes no span under an unsampled one", async () => {
    const tracing = registerTracing({ sampler: new AlwaysOffSampler() })
    const { client } = await gatedStore()
    await client.set("a", "1")
    await inRequest("request", async () => {
      await client.get("a")
      await client.get("a")
    })
    expect(tracing.spans()).toEqual([])
  })

  test('is counted on the active span with l1Hits: "attribute", of all stores together', async () => {
    const tracing = registerTracing()
    const telemetry = { spans: { l1Hits: "attribute" as const } }
    const stores = await Promise.all([
      kv("one", { backend: "memory:", telemetry }),
      kv("two", { backend: "memory:", telemetry }),
    ])
    for (const store of stores) {
      await store.set("a", "1")
      await store.get("a")
    }
    tracing.reset()
    await inRequest("request", async () => {
      for (const store of stores) await Promise.all([store.get("a"), store.getText("a")])
    })
    expect(shapes(tracing).map(({ name }) => name)).toEqual(["request"])
    expect(tracing.span("request").attributes["tiered_kv.l1.hits"]).toBe(4)
  })

  test('leaves nothing with l1Hits: "off"', async () => {
    const { tracing, client } = await traced({ telemetry: { spans: { l1Hits: "off" } } })
    await client.set("a", "1")
    await client.get("a")
    tracing.reset()
    await inRequest("request", () => client.get("a"))
    expect(shapes(tracing).map(({ name }) => name)).toEqual(["request"])
    expect(tracing.span("request").attributes).toEqual({})
  })
})

describe("reads and loads that are shared", () => {
  test("a reader that joins a read links to it, and has its own parent", async () => {
    const { tracing, client, gate } = await traced()
    gate.hold("get")
    const first = inRequest("one", () => client.get("a"))
    await settle()
    const second = inRequest("two", () => client.get("a"))
    const third = inRequest("three", () => client.exists("a"))
    await settle()
    gate.releaseAll()
    await Promise.all([first, second, third])

    expect(gate.count()).toBe(1)
    const all = shapes(tracing)
    const operations = all.filter(({ name }) => name.startsWith("cache."))
    expect(operations).toEqual(
      expect.arrayContaining([
        { name: "cache.get test", parent: "one", links: [] },
        { name: "cache.get test", parent: "two", links: ["cache.get test"] },
        { name: "cache.exists test", parent: "three", links: ["cache.get test"] },
      ]),
    )
    const joined = tracing.spans().filter(({ attributes }) => attributes["tiered_kv.coalesced"] === true)
    expect(joined.map(({ name }) => name).sort()).toEqual(["cache.exists test", "cache.get test"])
    const started = tracing.spans().find(({ name, links }) => name === "cache.get test" && links.length === 0)
    for (const { links } of joined) expect(links[0]?.context.spanId).toBe(started?.spanContext().spanId)
    expect(tracing.span("get memory").parentSpanContext?.spanId).toBe(started?.spanContext().spanId)
  })

  test("a call for several readers has the first one's span for a parent, and links to the others'", async () => {
    const { tracing, client } = await traced()
    await Promise.all(["a", "b", "c"].map((key) => inRequest(key, () => client.get(key))))
    const call = tracing.span("getMany memory")
    expect(call.attributes["db.operation.batch.size"]).toBe(3)
    expect(requestOf(call, tracing)).toBe("a")
    const linked = call.links.map(({ context: { spanId } }) =>
      tracing.spans().find((span) => span.spanContext().spanId === spanId),
    )
    expect(linked.map((span) => span && [span.name, requestOf(span, tracing)])).toEqual([
      ["cache.get test", "b"],
      ["cache.get test", "c"],
    ])
  })

  test("a getMany that shares its call with a get is linked once, however many keys it has", async () => {
    const { tracing, client } = await traced()
    await Promise.all([
      inRequest("one", () => client.get("a")),
      inRequest("two", () => client.getMany(["b", "c", "d"])),
    ])
    expect(shape(tracing.span("getMany memory"), tracing.spans())).toEqual({
      name: "getMany memory",
      parent: "cache.get test",
      links: ["cache.get_many test"],
    })
  })

  test("a load has a span of its own, with the loader and the write under it; who joins it links to it", async () => {
    const { tracing, client } = await traced()
    let answer = (_: string) => {}
    const loader = () => {
      trace.getTracer("origin").startSpan("query").end()
      return new Promise<string>((resolve) => {
        answer = resolve
      })
    }
    const first = inRequest("one", () => client.getOrSet("a", loader))
    await settle()
    const second = inRequest("two", () => client.getOrSet("a", loader))
    await settle()
    answer("loaded")
    expect(await Promise.all([first, second])).toEqual(["loaded", "loaded"])

    const load = tracing.span("cache.load test")
    expect(load.kind).toBe(SpanKind.INTERNAL)
    expect(load.attributes).toEqual({
      "cache.name": "test",
      "cache.operation": "load",
      "tiered_kv.load.reason": "absent",
      "cache.tier": "loader",
      "cache.result": "hit",
      "cache.hit": false,
      "cache.item_size": '"loaded"'.length,
    })
    expect(requestOf(load, tracing)).toBe("one")
    const all = tracing.spans()
    expect(shape(tracing.span("query"), all).parent).toBe("cache.load test")
    expect(shape(tracing.span("put memory"), all).parent).toBe("cache.load test")
    const callers = all
      .filter(({ name }) => name === "cache.get_or_set test")
      .sort((a, b) => a.links.length - b.links.length)
    expect(callers.map((span) => [requestOf(span, tracing), shape(span, all).links])).toEqual([
      ["one", []],
      ["two", ["cache.load test"]],
    ])
    expect(callers.map(({ attributes }) => attributes["tiered_kv.coalesced"])).toEqual([undefined, true])
    for (const { attributes } of callers) {
      expect(attributes).toMatchObject({ "cache.tier": "loader", "cache.result": "hit", "cache.hit": false })
    }
  })

  test("a loader's failure shows its name on every span that waits for it, and not its message", async () => {
    const { tracing, client } = await traced()
    const loader = () => Promise.reject(new RangeError("card number 1234"))
    await expect(client.getOrSet("a", loader)).rejects.toThrow("card number")
    for (const name of ["cache.load test", "cache.get_or_set test"]) {
      const { status, attributes } = tracing.span(name)
      expect(status).toEqual({ code: SpanStatusCode.ERROR })
      expect(attributes["error.type"]).toBe("RangeError")
    }
    expect(tracing.span("cache.get_or_set test").attributes["cache.tier"]).toBe("loader")
  })

  test.each(["L1", "the backend"])(
    "a refresh set off by a hit in %s is a trace of its own, linked to it",
    async (place) => {
      const { tracing, client } = await traced(place === "L1" ? {} : { l1: false })
      const options = { ttlMs: 3_000, refreshAheadMs: 2_000 }
      await client.set("a", 1, { ttlMs: 1_000 })
      if (place === "L1") await client.get("a")
      tracing.reset()
      await inRequest("request", () => client.getOrSet("a", () => 2, options))
      await settle()

      const refresh = tracing.span("cache.refresh test")
      expect(refresh.attributes).toEqual({
        "cache.name": "test",
        "cache.operation": "refresh",
        "tiered_kv.load.reason": "refresh_ahead",
        "cache.tier": "loader",
        "cache.result": "hit",
        "cache.hit": false,
        "cache.item_size": 1,
      })
      const all = tracing.spans()
      expect(shape(refresh, all)).toEqual({
        name: "cache.refresh test",
        parent: undefined,
        links: [place === "L1" ? "request" : "cache.get_or_set test"],
      })
      expect(refresh.spanContext().traceId).not.toBe(tracing.span("request").spanContext().traceId)
      expect(shape(tracing.span("put memory"), all).parent).toBe("cache.refresh test")
    },
  )

  test("parents are right however concurrent requests interleave", async () => {
    const { tracing, client, gate, elsewhere } = await traced()
    const keys = Array.from({ length: 24 }, (_, i) => `k${i}`)
    for (const key of keys.slice(0, 12)) await elsewhere.put(key, "1")
    gate.hold()
    const requests = keys.map((key, i) =>
      inRequest(key, async () => {
        await client.exists(key)
        if (i % 3 === 0) await client.set(key, `${i}`)
        if (i % 3 === 1) await client.getOrSet(key, () => i)
        await client.delete(key)
      }),
    )
    // Answers come from the middle outwards, so that no request is answered right after the one before it.
    for (let round = 0; round < 200; round++) {
      await settle()
      const held = gate.held()
      if (held.length === 0) break
      held[held.length >> 1]?.release()
    }
    await Promise.all(requests)

    const spans = tracing.spans()
    expect(spans.filter(({ name }) => name === "cache.delete test")).toHaveLength(24)
    const traces = new Map<string, string[]>()
    for (const span of spans) {
      const names = traces.get(requestOf(span, tracing)) ?? []
      traces.set(requestOf(span, tracing), [...names, span.name])
    }
    for (const [i, key] of keys.entries()) {
      const own = traces.get(key) ?? []
      expect(own.filter((name) => name.startsWith("cache.")).sort()).toEqual(
        [
          "cache.delete test",
          "cache.exists test",
          ...(i % 3 === 0 ? ["cache.set test"] : []),
          ...(i % 3 === 1 ? ["cache.get_or_set test", ...(i < 12 ? [] : ["cache.load test"])] : []),
        ].sort(),
      )
      expect(own.filter((name) => name === "exists memory")).toHaveLength(1)
      expect(own.filter((name) => name === "delete memory")).toHaveLength(1)
    }
  })
})

describe("keys on spans", () => {
  const shown = async (keys: "off" | "prefix" | "hash" | "full" | ((key: string) => string), key: string) => {
    const { tracing, client } = await traced({ telemetry: { spans: { keys } } })
    await client.set(key, "1")
    unregisterAll()
    const attribute = tracing.span("cache.set test").attributes["cache.key"]
    return Array.isArray(attribute) ? attribute.join(", ") : attribute
  }

  test("are left out unless asked for", async () => {
    const { tracing, client } = await traced()
    await client.set("user:123", "1")
    await client.get("user:123")
    await client.getOrSet("user:456", () => 1)
    await inRequest("request", () => client.get("user:123"))
    expect(JSON.stringify(tracing.spans().map(({ name, attributes }) => [name, attributes]))).not.toMatch(
      /user|123|456/,
    )
    unregisterAll()
    expect(await shown("off", "user:123")).toBeUndefined()
  })

  test("show as much as is asked for", async () => {
    expect(await shown("prefix", "user:123:plan")).toBe("user:")
    expect(await shown("prefix", "alice")).toBeUndefined()
    expect(await shown("hash", "user:123")).toMatch(/^[0-9a-f]{16}$/)
    expect(await shown("hash", "user:123")).not.toBe(await shown("hash", "user:124"))
    expect(await shown("full", "user:123")).toBe("user:123")
    expect(await shown((key) => key.slice(-3), "user:123")).toBe("123")
  })

  test("are on the spans of hits and loads as well, never on those of the backend", async () => {
    const { tracing, client } = await traced({ telemetry: { spans: { keys: "full" } } })
    await client.getOrSet("a:1", () => 1)
    await inRequest("request", async () => {
      await client.get("a:1")
      await client.get("a:1")
    })
    for (const { name, attributes } of tracing.spans()) {
      if (name === "request") continue
      expect([name, attributes["cache.key"]]).toEqual([name, name.startsWith("cache.") ? ["a:1"] : undefined])
    }
  })

  test("are left out by a function that throws", async () => {
    const fails = () => {
      throw new Error("cannot hash")
    }
    expect(await shown(fails, "user:123")).toBeUndefined()
  })
})

describe("spans go to", () => {
  test("an SDK that is registered after the store was opened, from the next read of the backend", async () => {
    const { client } = await gatedStore({ networked: true })
    await client.set("a", "1")
    const tracing = registerTracing()
    await inRequest("request", () => client.get("a"))
    expect(shapes(tracing).map(({ name }) => name)).toEqual(["get memory", "cache.get test", "request"])
  })

  test("an SDK that is registered late, from one of the next 256 hits where there are only hits", async () => {
    const { client } = await gatedStore()
    await client.set("a", "1")
    await client.get("a")
    const tracing = registerTracing()
    await inRequest("request", async () => {
      for (let hit = 0; hit <= 256; hit++) await client.get("a")
    })
    expect(tracing.spans().length).toBeGreaterThan(1)
    expect(tracing.spans().filter(({ name }) => name !== "cache.get test")).toHaveLength(1)
  })

  test("no SDK that was taken away, but to the next one", async () => {
    const { tracing, client } = await traced()
    await client.set("a", "1")
    expect(tracing.spans()).toHaveLength(2)
    unregisterAll()
    await client.set("a", "2")
    expect(tracing.spans()).toHaveLength(2)
    const next = registerTracing()
    await client.set("a", "3")
    expect(tracing.spans()).toHaveLength(2)
    expect(next.spans()).toHaveLength(2)
  })

  test("an SDK that is registered through another copy of the API, whatever its context manager is made of", async () => {
    const folder = await mkdtemp(join(tmpdir(), "tiered-kv-api-"))
    await cp("node_modules/@opentelemetry/api", join(folder, "api"), { recursive: true })
    const copy: typeof import("@opentelemetry/api") = createRequire(import.meta.url)(join(folder, "api"))
    const { provider, spans, reset } = registerTracing()
    unregisterAll()
    expect(copy.ROOT_CONTEXT).not.toBe(ROOT_CONTEXT)

    const managers = {
      own: new AsyncLocalStorageContextManager(),
      foreign: new Proxy(new AsyncLocalStorageContextManager(), { ownKeys: () => [] }),
    }
    for (const manager of Object.values(managers)) {
      copy.trace.setGlobalTracerProvider(provider)
      copy.context.setGlobalContextManager(manager)
      const { client } = await gatedStore({ networked: true })
      await client.set("a", "1")
      await client.get("a")
      reset()
      await client.get("a")
      await copy.trace.getTracer("test").startActiveSpan("request", async (span) => {
        await client.get("a")
        span.end()
      })
      expect(spans().map((span) => shape(span, spans()))).toEqual([
        { name: "cache.get test", parent: "request", links: [] },
        { name: "request", parent: undefined, links: [] },
      ])
      copy.trace.disable()
      copy.context.disable()
    }
    await rm(folder, { recursive: true })
  })

  test("a tracer provider that was passed in, registered or not", async () => {
    const { provider, spans } = registerTracing()
    unregisterAll()
    const { client } = await gatedStore({ telemetry: { tracerProvider: provider } })
    await client.set("a", "1")
    expect(spans().map(({ name }) => name)).toEqual(["cache.set test"])
  })

  test("no SDK from a store with telemetry: false, or spans: false", async () => {
    for (const telemetry of [false, { spans: false }] as const) {
      const { tracing, client } = await traced({ telemetry })
      await inRequest("request", async () => {
        await client.set("a", "1")
        await client.get("a")
        await client.get("a")
      })
      expect(shapes(tracing).map(({ name }) => name)).toEqual(["request"])
      unregisterAll()
    }
  })

  test("the SDK, while what a caller's context holds passes through untouched", async () => {
    const { client } = await traced()
    const key = Symbol("baggage")
    const seen = await context.with(context.active().setValue(key, "kept"), () =>
      client.getOrSet("a", () => String(context.active().getValue(key))),
    )
    expect(seen).toBe("kept")
  })
})
