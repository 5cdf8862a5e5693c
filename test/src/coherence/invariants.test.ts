import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { KvError, kv } from "../../../src/index.ts"
import { memory, memoryStore } from "../../../tiers/memory.ts"
import { type GatedStore, gatedStore } from "../../support/gated-store.ts"
import { settle, testRuntime } from "../../support/runtime.ts"

const strong = { consistency: "strong" } as const
const unknownOutcome = () =>
  new KvError("OUTCOME_UNKNOWN", "no reply", { operation: "put", backend: "memory" })
const unavailable = () => new KvError("UNAVAILABLE", "down", { operation: "put", backend: "memory" })

describe("1. Read your writes", () => {
  test("a read that starts after a write resolved sees it, though an older read is still under way", async () => {
    const { client, gate } = await gatedStore()
    await client.set("a", "old")
    gate.script("get", { hold: "reply" })
    const early = client.getText("a")
    await settle()
    await client.set("a", "new")
    expect(await client.getText("a")).toBe("new")
    expect(gate.count("get")).toBe(2)
    gate.releaseAll()
    expect(await early).toBe("old")
    expect(await client.getText("a")).toBe("new")
  })

  test("a read sees the create, the delete or the batch that resolved before it, whatever L1 knew of the key", async () => {
    const { client } = await gatedStore()
    expect(await client.exists("a")).toBe(false)
    expect(await client.get("a")).toBeUndefined()
    expect(await client.set("a", "1", { ifNotExists: true })).toBe(true)
    expect(await client.getText("a")).toBe("1")
    await client.delete("a")
    expect(await client.get("a")).toBeUndefined()
    await client.setMany([["a", "2"]])
    expect(await client.getText("a")).toBe("2")
    await client.deleteMany(["a"])
    expect(await client.exists("a")).toBe(false)
  })

  test("a read sees the last write though an earlier read filled L1", async () => {
    const shared = memory()
    const store = await kv("a", { backend: shared })
    await store.set("a", "1")
    await store.get("a")
    await store.set("a", "2")
    expect(await store.getText("a")).toBe("2")
  })
})

describe("2. No stale fill", () => {
  const invalidations = {
    set: (store: GatedStore) => store.client.set("a", "new"),
    "set, refused": async (store: GatedStore) => {
      await store.elsewhere.put("a", "new")
      expect(await store.client.set("a", "never", { ifNotExists: true })).toBe(false)
    },
    setMany: (store: GatedStore) => store.client.setMany([["a", "new"]]),
    delete: (store: GatedStore) => store.client.delete("a"),
    deleteMany: (store: GatedStore) => store.client.deleteMany(["a"]),
    "invalidate(key)": async (store: GatedStore) => {
      await store.elsewhere.put("a", "new")
      store.client.invalidate("a")
    },
    "invalidate()": async (store: GatedStore) => {
      await store.elsewhere.put("a", "new")
      store.client.invalidate()
    },
    "a strong read": async (store: GatedStore) => {
      await store.elsewhere.put("a", "new")
      await store.client.get("a", strong)
    },
  }
  const reads = {
    get: (store: GatedStore) => store.client.get("a"),
    "getMany with fill": (store: GatedStore) => store.client.getMany(["a", "b"], { fill: true }),
    "a scan with fill": async (store: GatedStore) => {
      for await (const { key } of store.client.scan("", { fill: true })) expect(key).toBe("a")
    },
    getOrSet: (store: GatedStore) => store.client.getOrSet("a", () => "b", { as: "text" }),
  }

  for (const [readName, read] of Object.entries(reads)) {
    for (const [name, invalidate] of Object.entries(invalidations)) {
      test(`${readName} that started before ${name} does not put the older value into L1`, async () => {
        const store = await gatedStore()
        await store.elsewhere.put("a", "old")
        store.gate.script(readName === "a scan with fill" ? "scan" : "get", { hold: "reply" })
        const reading = read(store)
        await settle()
        await invalidate(store)
        store.gate.releaseAll()
        await reading
        expect(store.client.peek("a")).toBeUndefined()
        expect(await store.client.getText("a")).toBe(await store.elsewhere.text("a"))
      })
    }
  }

  test("a read that starts and ends while a write is in flight fills nothing", async () => {
    const { client, gate } = await gatedStore()
    await client.set("a", "old")
    gate.hold("put")
    const writing = client.set("a", "new")
    expect(await client.getText("a")).toBe("old")
    expect(client.peek("a")).toBeUndefined()
    gate.releaseAll()
    await writing
    expect(await client.getText("a")).toBe("new")
  })

  test("a read that starts while a write is in flight, and ends after it, fills nothing", async () => {
    const { client, gate } = await gatedStore()
    await client.set("a", "old")
    gate.hold("put")
    gate.hold("get", "reply")
    const writing = client.set("a", "new")
    const reading = client.getText("a")
    await settle()
    gate.releaseAll("put")
    await writing
    gate.releaseAll()
    expect(await reading).toBe("old")
    expect(client.peek("a")).toBeUndefined()
  })

  test("an absent key read before a create is not remembered as absent after it", async () => {
    const { client, gate } = await gatedStore()
    gate.hold("get", "reply")
    const reading = client.get("a")
    await settle()
    await client.set("a", "1", { ifNotExists: true })
    gate.releaseAll()
    expect(await reading).toBeUndefined()
    expect(client.stats().l1.negatives).toBe(0)
    expect(await client.getText("a")).toBe("1")
  })

  test("a read of the newest write that an older answer overtakes fills the newest", async () => {
    const { client, gate } = await gatedStore()
    await client.set("a", "1")
    gate.hold("get", "reply")
    const first = client.getText("a")
    await settle()
    await client.set("a", "2")
    const second = client.getText("a")
    await settle()
    const [older, newer] = gate.held("get")
    newer?.release()
    expect(await second).toBe("2")
    expect(client.peekText("a")).toBe("2")
    older?.release()
    expect(await first).toBe("1")
    expect(client.peekText("a")).toBe("2")
  })
})

