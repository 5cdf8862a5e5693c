import { expect, test } from "vitest"
import { memory, memoryStore } from "../../tiers/memory.ts"
import { describeConformance } from "../support/conformance/run.ts"
import { wasWrittenBy } from "../support/heads.ts"
import { testRuntime } from "../support/runtime.ts"

describeConformance("memory", {
  createStore(runtime) {
    const store = memoryStore()
    return { connect: () => memory({ runtime, store }) }
  },
})

test("memory frees the rows of short-lived entries while others are written, and keeps live ones", async () => {
  const runtime = testRuntime()
  const store = memoryStore()
  const backend = memory({ runtime, store })
  const put = (key: string, ttlMs?: number) =>
    backend.put(key, {
      value: Buffer.from(key),
      id: runtime.id(),
      ...(ttlMs === undefined ? {} : { expiresAt: runtime.now() + ttlMs }),
    })
  await put("kept")
  let most = 0
  for (let written = 0; written < 20_000; written++) {
    runtime.stepWallClock(120)
    await put(`short-lived:${written}`, 1_000)
    most = Math.max(most, store.rows.size)
  }
  // A row counts for a second and stays for a minute: 509 writes at 120 ms.
  expect(most).toBeLessThan(2 * 510)
  const { entries } = await backend.scan("", { limit: 100 })
  expect(entries.map(({ key }) => key)).toContain("kept")
  expect(entries).toHaveLength(10)
})

test("memory keeps an expired row for a minute, for the write that left it to be settled by", async () => {
  const runtime = testRuntime()
  const backend = memory({ runtime })
  const id = runtime.id()
  await backend.put("key", { value: Buffer.from("value"), id, expiresAt: runtime.now() + 1 })
  const writeMany = async () => {
    for (let written = 0; written < 10; written++)
      await backend.put("other", { value: Buffer.from("value"), id: runtime.id() })
  }
  runtime.stepWallClock(60_000)
  await writeMany()
  expect(await wasWrittenBy(backend, "key", id)).toBe(true)
  runtime.stepWallClock(1)
  await writeMany()
  expect(await wasWrittenBy(backend, "key", id)).toBe(false)
})

test("memory gives a short page rather than look at expired rows without end, and timers fire during a scan", async () => {
  const runtime = testRuntime()
  const backend = memory({ runtime })
  const expiresAt = runtime.now() + 1
  for (let index = 0; index < 5_000; index++)
    await backend.put(`key:${index}`, { value: Buffer.from("x"), id: runtime.id(), expiresAt })
  await backend.put("last", { value: Buffer.from("x"), id: runtime.id() })
  runtime.stepWallClock(1)
  let turns = 0
  const count = () => {
    turns++
    counting = setImmediate(count)
  }
  let counting = setImmediate(count)
  const pages = [await backend.scan("", { limit: 10 })]
  for (let next = pages[0]?.next; next !== undefined; next = pages.at(-1)?.next)
    pages.push(await backend.scan("", { limit: 10, cursor: next }))
  clearImmediate(counting)
  expect(turns).toBeGreaterThanOrEqual(4)
  expect(pages.length).toBeGreaterThanOrEqual(5)
  expect(pages.flatMap(({ entries }) => entries.map(({ key }) => key))).toEqual(["last"])
})
