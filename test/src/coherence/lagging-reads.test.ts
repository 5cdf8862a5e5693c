import { afterEach, describe, expect, test } from "vitest"
import type { Kv, KvOptions } from "../../../src/api.ts"
import { Sightings } from "../../../src/coherence/sightings.ts"
import { kv } from "../../../src/index.ts"
import type { RequestOptions } from "../../../tiers/backend.ts"
import { KvError } from "../../../tiers/errors.ts"
import { memoryStore } from "../../../tiers/memory.ts"
import { remoteMemory } from "../../support/remote-memory.ts"
import { settle, testRuntime } from "../../support/runtime.ts"

const open: Kv[] = []
afterEach(async () => void (await Promise.all(open.splice(0).map((store) => store.close()))))

/** A store over a backend with a replica that is complete up to `until`, and notes as of when it is asked. */
async function replicated(options: Omit<KvOptions, "backend" | "runtime"> = {}) {
  const runtime = testRuntime()
  const store = memoryStore()
  const table = remoteMemory({ runtime, store })
  const asked: (number | undefined)[] = []
  const state = { until: undefined as number | undefined, failures: 0, hangs: 0 }
  const ask = async <T>(request: RequestOptions | undefined, answer: () => T | Promise<T>): Promise<T> => {
    asked.push(request?.asOf)
    if (state.hangs-- > 0) return new Promise(() => {})
    if (state.failures-- > 0) throw new KvError("UNAVAILABLE", "down", { operation: "get" })
    return answer()
  }
  const client = await kv("test", {
    backend: {
      ...table,
      get: async (key, request) => ask(request, () => table.get(key)),
      getMany: async (keys, request) => ask(request, () => table.getMany(keys)),
      replicatedUntil: () => state.until,
    },
    runtime,
    telemetry: false,
    l1: { jitter: 0 },
    ...options,
  })
  open.push(client)
  const putElsewhere = (key: string, text: string) =>
    table.put(key, { value: Buffer.from(text), id: runtime.id() })
  /** The replica catches up. */
  const catchUp = async () => {
    await runtime.advance(1)
    state.until = runtime.monotonic()
    return state.until
  }
  /** As of when the backend was asked since the last call of this. */
  const takeAsked = () => asked.splice(0)
  return { client, runtime, state, putElsewhere, catchUp, takeAsked }
}

describe("a replica is asked for", () => {
  test("cached reads, and for no strong ones", async () => {
    const { client, catchUp, takeAsked, runtime } = await replicated()
    const asOf = await catchUp()
    await runtime.advance(10)
    await client.get("a")
    await client.getMany(["b", "c"])
    expect(takeAsked()).toEqual([asOf, asOf])
    await client.get("d", { consistency: "strong" })
    await client.getMany(["e", "f"], { consistency: "strong" })
    await client.exists("g")
    expect(takeAsked()).toEqual([undefined, undefined])
  })

  test("no read before it has caught up with the opening of the store", async () => {
    const { client, state, runtime, takeAsked } = await replicated()
    state.until = runtime.monotonic()
    await client.get("a")
    expect(takeAsked()).toEqual([undefined])
  })

  test("the first attempt alone: the others ask the primary", async () => {
    const { client, catchUp, state, runtime, takeAsked } = await replicated()
    const asOf = await catchUp()
    state.failures = 1
    const reading = client.getText("a")
    await settle()
    await runtime.advance(1_000)
    await reading
    expect(takeAsked()).toEqual([asOf, undefined])
  })

  test("the first request alone: the one beside a slow read asks the primary", async () => {
    const { client, catchUp, state, runtime, takeAsked } = await replicated({ timeoutMs: 3_000 })
    const asOf = await catchUp()
    state.hangs = 1
    const reading = client.getText("a")
    await settle()
    await runtime.advance(2_000)
    expect(await reading).toBeUndefined()
    expect(takeAsked()).toEqual([asOf, undefined])
  })
})