describe("3. Monotonic reads", () => {
  test("a page of a scan does not fill over what a read showed meanwhile", async () => {
    const { client, gate, elsewhere } = await gatedStore()
    await elsewhere.put("a", "1")
    gate.hold("scan", "reply")
    const scanning = client.scan("", { fill: true }).next()
    await settle()
    await elsewhere.put("a", "2")
    expect(await client.getText("a")).toBe("2")
    gate.releaseAll()
    await scanning
    expect(await client.getText("a")).toBe("2")
  })

  test("a read does not fill over what a page or a strong read showed meanwhile", async () => {
    for (const show of ["page", "strong"]) {
      const { client, gate, elsewhere } = await gatedStore()
      await elsewhere.put("a", "1")
      gate.script("get", { hold: "reply" })
      const reading = client.getText("a")
      await settle()
      await elsewhere.put("a", "2")
      if (show === "page") await client.scanPage("")
      else await client.get("a", strong)
      gate.releaseAll()
      expect(await reading).toBe("1")
      expect(await client.getText("a"), show).toBe("2")
    }
  })

  test("a page, or a strong read, that shows something newer than L1 holds drops it from there", async () => {
    for (const show of ["page", "strong"]) {
      const { client, elsewhere } = await gatedStore()
      await elsewhere.put("a", "1")
      await client.get("a")
      await elsewhere.put("a", "2")
      expect(client.peekText("a")).toBe("1")
      if (show === "page") await client.scanPage("")
      else await client.get("a", strong)
      expect(client.peek("a")).toBeUndefined()
      expect(await client.getText("a"), show).toBe("2")
    }
  })

  test("a backend whose reads lag behind its own acknowledgements puts nothing below the floor into L1", async () => {
    let lagging: Awaited<ReturnType<ReturnType<typeof memory>["get"]>>
    const { client } = await gatedStore({
      behind: (table) => ({ ...table, get: (key) => lagging ?? table.get(key) }),
    })
    await client.set("a", "1")
    const entry = await client.getEntry("a")
    lagging = { value: Buffer.from("1"), version: entry?.version.split(".")[2] ?? "" }
    await client.set("a", "2")
    expect(await client.getText("a")).toBe("1")
    expect(client.peek("a")).toBeUndefined()
    lagging = undefined
    expect(await client.getText("a")).toBe("2")
    expect(client.peekText("a")).toBe("2")
  })
})

