import { afterEach, beforeEach, describe, expect, test } from "vitest"
import type { Kv, KvOptions } from "../../../src/api.ts"
import { Wire } from "../../../src/coherence/bus/messages.ts"
import { kv } from "../../../src/index.ts"
import { KvError } from "../../../tiers/errors.ts"
import { memory, memoryStore } from "../../../tiers/memory.ts"
import { BusHub, type HubBus } from "../../support/bus-hub.ts"
import { type GatedBackend, gatedBackend } from "../../support/gated-backend.ts"
import { settle, type TestRuntime, testRuntime } from "../../support/runtime.ts"

/** Stores of several processes over the same rows, with a bus between them. The bound is 2,500 ms, a heartbeat comes every 500 ms. */
interface Process {
  readonly store: Kv
  readonly bus: HubBus
  readonly gate: GatedBackend
}

let runtime: TestRuntime
let hub: BusHub
let rows: ReturnType<typeof memoryStore>
let open: Kv[]

beforeEach(() => {
  runtime = testRuntime()
  hub = new BusHub()
  rows = memoryStore()
  open = []
})
afterEach(async () => {
  const closing = Promise.all(open.map((store) => store.close()))
  // A publication without an answer is given up after the lease.
  await runtime.advance(10_000)
  await closing
})

/** Starts a process, which the others hear and which hears them. */
async function process(options: KvOptions = {}): Promise<Process> {
  const started = await start(options)
  await runtime.advance(600)
  return started
}

async function start(options: KvOptions = {}): Promise<Process> {
  const bus = hub.member()
  const gate = gatedBackend({ backend: memory({ runtime, store: rows }), traits: { inProcess: false } })
  const store = await kv("fleet", {
    ...{ backend: gate, runtime, telemetry: false, isolated: true, bus },
    ...options,
  })
  open.push(store)
  return { store, bus, gate }
}

/** Lets the publications of this turn arrive. */
const published = settle

const gets = ({ gate }: Process) => gate.count("get") + gate.count("getMany")

describe("what one process writes", () => {
  const writes: Record<string, (store: Kv, version: string) => Promise<unknown>> = {
    set: (store) => store.set("a", "2"),
    "compare-and-set": (store, ifVersion) => store.set("a", "2", { ifVersion }),
    setMany: (store) => store.setMany([["a", "2"]]),
    delete: (store) => store.delete("a"),
    deleteMany: (store) => store.deleteMany(["a"]),
    invalidate: async (store) => store.invalidate("a"),
    "invalidate everything": async (store) => store.invalidate(),
  }
  test.each(Object.keys(writes))("leaves the L1 of another when its message arrives: %s", async (name) => {
    const [writer, reader] = [await process(), await process()]
    const { version = "" } = await writer.store.put("a", "1")
    await published()
    await reader.store.get("a")
    expect(reader.store.peekText("a")).toBe("1")
    reader.bus.held = true
    await writes[name]?.(writer.store, version)
    await published()
    expect(reader.store.peekText("a")).toBe("1")
    reader.bus.release()
    expect(reader.store.peekText("a")).toBeUndefined()
    expect(await reader.store.getText("a")).toBe(await writer.store.getText("a", { consistency: "strong" }))
  })

  test("an absent key is forgotten as well", async () => {
    const [writer, reader] = [await process(), await process()]
    expect(await reader.store.get("a")).toBeUndefined()
    await writer.store.set("a", "1")
    await published()
    expect(await reader.store.getText("a")).toBe("1")
  })

  test("does not enter L1 again by a read that began before the message", async () => {
    const [writer, reader] = [await process(), await process()]
    await writer.store.set("a", "1")
    await published()
    reader.gate.hold("get", "reply")
    const old = reader.store.getText("a")
    await settle()
    await writer.store.set("a", "2")
    await published()
    reader.gate.releaseAll()
    expect(await old).toBe("1")
    expect(reader.store.peekText("a")).toBeUndefined()
    expect(await reader.store.getText("a")).toBe("2")
  })

  test("keeps what L1 holds already in that version", async () => {
    const [writer, reader] = [await process(), await process()]
    reader.bus.held = true
    await writer.store.set("a", "1")
    await published()
    expect(await reader.store.getText("a")).toBe("1")
    reader.bus.release()
    expect(reader.store.peekText("a")).toBe("1")
  })

  test("of unknown outcome keeps its key out of every L1 for the quarantine", async () => {
    const [writer, reader] = [await process({ timeoutMs: 100 }), await process()]
    await writer.store.set("a", "1")
    await reader.store.get("a")
    writer.gate.always("put", { landLate: new KvError("OUTCOME_UNKNOWN", "no answer", { operation: "put" }) })
    writer.gate.always("probe", { fail: new KvError("UNAVAILABLE", "down", { operation: "probe" }) })
    const written = expect(writer.store.set("a", "2")).rejects.toMatchObject({ code: "OUTCOME_UNKNOWN" })
    await runtime.advance(200)
    await written
    await published()
    await reader.store.get("a")
    expect(reader.store.peekText("a")).toBeUndefined()
    expect(reader.store.stats().quarantined).toBe(1)
    await writer.gate.last("put").land()
    expect(await reader.store.getText("a")).toBe("2")
    await runtime.advance(30_000)
    await reader.store.get("a")
    expect(reader.store.peekText("a")).toBe("2")
  })

  test("travels with all of its turn, in few frames", async () => {
    const [writer, reader] = [await process(), await process()]
    await published()
    const before = reader.store.stats().bus?.messages.received ?? 0
    const keys = Array.from({ length: 100 }, (_, index) => `key:${index}`)
    await Promise.all(keys.map((key) => writer.store.set(key, "1")))
    await published()
    // 100 keys with their versions take 6 to 8 frames of 1,024 bytes.
    expect((reader.store.stats().bus?.messages.received ?? 0) - before).toBeLessThan(12)
  })

  test("in a burst of more than 10,000 keys becomes one message, that everything was invalidated", async () => {
    const [writer, reader] = [await process(), await process()]
    await reader.store.set("a", "1")
    await reader.store.get("a")
    let publish = () => {}
    writer.bus.onPublish = () => new Promise((resolve) => (publish = resolve))
    const keys = Array.from({ length: 10_500 }, (_, index) => `key:${index}`)
    writer.store.invalidate("first")
    await published()
    for (const key of keys) writer.store.invalidate(key)
    writer.bus.onPublish = () => {}
    publish()
    await published()
    expect(reader.store.peekText("a")).toBeUndefined()
    expect(reader.store.stats().bus).toMatchObject({ flushes: 1 })
  })
})

