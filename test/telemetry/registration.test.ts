import { expect, test } from "vitest"
import { kv } from "../../src/kv.ts"
import { snapshotAll } from "../../src/open-stores.ts"
import { memory } from "../../tiers/memory.ts"

test("every open store of the process is in the registry, once, until it is closed", async () => {
  const first = await kv("first", { backend: "memory:" })
  const second = await kv("second", { backend: memory() })
  await first.set("a", "1")
  await first.getText("a")

  expect(snapshotAll().map(({ name }) => name)).toEqual(["first", "second"])
  expect(snapshotAll()[0]).toEqual(first.stats())

  await first.close()
  expect(snapshotAll().map(({ name }) => name)).toEqual(["second"])
  await second.close()
  expect(snapshotAll()).toEqual([])
})

test("a store that several handles hold counts once, and stays while one of them is open", async () => {
  process.env.KV_SHARED_URL = "memory:"
  const one = await kv("shared")
  const two = await kv("shared")
  expect(snapshotAll().map(({ name }) => name)).toEqual(["shared"])
  await one.close()
  expect(snapshotAll().map(({ name }) => name)).toEqual(["shared"])
  await two.close()
  expect(snapshotAll()).toEqual([])
  delete process.env.KV_SHARED_URL
})
