import type { TableEntity, TableEntityResultPage } from "@azure/data-tables"
import { beforeEach, describe, expect, test } from "vitest"
import { startExpirySweep } from "../../../tiers/azure-tables/sweep.ts"
import { sweepLease } from "../../../tiers/azure-tables/sweep-lease.ts"
import { settle, type TestRuntime, testRuntime } from "../../support/runtime.ts"

const INTERVAL_MS = 300_000
const LEASE_MS = 60_000

let runtime: TestRuntime
let table: ReturnType<typeof fakeTable>
beforeEach(() => {
  runtime = testRuntime()
  table = fakeTable(runtime)
})

const newLease = (clock: TestRuntime = runtime) =>
  sweepLease(table, table.times, { ...clock, id: runtime.id })
const takenBy = async (leases: readonly ReturnType<typeof newLease>[]) =>
  (await Promise.all(leases.map((lease) => lease.take()))).flatMap((held, index) => (held ? [index] : []))

describe("the lease of the sweep", () => {
  test("goes to one of the processes that want it at once, whether or not there is a row yet", async () => {
    const leases = Array.from({ length: 10 }, () => newLease())
    for (let round = 0; round < 3; round++) {
      expect(await takenBy(leases)).toHaveLength(1)
      await runtime.advance(LEASE_MS + 5_000)
    }
  })

  test("of a process that died is free after a minute, for one of the others, and not before", async () => {
    const [dead, ...others] = Array.from({ length: 5 }, () => newLease())
    const held = await dead?.take()
    await runtime.advance(LEASE_MS - 1)
    expect(await takenBy(others)).toEqual([])
    // A pass does not outlive its lease.
    expect(held?.endsAt).toBe(runtime.monotonic() + 1)
    await runtime.advance(5_000)
    expect(await takenBy(others)).toHaveLength(1)
  })

  test("that was given back rests as long as its holder said, and names the partition that is next", async () => {
    const [one, two] = [newLease(), newLease()]
    await one.take()
    await one.rest(7, INTERVAL_MS)
    await runtime.advance(INTERVAL_MS - 1)
    expect(await two.take()).toBeUndefined()
    await runtime.advance(5_000)
    expect(await two.take()).toMatchObject({ partition: 7 })
  })

  test("that another has taken over meanwhile is not given back", async () => {
    const [slow, other] = [newLease(), newLease()]
    await slow.take()
    await runtime.advance(LEASE_MS + 5_000)
    expect(await other.take()).toBeDefined()
    await slow.rest(3, INTERVAL_MS)
    await runtime.advance(LEASE_MS + 5_000)
    expect(await slow.take()).not.toMatchObject({ partition: 3 })
  })

  test("does not depend on the clocks of the processes", async () => {
    const ahead = { ...runtime, now: () => runtime.now() + 3_600_000 }
    const [one, two] = [newLease(), newLease(ahead)]
    await one.take()
    expect(await two.take()).toBeUndefined()
  })
})

/** In steps, so that the requests of a pass end within its time. */
async function hours(count: number): Promise<void> {
  for (let ms = 0; ms < count * 3_600_000; ms += 10_000) await runtime.advance(10_000)
}

test("the sweep comes back soon to a partition with more to remove than one pass may", async () => {
  table.expired = 2_500
  const sweep = startExpirySweep(table, table.times, runtime, INTERVAL_MS)
  while (table.leasesTaken === 0) await runtime.advance(100)
  const began = runtime.monotonic()
  while (table.expired > 0) await runtime.advance(100)
  expect(runtime.monotonic() - began).toBeLessThan(INTERVAL_MS / 4)
  expect(new Set(table.swept).size).toBe(1)
  expect(table.leasesTaken).toBe(3)
  await sweep.stop()
})

test("twenty processes sweep a table as often as one does", async () => {
  const passesOf = async (processes: number) => {
    runtime = testRuntime()
    table = fakeTable(runtime)
    const sweeps = Array.from({ length: processes }, () =>
      startExpirySweep(table, table.times, runtime, INTERVAL_MS),
    )
    await hours(8)
    await Promise.all(sweeps.map((sweep) => sweep.stop()))
    return table.swept
  }
  const alone = await passesOf(1)
  const together = await passesOf(20)
  expect(alone.length).toBeGreaterThan(80)
  expect(together.length).toBeGreaterThan(alone.length * 0.7)
  expect(together.length).toBeLessThan(alone.length * 1.5)
  // One partition after the other, whichever process sweeps.
  expect(new Set(together.slice(0, 16)).size).toBe(16)
})

/** A table with the row of the lease, and a number of expired rows in the partition that is asked for. Its clock is that of the runtime. */
function fakeTable(runtime: TestRuntime) {
  const swept: string[] = []
  const state = { expired: 0, leasesTaken: 0 }
  let row: (TableEntity & { etag: string }) | undefined
  let writes = 0
  const write = (entity: TableEntity & { ForMs?: unknown }) => {
    if (entity.ForMs === LEASE_MS) state.leasesTaken++
    const time = new Date(runtime.now()).toISOString().replace("Z", String(++writes).padStart(4, "0"))
    const etag = `W/"datetime'${time.replaceAll(":", "%3A")}Z'"`
    row = { ...entity, etag }
    return { etag }
  }
  return Object.assign(state, {
    swept,
    times: {
      now: () => ({ clock: "table", earliest: runtime.now() - 2_000, latest: runtime.now() + 2_000 }),
    },
    async page(_operation: string, { filter, top }: { filter: string; top: number }) {
      await settle()
      const isLease = filter.includes("lease")
      if (!isLease) swept.push(filter.slice(0, 24))
      const old = { etag: `W/"datetime'2020-01-01T00%3A00%3A00Z'"`, ExpiresAt: "2020-01-01T00:00:00Z" }
      const count = Math.min(top, state.expired)
      const found = isLease
        ? (row ?? [])
        : Array.from({ length: count }, (_, n) => ({ ...old, rowKey: `${n}` }))
      const rows: TableEntityResultPage<Record<string, unknown>> = [found].flat()
      if (!isLease && count < state.expired) rows.continuationToken = "more"
      return rows
    },
    async insert(_operation: string, entity: TableEntity) {
      await settle()
      return row === undefined ? write(entity) : undefined
    },
    async replace(_operation: string, entity: TableEntity, etag: string) {
      await settle()
      return row?.etag === etag ? write(entity) : undefined
    },
    async remove() {
      state.expired--
      return true
    },
  })
}