describe("4. Writes invalidate whatever happened", () => {
  const outcomes = {
    success: undefined,
    "an error": { fail: unavailable() },
    "a lost reply": { loseReply: unknownOutcome() },
    "an error of no known kind": { fail: new Error("bug") },
  } as const
  for (const [name, fault] of Object.entries(outcomes)) {
    test(`after ${name}, L1 does not hold the key`, async () => {
      const { client, gate } = await gatedStore()
      for (const operation of ["put", "delete", "putMany", "deleteMany"] as const) {
        await client.set("a", "1")
        client.invalidate()
        await client.get("a")
        if (fault !== undefined) gate.script(operation, fault)
        const call = {
          put: () => client.set("a", "2"),
          delete: () => client.delete("a"),
          putMany: () => client.setMany([["a", "2"]]),
          deleteMany: () => client.deleteMany(["a"]),
        }[operation]()
        if (fault === undefined) await call
        else await expect(call).rejects.toBe(Object.values(fault)[0])
        expect(client.peek("a"), operation).toBeUndefined()
      }
    })
  }

  test("after a failed precondition, L1 does not hold the key", async () => {
    const { client } = await gatedStore()
    const { version = "" } = await client.put("a", "1")
    await client.set("a", "2")
    for (const options of [{ ifNotExists: true }, { ifVersion: version }]) {
      await client.get("a")
      expect(client.peekText("a")).toBe("2")
      expect(await client.set("a", "3", options)).toBe(false)
      expect(client.peek("a")).toBeUndefined()
    }
    await client.get("a")
    expect(await client.delete("a", { ifVersion: version })).toBe(false)
    expect(client.peek("a")).toBeUndefined()
  })

  test("after an abort, L1 does not hold the key until the write has ended", async () => {
    const { client, gate } = await gatedStore()
    await client.set("a", "1")
    await client.get("a")
    const controller = new AbortController()
    gate.hold("put")
    const writing = client.set("a", "2", { signal: controller.signal })
    controller.abort(new Error("gone"))
    await expect(writing).rejects.toThrow("gone")
    expect(await client.getText("a")).toBe("1")
    expect(client.peek("a")).toBeUndefined()
    gate.releaseAll()
    await settle()
    expect(await client.getText("a")).toBe("2")
    expect(client.peekText("a")).toBe("2")
  })

  test("after a timeout over a network, L1 does not hold the key", async () => {
    const { client, gate, runtime } = await gatedStore({ networked: true, timeoutMs: 1_000 })
    await client.set("a", "1")
    await client.get("a")
    gate.hold()
    const writing = expect(client.set("a", "2")).rejects.toMatchObject({ code: "OUTCOME_UNKNOWN" })
    await settle()
    await runtime.advance(1_000)
    await writing
    expect(client.peek("a")).toBeUndefined()
  })

  test("set resolves only once the backend has acknowledged", async () => {
    const { client, gate } = await gatedStore()
    gate.hold("put", "reply")
    let resolved = false
    const writing = client.set("a", "1").then(() => (resolved = true))
    await settle()
    expect(resolved).toBe(false)
    gate.releaseAll()
    await writing
  })

  test("an unanswered write keeps its key out of L1 for as long as it may still land", async () => {
    const { client, gate, runtime } = await gatedStore({ quarantineMs: 30_000 })
    await client.set("a", "old")
    gate.script("put", { landLate: unknownOutcome() })
    await expect(client.set("a", "late")).rejects.toMatchObject({ code: "OUTCOME_UNKNOWN" })
    const late = gate.last("put")
    expect(await client.getText("a")).toBe("old")
    expect(client.peek("a")).toBeUndefined()
    await runtime.advance(29_999)
    expect(await client.getText("a")).toBe("old")
    await late.land()
    expect(await client.getText("a")).toBe("late")
    await runtime.advance(1)
    expect(await client.getText("a")).toBe("late")
    expect(client.peekText("a")).toBe("late")
  })

  test("a read that the quarantine's end overtakes does not fill what it saw before", async () => {
    const { client, gate, runtime } = await gatedStore({ quarantineMs: 100 })
    await client.set("a", "old")
    gate.script("put", { landLate: unknownOutcome() })
    await expect(client.set("a", "late")).rejects.toThrow()
    gate.hold("get", "reply")
    const reading = client.getText("a")
    await runtime.advance(99)
    await gate.last("put").land()
    await runtime.advance(1)
    gate.releaseAll()
    expect(await reading).toBe("old")
    expect(await client.getText("a")).toBe("late")
  })

  test("a settled write keeps its key out of L1 while an attempt of it may still land", async () => {
    const { client, gate, runtime, elsewhere } = await gatedStore({ networked: true, timeoutMs: 1_000 })
    gate.script("put", { landLate: unknownOutcome() })
    const writing = client.set("a", "mine")
    await settle()
    await runtime.advance(1_000)
    expect(await writing).toBe(true)
    expect(client.stats().quarantined).toBe(1)
    await elsewhere.put("a", "theirs")
    expect(await client.getText("a")).toBe("theirs")
    expect(client.peek("a")).toBeUndefined()
  })
})

