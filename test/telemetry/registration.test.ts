import { expect, test } from "vitest"
import { kv } from "../../src/kv.ts"
import { watchedStores } from "../../src/open-stores.ts"
import { memory } from "../../tiers/memory.ts"

const names = () => [...watchedStores()].map((store) => store.stats().name)

test("every open store of the process is in the registry, once, until it is closed", async () => {
  const first = await kv("first", { backend: "memory:" })
  const second = await kv("second", { backend: memory() })
  await first.set("a", "1")
  await first.getText("a")

  expect(names()).toEqual(["first", "second"])
  expect([...watchedStores()][0]?.stats()).toEqual(first.stats())

  await first.close()
  expect(names()).toEqual(["second"])
  await second.close()
  expect(names()).toEqual([])
})

test("a store that several handles hold counts once, and stays while one of them is open", async () => {
  process.env.KV_SHARED_URL = "memory:"
  const one = await kv("shared")
  const two = await kv("shared")
  expect(names()).toEqual(["shared"])
  await one.close()
  expect(names()).toEqual(["shared"])
  await two.close()
  expect(names()).toEqual([])
  delete process.env.KV_SHARED_URL
})