describe("a key is asked of the primary until a replica has caught up with", () => {
  type Store = Awaited<ReturnType<typeof replicated>>
  const events: Record<string, (store: Store) => unknown> = {
    "a write": ({ client }) => client.set("a", "1"),
    "a delete": ({ client }) => client.delete("a"),
    "a condition that did not hold": async ({ client, putElsewhere }) => {
      await putElsewhere("a", "1")
      expect(await client.set("a", "2", { ifNotExists: true })).toBe(false)
    },
    "a strong read": ({ client }) => client.get("a", { consistency: "strong" }),
    "a cached read": ({ client }) => client.get("a"),
    "a look whether it is there": ({ client }) => client.exists("a"),
    "a page of a scan": async ({ client, putElsewhere }) => {
      await putElsewhere("a", "1")
      for await (const _ of client.scan("")) {
        // The page has been shown.
      }
    },
    "its invalidation": ({ client }) => client.invalidate("a"),
    "the invalidation of everything": ({ client }) => client.invalidate(),
  }

  test.each(Object.entries(events))("%s", async (_, event) => {
    const store = await replicated({ l1: false })
    const { client, catchUp, takeAsked } = store
    const before = await catchUp()
    await event(store)
    takeAsked()
    await client.get("a")
    expect(takeAsked()).toEqual([undefined])
    const after = await catchUp()
    await client.get("a")
    expect(takeAsked()).toEqual([after])
    expect(after).toBeGreaterThan(before)
  })

  test("a write, also if 10,000 other keys were written since", async () => {
    const runtime = testRuntime()
    let until = 0
    const sightings = new Sightings({ ...remoteMemory({ runtime }), replicatedUntil: () => until }, runtime)
    await runtime.advance(1)
    sightings.saw("a")
    until = runtime.monotonic()
    expect(sightings.asOf("other")).toBe(until)
    await runtime.advance(1)
    for (let index = 0; index < 10_000; index++) sightings.saw(`key:${index}`)
    expect(sightings.asOf("a")).toBeUndefined()
    until = runtime.monotonic()
    expect([sightings.asOf("a"), sightings.asOf("key:9999")]).toEqual([until, undefined])
  })
})

describe("what a replica answered", () => {
  test("is in L1 for the time to live from the moment as of which it was answered", async () => {
    const { client, runtime, catchUp, putElsewhere } = await replicated({
      l1: { ttlMs: 100, negativeTtlMs: 100, jitter: 0 },
    })
    await putElsewhere("a", "1")
    await catchUp()
    await runtime.advance(60)
    await client.get("a")
    await client.get("absent")
    await runtime.advance(39)
    expect(client.peekText("a")).toBe("1")
    await runtime.advance(1)
    expect(client.peekText("a")).toBeUndefined()
  })

  test("is joined by no read once it is older than the time to live of L1", async () => {
    const { client, runtime, state, catchUp, takeAsked } = await replicated({ l1: { ttlMs: 100, jitter: 0 } })
    const asOf = await catchUp()
    await runtime.advance(99)
    state.hangs = 1
    const reads = [client.get("a")]
    await settle()
    await runtime.advance(1)
    reads.push(client.get("a"))
    await settle()
    expect(takeAsked()).toEqual([asOf])
    await runtime.advance(1)
    reads.push(client.get("a"))
    await settle()
    expect(takeAsked()).toEqual([asOf])
    await runtime.advance(5_000)
    await Promise.all(reads)
  })
})

test("the reads of a turn that a replica may answer, and those that it may not, travel apart, as of the latest moment", async () => {
  const { client, runtime, state, catchUp, takeAsked } = await replicated({ l1: false })
  await catchUp()
  await client.set("own", "1")
  const reads = [client.get("own"), client.get("a")]
  await runtime.advance(0)
  await Promise.all(reads)
  expect(takeAsked()).toEqual([undefined, state.until])
  const before = state.until
  const more = [client.get("b")]
  state.until = runtime.monotonic() + 1
  more.push(client.get("c"))
  await Promise.all(more)
  expect(takeAsked()).toEqual([Math.max(before ?? 0, state.until)])
})