describe("5. Conditional writes see the backend only", () => {
  test("ifNotExists is not decided by a key known to be absent, nor by one held", async () => {
    const { client, elsewhere } = await gatedStore()
    await client.get("a")
    await elsewhere.put("a", "theirs")
    expect(await client.set("a", "mine", { ifNotExists: true })).toBe(false)
    expect(await client.getText("a")).toBe("theirs")
    await elsewhere.delete("a")
    expect(client.peekText("a")).toBe("theirs")
    expect(await client.set("a", "mine", { ifNotExists: true })).toBe(true)
  })

  test("ifVersion is not decided by the version that L1 holds", async () => {
    const { client, elsewhere } = await gatedStore()
    const { version = "" } = await client.put("a", "1")
    await client.get("a")
    await elsewhere.put("a", "2")
    expect(await client.set("a", "3", { ifVersion: version })).toBe(false)
    expect(await client.getText("a")).toBe("2")
  })

  test("getOrSet that holds the key as absent stores nothing over another's value, and gives that", async () => {
    const { client, elsewhere } = await gatedStore()
    await client.get("a")
    await elsewhere.put("a", "theirs")
    expect(await client.getOrSet("a", () => "mine", { as: "text" })).toBe("theirs")
    expect(await elsewhere.text("a")).toBe("theirs")
  })
})

describe("6. Exactly one winner", () => {
  async function processes(count: number) {
    const runtime = testRuntime()
    const store = memoryStore()
    const open = () => kv("a", { backend: memory({ runtime, store }), runtime })
    return { runtime, clients: await Promise.all(Array.from({ length: count }, open)) }
  }

  test.each(["absent", "expired"])(
    "of concurrent creators across processes, over an %s row",
    async (before) => {
      const { runtime, clients } = await processes(10)
      if (before === "expired") {
        await clients[0]?.set("a", "old", { ttlMs: 5 })
        await Promise.all(clients.map((client) => client.get("a")))
        await runtime.advance(5)
      }
      const calls = clients.flatMap((client, index) =>
        ["x", "y"].map((half) => client.set("a", `${index}${half}`, { ifNotExists: true, ttlMs: 60_000 })),
      )
      expect((await Promise.all(calls)).filter(Boolean)).toHaveLength(1)
      const values = await Promise.all(clients.map((client) => client.getText("a")))
      expect(new Set(values).size).toBe(1)
    },
  )

  test("of concurrent compare-and-sets across processes", async () => {
    const { clients } = await processes(10)
    let version = (await clients[0]?.put("a", "0"))?.version ?? ""
    for (let round = 1; round <= 5; round++) {
      const results = await Promise.all(
        clients.map((client, index) => client.put("a", `${round}:${index}`, { ifVersion: version })),
      )
      const winners = results.filter(({ applied }) => applied)
      expect(winners).toHaveLength(1)
      version = winners[0]?.version ?? ""
    }
  })

  test("a write that was sent again and meets its own row reports true", async () => {
    const { client, gate, runtime } = await gatedStore({ networked: true })
    for (const options of [{ ifNotExists: true }, {}]) {
      gate.script("put", { loseReply: unknownOutcome() }, { loseReply: unknownOutcome() })
      const writing = client.set("a", "mine", options)
      await settle()
      await runtime.advance(5_000)
      expect(await writing).toBe(true)
    }
    const version = (await client.getEntry("a"))?.version ?? ""
    gate.script("put", { loseReply: unknownOutcome() })
    const swapping = client.put("a", "mine again", { ifVersion: version })
    await settle()
    await runtime.advance(5_000)
    expect(await swapping).toMatchObject({ applied: true })
  })

  test("each write carries an identity of its own, and a retry the same", async () => {
    const { client, gate, runtime } = await gatedStore({ networked: true })
    gate.script("put", { fail: unavailable() }, { fail: unavailable() })
    const writing = client.set("a", "1")
    await settle()
    await runtime.advance(5_000)
    await writing
    await client.set("a", "1")
    const ids = gate.calls.map((call) => call.writes.get("a")?.id)
    expect(ids).toHaveLength(4)
    expect(new Set(ids.slice(0, 3)).size).toBe(1)
    expect(new Set(ids).size).toBe(2)
    for (const id of ids) expect(id).toMatch(/^[0-9a-f]{32}$/)
  })
})

