import { expect, test } from "vitest"
import { azureTables } from "../../../tiers/azure-tables/backend.ts"
import { putMany } from "../../../tiers/azure-tables/batches.ts"
import { limitsOf } from "../../../tiers/azure-tables/table-limits.ts"
import { systemRuntime } from "../../../tiers/runtime.ts"
import { keysOfOnePartition } from "../../support/azure-tables-fixture.ts"

const COSMOS = "https://account.table.cosmos.azure.com:443/"
const LONG = "k".repeat(256)
const write = () => ({ value: Uint8Array.of(1), id: systemRuntime.id() })

test("Cosmos DB refuses a key of more than 255 bytes, by name and before anything is sent", async () => {
  const connectionString = `TableEndpoint=${COSMOS};AccountName=account;AccountKey=a2V5`
  const backend = azureTables({ connectionString }, { table: "cache", sweepIntervalMs: 0 })
  await backend.open()
  const refused = {
    code: "INVALID_KEY",
    limit: 255,
    actual: 256,
    message: expect.stringContaining("Cosmos DB"),
  }
  for (const call of [
    () => backend.get(LONG),
    () => backend.exists(LONG),
    () => backend.put(LONG, write()),
    () => backend.put(LONG, { ...write(), condition: { absent: true } }),
    () => backend.delete(LONG, { id: systemRuntime.id() }),
  ]) {
    await expect((async () => call())()).rejects.toMatchObject(refused)
  }
  const batch = new Map([[LONG, write()]])
  for (const results of [
    await backend.getMany([LONG]),
    await backend.putMany(batch),
    await backend.deleteMany(batch),
  ]) {
    expect(results.get(LONG)).toMatchObject(refused)
  }
  await backend.close()
})

test.each([
  [COSMOS, [50, 50, 20]],
  ["https://account.table.core.windows.net/", [100, 20]],
  ["https://account.table.cosmos.example.net/", [50, 50, 20]],
  ["https://proxy.example.net/a.table.cosmos.azure.com", [100, 20]],
])("a batch to %s is sent in transactions of %j", async (url, expected) => {
  const sizes: number[] = []
  const requests = {
    async transact(_operation: string, actions: readonly unknown[]) {
      sizes.push(actions.length)
      return actions.map(() => ({}))
    },
  }
  const writes = new Map(keysOfOnePartition(120).map((key) => [key, write()]))
  await Reflect.apply(putMany, undefined, [requests, writes, 0, () => 1_000, limitsOf(url)])
  expect(sizes).toEqual(expected)
})
