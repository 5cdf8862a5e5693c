import type { TableClient } from "@azure/data-tables"
import { afterEach, beforeEach, expect, test, vi } from "vitest"
import { azureTables } from "../../../tiers/azure-tables/backend.ts"
import type { Backend } from "../../../tiers/backend.ts"
import { systemRuntime } from "../../../tiers/runtime.ts"
import { azuriteConnectionString, newTable, startAzurite } from "../../servers/azurite.ts"
import { faultProxy } from "../../servers/fault-proxy.ts"
import { requireServer } from "../../servers/require-server.ts"
import { wasWrittenBy } from "../../support/heads.ts"
import { type TestRuntime, testRuntime } from "../../support/runtime.ts"

const INTERVAL_MS = 300_000
/** Of a request; the time to the next pass is always longer. */
const LONGEST_DEADLINE_MS = 10_000
/** Longer than a row is left alone, though the server's clock moves on by itself. */
const GRACE_MS = 70_000
const value = Uint8Array.of(1)
const newId = systemRuntime.id

await requireServer("azure-tables", startAzurite, (server) => {
  let client: TableClient
  let runtime: TestRuntime
  /** When each pass was put off to, on the runtime's monotonic clock. */
  let passesAt: number[]
  let backend: Backend

  const connect = async (options: { sweepIntervalMs?: number; port?: number } = {}): Promise<Backend> => {
    const { port = server.port, ...rest } = options
    const connectionString = azuriteConnectionString(port)
    const table = client.tableName
    const backend = azureTables(
      { connectionString },
      { table, runtime, sweepIntervalMs: INTERVAL_MS, ...rest },
    )
    await backend.open()
    return backend
  }
  beforeEach(async () => {
    client = await newTable(server)
    runtime = testRuntime()
    passesAt = []
    const { setTimer } = runtime
    runtime.setTimer = (callback, delayMs) => {
      if (delayMs > LONGEST_DEADLINE_MS) passesAt.push(runtime.monotonic() + delayMs)
      return setTimer(callback, delayMs)
    }
    backend = await connect()
  })
  afterEach(async () => {
    await backend.close()
    await client.deleteTable()
  })

  /** The keys of all rows, expired or not. */
  const rows = async (): Promise<string[]> => {
    const keys: string[] = []
    for await (const { partitionKey, rowKey = "" } of client.listEntities()) {
      if (partitionKey !== "sweep") keys.push(rowKey)
    }
    return keys.sort()
  }
  const write = (key: string, ttlMs?: number) =>
    backend.put(key, {
      value,
      id: newId(),
      ...(ttlMs === undefined ? {} : { expiresAt: runtime.now() + ttlMs }),
    })
  /** Moves time on to the next pass, and waits until it is over: until the one after it has been put off. */
  const onePass = async () => {
    const { length } = passesAt
    await runtime.advance((passesAt.at(-1) ?? Number.NaN) - runtime.monotonic())
    // It pauses between its requests, so that time has to move on within it, too, but slower than theirs runs out.
    const isOver = async () => {
      await runtime.advance(5)
      return passesAt.length > length
    }
    await vi.waitUntil(isOver, { interval: 2, timeout: 20_000 })
  }
  const passes = async (count: number) => {
    for (let pass = 0; pass < count; pass++) await onePass()
  }

  test("the sweep takes expired rows out of every partition, and nothing else", async () => {
    const keys = Array.from({ length: 60 }, (_, index) => `key:${index}`)
    for (const key of keys) await write(key, 1)
    await write("far", 10 * 365 * 86_400_000)
    await write("for good")
    const { version = "" } = await backend.put("removed", { value, id: newId() })
    await backend.delete("removed", { id: newId(), condition: { version } })
    expect(await rows()).toHaveLength(63)
    await passes(16)
    expect(await rows()).toEqual(["far", "for good"])
  })

  test("the sweep removes what reads and scans come across before it looks for more", async () => {
    for (const key of ["read", "scanned"]) await write(key, 1)
    await runtime.advance(GRACE_MS)
    expect(await backend.get("read")).toBeUndefined()
    expect((await backend.scan("scanned", { limit: 10 })).entries).toEqual([])
    await passes(1)
    expect(await rows()).toEqual([])
  })

  test("the sweep leaves alone what was written, or has expired, within the last minute", async () => {
    await backend.close()
    backend = await connect({ sweepIntervalMs: 30_000 })
    await write("key", 1)
    const { version = "" } = await backend.put("removed", { value, id: newId() })
    const id = newId()
    await backend.delete("removed", { id, condition: { version } })
    await runtime.advance(1)
    expect(await backend.get("key")).toBeUndefined()
    // At most 45 s later.
    await passes(1)
    expect(await rows()).toEqual(["key", "removed"])
    expect(await wasWrittenBy(backend, "removed", id)).toBe(true)
    await passes(20)
    expect(await rows()).toEqual([])
  })

  test("the sweep never removes a value that was written after the row had expired", async () => {
    await write("key", 1)
    await runtime.advance(GRACE_MS)
    expect(await backend.get("key")).toBeUndefined()
    await write("key")
    await passes(17)
    expect(await backend.exists("key")).toBe(true)
  })

  test("the sweep goes on after a pass that failed", async () => {
    const proxy = await faultProxy(server.port, "http1")
    await backend.close()
    backend = await connect({ port: proxy.port })
    for (let index = 0; index < 5; index++) await write(`key:${index}`, 1)
    const outage = proxy.inject({ kind: "reset", times: 6 })
    await passes(24)
    expect(await rows()).toEqual([])
    expect(outage.hits).toBe(6)
    await backend.close()
    await proxy.close()
  })

  test("the sweep stops in the middle of a pass", async () => {
    for (let index = 0; index < 30; index++) await write(`key:${index}`, 1)
    await runtime.advance(GRACE_MS)
    for (let index = 0; index < 30; index++) await backend.get(`key:${index}`)
    await runtime.advance((passesAt.at(-1) ?? Number.NaN) - runtime.monotonic())
    await backend.close()
    expect(await rows()).toHaveLength(30)
  })

  test("the sweep stops with the backend, and does not run where it is turned off", async () => {
    await write("key", 1)
    await backend.close()
    backend = await connect({ sweepIntervalMs: 0 })
    const planned = passesAt.length
    await runtime.advance(100 * INTERVAL_MS)
    expect(passesAt).toHaveLength(planned)
    expect(await rows()).toEqual(["key"])
  })
})