describe("7. One read per key", () => {
  test("concurrent misses of one key make one read, whatever asks", async () => {
    const { client, gate } = await gatedStore()
    await client.set("a", "1")
    const reads = [
      ...Array.from({ length: 100 }, () => client.getText("a")),
      client.get("a"),
      client.getJson("a"),
      client.getEntry("a"),
      client.getMany(["a", "a"]),
      client.exists("a"),
      client.getOrSet("a", () => expect.unreachable()),
    ]
    await Promise.all(reads)
    expect(gate.count()).toBe(2)
  })

  test("over a network, concurrent misses of many keys travel in as few batches as the backend allows", async () => {
    const { client, gate } = await gatedStore({ networked: true })
    const keys = Array.from({ length: 250 }, (_, index) => `k${index}`)
    await client.setMany(keys.map((key) => [key, key] as const))
    const before = gate.count()
    const values = await Promise.all([...keys, ...keys].map((key) => client.getText(key)))
    expect(values).toEqual([...keys, ...keys])
    expect(gate.count() - before).toBe(1)
    expect(gate.last().operation).toBe("getMany")
  })

  test("the failure of one coalesced read rejects all its callers, and the next call tries again", async () => {
    const { client, gate } = await gatedStore()
    gate.script("get", { fail: unavailable() })
    const results = await Promise.allSettled(Array.from({ length: 10 }, () => client.get("a")))
    expect(results.map(({ status }) => status)).toEqual(Array(10).fill("rejected"))
    expect(gate.count("get")).toBe(1)
    expect(await client.get("a")).toBeUndefined()
    expect(gate.count("get")).toBe(2)
  })

  test("one caller who gives up does not disturb the others", async () => {
    const { client, gate } = await gatedStore()
    await client.set("a", "1")
    gate.hold("get")
    const controller = new AbortController()
    const impatient = client.get("a", { signal: controller.signal })
    const patient = client.getText("a")
    controller.abort(new Error("gone"))
    await expect(impatient).rejects.toThrow("gone")
    gate.releaseAll()
    expect(await patient).toBe("1")
    expect(client.peekText("a")).toBe("1")
  })

  test("a strong read joins no other read", async () => {
    const { client, gate, elsewhere } = await gatedStore()
    await elsewhere.put("a", "1")
    gate.script("get", { hold: "reply" })
    const cached = client.getText("a")
    await settle()
    await elsewhere.put("a", "2")
    expect(await client.getText("a", strong)).toBe("2")
    gate.releaseAll()
    expect(await cached).toBe("1")
    expect(gate.count("get")).toBe(2)
  })

  test("10,000 concurrent getOrSet of one cold key make one read and one load", async () => {
    const { client, gate } = await gatedStore()
    let loads = 0
    const load = async () => {
      loads++
      await settle()
      return "loaded"
    }
    const values = await Promise.all(Array.from({ length: 10_000 }, () => client.getOrSet("a", load)))
    expect(new Set(values)).toEqual(new Set(["loaded"]))
    expect(loads).toBe(1)
    expect([gate.count("get"), gate.count("put")]).toEqual([1, 1])
  })

  test("a load that fails rejects all who wait for it, and leaves nothing behind", async () => {
    const { client } = await gatedStore()
    const failure = new Error("origin")
    const results = await Promise.allSettled(
      Array.from({ length: 5 }, () => client.getOrSet("a", () => Promise.reject(failure))),
    )
    for (const result of results) expect(result).toEqual({ status: "rejected", reason: failure })
    expect(await client.getOrSet("a", () => "next")).toBe("next")
    expect(client.stats()).toMatchObject({ inFlight: 0, loader: { loads: 2, errors: 1 } })
  })
})