describe("L1 answers", () => {
  test("for the time to live of a minute, while the bus is alive", async () => {
    const reader = await process()
    await reader.store.set("a", "1")
    await reader.store.get("a")
    await runtime.advance(5_000)
    const before = gets(reader)
    for (let second = 0; second < 50; second++) {
      await runtime.advance(1_000)
      expect(await reader.store.getText("a")).toBe("1")
    }
    expect(gets(reader)).toBe(before)
  })

  test("no longer than the bound once the bus is silent, and not from then on; the bus is missed by no call", async () => {
    const [writer, reader] = [await process(), await process()]
    await writer.store.set("a", "1")
    await runtime.advance(5_000)
    await reader.store.get("a")
    reader.bus.cut()
    await runtime.advance(500)
    await writer.store.set("a", "2")
    expect(await reader.store.getText("a")).toBe("1")
    await runtime.advance(2_000)
    expect(await reader.store.getText("a")).toBe("2")
    expect(reader.store.peekText("a")).toBeUndefined()
    expect(reader.store.stats().bus).toMatchObject({ connected: false, stalenessBoundMs: 2_500 })
    expect(await reader.store.set("a", "3")).toBe(true)
  })

  test("with a uniform delay on the bus, never with what is older than the bound", async () => {
    const [writer, reader] = [await process(), await process()]
    await writer.store.set("a", "1")
    await runtime.advance(5_000)
    await reader.store.get("a")
    reader.bus.held = true
    await writer.store.set("a", "2")
    await runtime.advance(1_000)
    expect(reader.store.peekText("a")).toBe("1")
    await runtime.advance(1_500)
    expect(reader.store.peekText("a")).toBeUndefined()
    // Ten seconds late: the old frames confirm an old moment.
    await runtime.advance(7_500)
    const late = reader.bus.waiting.splice(0, 8)
    reader.bus.waiting.length = 0
    reader.bus.waiting.push(...late)
    reader.bus.release()
    await reader.store.get("a")
    expect(reader.store.peekText("a")).toBeUndefined()
  })

  test("with staleness: ttl for its time to live, whatever the bus does", async () => {
    const reader = await process({ staleness: "ttl" })
    await reader.store.set("a", "1")
    await reader.store.get("a")
    reader.bus.cut()
    await runtime.advance(50_000)
    expect(reader.store.peekText("a")).toBe("1")
    reader.bus.connect()
    expect(reader.store.peekText("a")).toBe("1")
    expect(reader.store.stats().bus?.stalenessBoundMs).toBe(60_000)
  })
})

