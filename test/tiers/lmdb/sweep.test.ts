import { afterEach, beforeEach, describe, expect, test } from "vitest"
import { lmdb } from "../../../tiers/lmdb/backend.ts"
import { wasWrittenBy } from "../../support/heads.ts"
import { type LmdbFixture, lmdbFixture, textOf } from "../../support/lmdb-fixture.ts"
import { settle } from "../../support/runtime.ts"

const INTERVAL_MS = 1_000

let fixture: LmdbFixture
beforeEach(async () => {
  fixture = await lmdbFixture()
})
afterEach(() => fixture.remove())

const open = () => fixture.openStore(fixture.directory, { sweepIntervalMs: INTERVAL_MS })

/** The keys that lie in the directory, expired ones included, after `backends` are closed. */
const keysUnderneath = () => fixture.underneath((db) => [...db.getKeys({ end: "~" })])

describe("the sweep", () => {
  test("removes expired rows, slice by slice, and nothing else", async () => {
    const { put, runtime } = fixture
    const backend = await open()
    const rows = Array.from({ length: 700 }, (_, index) => `key:${String(index).padStart(3, "0")}`)
    await Promise.all(rows.map((key, index) => put(backend, key, key, index % 50 === 0 ? undefined : 10)))
    const last = runtime.id()
    await backend.put("last", { value: Buffer.from("value"), id: last, expiresAt: runtime.now() + 10 })
    await put(backend, "later", "value", 3_600_000)
    while (await wasWrittenBy(backend, "last", last)) await runtime.advance(INTERVAL_MS)
    await backend.close()
    expect(await keysUnderneath()).toEqual([...rows.filter((_, index) => index % 50 === 0), "later"])
  })

  test("spares what is written between its look and its transaction", async () => {
    const { put, runtime } = fixture
    const backend = await open()
    await put(backend, "key", "old", 1)
    await put(backend, "swept", "old", 1)
    const id = runtime.id()
    await backend.put("swept", { value: Buffer.from("old"), id, expiresAt: runtime.now() + 1 })
    runtime.stepWallClock(1)
    // Waits before the sweep's own transaction, which has then looked already.
    const fresh = put(backend, "key", "fresh")
    await runtime.advance(INTERVAL_MS)
    await fresh
    while (await wasWrittenBy(backend, "swept", id)) await settle()
    expect(await textOf(backend, "key")).toBe("fresh")
  })

  test("of several backends at once removes the expired rows, and no more", async () => {
    const { put, runtime } = fixture
    const backends = [await open(), await open(), await open()]
    const [first] = backends
    if (first === undefined) throw new Error("no backend")
    await Promise.all(Array.from({ length: 300 }, (_, index) => put(first, `key:${index}`, "value", 1)))
    await put(first, "kept", "value")
    // A sweep comes by it last.
    const id = runtime.id()
    await first.put("last", { value: Buffer.from("value"), id, expiresAt: runtime.now() + 1 })
    while (await wasWrittenBy(first, "last", id)) await runtime.advance(INTERVAL_MS)
    await Promise.all(backends.map((backend) => backend.close()))
    expect(await keysUnderneath()).toEqual(["kept"])
  })

  test("goes on after a sweep that failed", async () => {
    const { put, runtime } = fixture
    let failing = true
    const broken = {
      ...runtime,
      now: () => {
        if (failing) throw new Error("the clock is broken")
        return runtime.now()
      },
    }
    const backend = await fixture.openStore(fixture.directory, {
      sweepIntervalMs: INTERVAL_MS,
      runtime: broken,
    })
    const writer = await fixture.openStore(fixture.directory, { sweepIntervalMs: 0 })
    const id = runtime.id()
    await writer.put("key", { value: Buffer.from("value"), id, expiresAt: runtime.now() + 1 })
    await put(writer, "kept", "value")
    await runtime.advance(2 * INTERVAL_MS)
    expect(await wasWrittenBy(writer, "key", id)).toBe(true)
    failing = false
    while (await wasWrittenBy(backend, "key", id)) await runtime.advance(INTERVAL_MS)
    expect(await textOf(writer, "kept")).toBe("value")
  })

  test("is turned off by 0, and ends with the backend", async () => {
    const { runtime } = fixture
    const set = new Set<object>()
    const counting = {
      ...runtime,
      setTimer(callback: () => void, delayMs: number) {
        const timer = runtime.setTimer(callback, delayMs)
        set.add(timer)
        return { cancel: () => void (set.delete(timer) && timer.cancel()) }
      },
    }
    const off = await fixture.openStore(fixture.directory, { runtime: counting, sweepIntervalMs: 0 })
    expect(set.size).toBe(0)
    await off.close()
    const on = await fixture.openStore(fixture.directory, { runtime: counting })
    expect(set.size).toBe(1)
    await on.close()
    expect(set.size).toBe(0)
    const unopened = lmdb(fixture.directory, { runtime: counting })
    await unopened.close()
    expect(set.size).toBe(0)
  })
})