describe("8. Bounded staleness, without a bus", () => {
  test("another process's write is visible after at most the time to live of L1", async () => {
    const ages = fc.record({
      l1TtlMs: fc.integer({ min: 1, max: 10_000 }),
      present: fc.boolean(),
      heldMs: fc.integer({ min: 0, max: 4_000 }),
      writtenAfterMs: fc.integer({ min: 0, max: 12_000 }),
      jitter: fc.constantFrom(0, 0.1, 0.5),
    })
    await fc.assert(
      fc.asyncProperty(ages, async ({ l1TtlMs, present, heldMs, writtenAfterMs, jitter }) => {
        const l1 = { ttlMs: l1TtlMs, negativeTtlMs: l1TtlMs, jitter }
        const { client, gate, runtime, elsewhere } = await gatedStore({ l1 })
        if (present) await elsewhere.put("a", "old")
        gate.script("get", { hold: "reply" })
        const reading = client.get("a")
        await runtime.advance(Math.min(heldMs, writtenAfterMs))
        if (writtenAfterMs < heldMs) await elsewhere.put("a", "new")
        await runtime.advance(Math.max(0, heldMs - writtenAfterMs))
        gate.releaseAll()
        await reading
        if (writtenAfterMs >= heldMs) {
          await runtime.advance(writtenAfterMs - heldMs)
          await client.get("a")
          await elsewhere.put("a", "new")
        }
        await runtime.advance(l1TtlMs)
        expect(await client.getText("a")).toBe("new")
      }),
      { numRuns: 50 },
    )
  })
})

describe("9. No aliasing", () => {
  test("changing what was passed in changes nothing", async () => {
    const { client } = await gatedStore()
    const bytes = new Uint8Array([1, 2, 3])
    const object = { list: [1] }
    const writes = [client.set("bytes", bytes), client.set("json", object), client.setMany([["many", bytes]])]
    bytes.fill(9)
    object.list.push(2)
    await Promise.all(writes)
    for (const key of ["bytes", "many"]) expect(await client.get(key)).toEqual(new Uint8Array([1, 2, 3]))
    expect(await client.getJson("json")).toEqual({ list: [1] })

    const loaded = new Uint8Array([1, 2, 3])
    const got = await client.getOrSet("loaded", () => loaded, { as: "bytes" })
    loaded.fill(9)
    got?.fill(8)
    expect(await client.get("loaded")).toEqual(new Uint8Array([1, 2, 3]))
  })

  test("bytes that came back are the caller's own, from every call and either tier", async () => {
    const { client } = await gatedStore()
    const value = new Uint8Array([1, 2, 3])
    await client.set("a", value)
    const spoil = (bytes: Uint8Array | undefined) => {
      expect(bytes).toEqual(value)
      bytes?.fill(0)
    }
    for (const tier of ["l2", "l1", "l1 again"]) {
      if (tier === "l2") {
        const joint = await Promise.all([client.get("a"), client.get("a")])
        joint.forEach(spoil)
      }
      spoil(await client.get("a"))
      spoil((await client.getEntry("a"))?.value)
      spoil((await client.getMany(["a"])).get("a"))
      spoil(client.peek("a"))
      spoil((await client.scanPage("", { limit: 1 })).entries[0]?.value)
      for await (const entry of client.scan("", { fill: true })) spoil(entry.value)
      spoil(await client.getOrSet("a", () => expect.unreachable(), { as: "bytes" }))
      spoil(await client.get("a", strong))
    }
  })

  test("over a network, the callers of one coalesced read do not share bytes", async () => {
    const { client } = await gatedStore({ networked: true, l1: false })
    await client.set("a", new Uint8Array([1]))
    const [one, two] = await Promise.all([client.get("a", strong), client.get("a", strong)])
    one?.fill(9)
    expect(two).toEqual(new Uint8Array([1]))
  })

  test("JSON comes back deep-frozen and shared, or as the caller's own copy", async () => {
    const { client } = await gatedStore()
    await client.set("a", { list: [{ n: 1 }] })
    interface Value {
      list: { n: number }[]
    }
    const first = await client.getJson<Value>("a")
    expect(first?.list[0]).toEqual({ n: 1 })
    expect([first, first?.list, first?.list[0]].every(Object.isFrozen)).toBe(true)
    // @ts-expect-error the type is readonly as well
    expect(() => first?.list.push({ n: 2 })).toThrow(TypeError)
    expect(await client.getJson("a")).toBe(first)
    expect(client.peekJson("a")).toBe(first)
    expect((await client.getManyJson("a".split(""))).get("a")).toBe(first)

    const own = await client.getJson<Value>("a", { mutable: true })
    own?.list.push({ n: 2 })
    const other = await client.getOrSet<Value>("a", () => expect.unreachable(), { mutable: true })
    other?.list.pop()
    const many = (await client.getManyJson<Value>(["a"], { mutable: true })).get("a")
    expect(many).toEqual({ list: [{ n: 1 }] })
    expect(await client.getJson("a")).toEqual({ list: [{ n: 1 }] })
  })

  test("what a loader returned is not what its callers get", async () => {
    const { client } = await gatedStore()
    const loaded = { list: [1] }
    const [one, two] = await Promise.all([
      client.getOrSet("a", () => loaded),
      client.getOrSet("a", () => loaded),
    ])
    expect(one).toBe(two)
    expect(Object.isFrozen(one)).toBe(true)
    expect(Object.isFrozen(loaded)).toBe(false)
    loaded.list.push(2)
    expect(await client.getJson("a")).toEqual({ list: [1] })
  })
})