describe("a missing message", () => {
  test("shows in the next heartbeat, the last message included; suspect entries are confirmed by their version", async () => {
    const [writer, reader] = [await process(), await process()]
    await writer.store.set("a", "1")
    await writer.store.set("b", "1")
    await runtime.advance(5_000)
    await reader.store.get("a")
    await reader.store.getJson("b")
    let lost = 0
    reader.bus.passes = () => lost++ > 0
    await writer.store.set("a", "2")
    await published()
    expect([lost, reader.store.peekText("a")]).toEqual([1, "1"])
    await runtime.advance(500)
    expect([reader.store.peekText("a"), reader.store.peekText("b")]).toEqual([undefined, undefined])
    const [gap, before, probes] = [reader.store.stats().bus, gets(reader), reader.gate.count("probe")]
    expect(gap).toMatchObject({ gaps: 1, suspects: 2 })
    expect([await reader.store.getText("a"), await reader.store.getText("b")]).toEqual(["2", "1"])
    expect([gets(reader) - before, reader.gate.count("probe") - probes]).toEqual([1, 2])
    expect(reader.store.stats().bus?.revalidations).toBe(1)
    expect(reader.store.peekText("b")).toBe("1")
  })

  test("is one of a publisher that dies between its write and its message", async () => {
    const [writer, reader] = [await process(), await process()]
    await writer.store.set("a", "1")
    await runtime.advance(5_000)
    await reader.store.get("a")
    writer.bus.onPublish = () => new Promise<never>(() => {})
    await writer.store.set("a", "2")
    await runtime.advance(500)
    expect(reader.store.peekText("a")).toBe("1")
    await runtime.advance(2_000)
    expect(reader.store.peekText("a")).toBeUndefined()
    expect(await reader.store.getText("a")).toBe("2")
    await runtime.advance(4_000)
    expect(reader.store.stats().bus?.gaps).toBe(1)
    expect(await reader.store.getText("a")).toBe("2")
    await runtime.advance(10_000)
    expect(reader.store.peekText("a")).toBe("2")
  })

  test("may be one of a publisher that died before this store heard it, and after it subscribed", async () => {
    const writer = await process()
    await writer.store.set("a", "1")
    await runtime.advance(600)
    const reader = await start()
    // What is read in the millisecond of the subscription is suspect.
    await runtime.advance(1)
    expect(await reader.store.getText("a")).toBe("1")
    writer.bus.onPublish = () => new Promise<never>(() => {})
    await writer.store.set("a", "2")
    expect(reader.store.peekText("a")).toBe("1")
    await runtime.advance(2_500)
    expect(reader.store.peekText("a")).toBeUndefined()
    expect(await reader.store.getText("a")).toBe("2")
  })

  test("may be any of those during a loss, however short: what was read before is suspect", async () => {
    const [writer, reader] = [await process(), await process()]
    await writer.store.set("a", "1")
    await runtime.advance(5_000)
    await reader.store.get("a")
    reader.gate.hold("get", "reply")
    const flight = reader.store.getText("b")
    await settle()
    reader.bus.cut()
    await writer.store.set("b", "2")
    reader.bus.connect()
    reader.gate.releaseAll()
    expect(await flight).toBeUndefined()
    expect(reader.store.peekText("a")).toBeUndefined()
    expect(await reader.store.getText("b")).toBe("2")
  })

  test("is none of a publisher that said farewell", async () => {
    const [writer, reader] = [await process(), await process()]
    await writer.store.set("a", "1")
    await runtime.advance(5_000)
    await reader.store.get("a")
    await writer.store.close()
    await runtime.advance(10_000)
    expect(reader.store.peekText("a")).toBe("1")
    expect(reader.store.stats().bus?.gaps).toBe(0)
  })
})

describe("what is no message", () => {
  const heartbeat = {
    kind: "heartbeat",
    publisher: "0123456789abcdef",
    number: 7,
    beat: "fedcba9876543210",
  } as const

  test("is counted and ignored: foreign, truncated, oversized, of a later format", async () => {
    const { store } = await process()
    await store.set("a", "1")
    await runtime.advance(5_000)
    await store.get("a")
    const frame = new Wire("tiered-kv:memory:memory:").encode(heartbeat)
    hub.inject(new Wire("tiered-kv:redis:elsewhere:").encode(heartbeat))
    hub.inject(frame.subarray(0, frame.length - 1))
    hub.inject(new Uint8Array(5_000))
    hub.inject(Buffer.from("hello"))
    const later = Uint8Array.from(frame)
    later[3] = 2
    hub.inject(later)
    expect(store.stats().bus).toMatchObject({ messages: { foreign: 1, invalid: 4 }, gaps: 0 })
    expect(store.peekText("a")).toBe("1")
    hub.inject(frame)
    expect(store.stats().bus).toMatchObject({ gaps: 1 })
  })

  test("costs no more than reads: a replayed heartbeat of its own confirms nothing", async () => {
    const reader = await process()
    await reader.store.set("a", "1")
    await reader.store.get("a")
    reader.bus.held = true
    await runtime.advance(5_000)
    const own = reader.bus.waiting.splice(0)
    const [first] = own
    expect(first).toBeDefined()
    reader.bus.held = false
    for (let turn = 0; turn < 10; turn++) if (first !== undefined) hub.inject(first)
    await reader.store.get("a")
    expect(reader.store.peekText("a")).toBeUndefined()
  })
})