describe("10. Bounded memory", () => {
  test("both bounds are on by default, and a hot loop over a huge key space stays within them", {
    timeout: 20_000,
  }, async () => {
    const store = await kv("a", { backend: memory() })
    const value = Buffer.alloc(24_000)
    for (let index = 0; index < 3_000; index++) await store.set(`k${index}`, value)
    for (let index = 0; index < 4_500; index++) {
      await store.get(`k${index}`)
      store.peek(`other:${index}`)
    }
    const { l1 } = store.stats()
    expect(l1).toMatchObject({ maxEntries: 10_000, maxBytes: 67_108_864 })
    expect(l1.entries).toBeGreaterThan(1_000)
    expect(l1.bytes).toBeGreaterThan(60_000_000)
    expect(l1.bytes).toBeLessThanOrEqual(l1.maxBytes)
    expect(l1.negatives).toBe(1_000)
    expect(l1.evictions.negatives).toBe(500)
    await store.close()
  })

  test("entries are bounded in number, and absent keys by a bound of their own", async () => {
    const store = await kv("a", { backend: memory(), l1: { maxEntries: 50 } })
    const keys = Array.from({ length: 500 }, (_, index) => `k${index}`)
    await store.setMany(keys.map((key) => [key, "v"] as const))
    await store.getMany([...keys, ...keys.map((key) => `absent:${key}`)], { fill: true })
    expect(store.stats().l1).toMatchObject({ entries: 50, negatives: 100 })
  })

  test("nothing of a key stays behind once its reads and writes are done", async () => {
    const { client, runtime, gate } = await gatedStore({ quarantineMs: 10, l1: false })
    for (let index = 0; index < 50; index++) {
      if (index % 5 === 0) gate.script("put", { fail: unknownOutcome() })
      await client.set(`k${index}`, "v").catch(() => {})
      await client.getOrSet(`l${index}`, () => "v")
    }
    await runtime.advance(10)
    expect(client.stats()).toMatchObject({ inFlight: 0, quarantined: 0 })
  })
})

describe("11. A scan does not pollute", () => {
  async function hotSet() {
    const opened = await gatedStore({ l1: { maxEntries: 10 } })
    const { client } = opened
    const cold = Array.from({ length: 100 }, (_, index) => `cold:${index}`)
    const hot = Array.from({ length: 10 }, (_, index) => `hot:${index}`)
    await client.setMany([...cold, ...hot].map((key) => [key, key] as const))
    await client.getMany(hot, { fill: true })
    const held = () => hot.filter((key) => client.peek(key) !== undefined).length
    expect(held()).toBe(10)
    return { ...opened, cold, held }
  }

  test("neither scan nor getMany of cold keys evicts the hot set", async () => {
    const { client, cold, held } = await hotSet()
    for await (const { key } of client.scan("")) expect(key).toBeDefined()
    await client.scanPage("", { limit: 1_000 })
    await client.getMany(cold)
    await client.getMany(cold.map((key) => `absent:${key}`))
    expect(held()).toBe(10)
    expect(client.stats().l1).toMatchObject({ negatives: 0, fills: 10 })
  })

  test("scan and getMany fill L1 if they are asked to", async () => {
    for (const how of ["scan", "getMany"]) {
      const { client, cold, held } = await hotSet()
      if (how === "getMany") await client.getMany(cold, { fill: true })
      else for await (const { key } of client.scan("cold:", { fill: true })) expect(key).toBeDefined()
      expect(held(), how).toBe(0)
      expect(client.stats().l1.entries).toBe(10)
    }
  })

  test("a get that joins a read of getMany fills L1", async () => {
    const { client, gate } = await gatedStore()
    await client.set("a", "1")
    gate.hold("get")
    const many = client.getMany(["a"])
    const one = client.get("a")
    gate.releaseAll()
    await Promise.all([many, one])
    expect(client.peekText("a")).toBe("1")
    expect(gate.count("get")).toBe(1)
  })
})

describe("12. Nothing lingers", () => {
  test("close waits for what is in flight", async () => {
    for (const operation of ["get", "exists", "put", "delete", "putMany", "deleteMany", "scan"] as const) {
      const { client, gate } = await gatedStore()
      gate.hold(operation, "reply")
      const call = {
        get: () => client.get("a"),
        exists: () => client.exists("a"),
        put: () => client.set("a", "1"),
        delete: () => client.delete("a"),
        putMany: () => client.setMany([["a", "1"]]),
        deleteMany: () => client.deleteMany(["a"]),
        scan: () => client.scanPage(""),
      }[operation]()
      let closed = false
      const closing = client.close().then(() => (closed = true))
      await settle()
      expect(closed, operation).toBe(false)
      gate.releaseAll()
      await Promise.all([call, closing])
    }
  })

  test("close waits for every step of getOrSet: the read, the load, the write", async () => {
    const calls: string[] = []
    const table = memory()
    const { client, gate } = await gatedStore({
      behind: () => ({
        ...table,
        put: (key, write) => table.put(key, write).finally(() => calls.push("put")),
      }),
    })
    gate.hold("get")
    const loading = client.getOrSet("a", async () => {
      await settle()
      calls.push("load")
      return 1
    })
    const closing = client.close().then(() => calls.push("closed"))
    await settle()
    gate.releaseAll()
    expect(await loading).toBe(1)
    await closing
    expect(calls).toEqual(["load", "put", "closed"])
  })

  test("close tells loads to stop, those of a refresh too, and waits until they have", async () => {
    const { client, runtime } = await gatedStore()
    const untilAborted = ({ signal }: { signal: AbortSignal }) =>
      new Promise<never>((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)))
    const loading = expect(client.getOrSet("a", untilAborted)).rejects.toMatchObject({ code: "CLOSED" })
    await client.getOrSet("b", () => 1, { ttlMs: 10, refreshAheadMs: 9 })
    await runtime.advance(5)
    await client.getOrSet("b", untilAborted, { ttlMs: 10, refreshAheadMs: 9 })
    expect(client.stats().inFlight).toBeGreaterThan(1)
    await client.close()
    await loading
    expect(client.stats().inFlight).toBe(0)
  })

  test("close cancels the timers of quarantines", async () => {
    const { client, gate, runtime } = await gatedStore()
    let timers = 0
    const { setTimer } = runtime
    runtime.setTimer = (callback, delayMs) => {
      timers++
      const timer = setTimer(callback, delayMs)
      return {
        cancel() {
          timers--
          timer.cancel()
        },
      }
    }
    gate.script("put", { fail: unknownOutcome() })
    await expect(client.set("a", "1")).rejects.toThrow()
    expect(timers).toBe(1)
    await client.close()
    expect(timers).toBe(0)
  })
})
