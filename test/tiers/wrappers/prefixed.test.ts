import { expect, test } from "vitest"
import { memory, memoryStore } from "../../../tiers/memory.ts"
import { prefixed } from "../../../tiers/wrappers/prefixed.ts"
import { describeConformance } from "../../support/conformance/run.ts"

describeConformance("a prefix of a shared store", {
  async createStore(runtime) {
    const store = memoryStore()
    const neighbour = memory({ runtime, store })
    for (const key of ["a", "app", "app1", "app2:a", "b"]) {
      await neighbour.put(key, { value: Buffer.from("the neighbour's"), id: runtime.id() })
    }
    return { connect: () => prefixed(memory({ runtime, store }), "app:") }
  },
})

test("two prefixes of one store do not see each other", async () => {
  const store = memoryStore()
  const one = prefixed(memory({ store }), "one:")
  const two = prefixed(memory({ store }), "two:")
  await one.put("key", { value: Buffer.from("1"), id: "1".padStart(32, "0") })
  expect(await two.get("key")).toBeUndefined()
  expect((await two.scan("", { limit: 10 })).entries).toEqual([])
  expect((await one.scan("k", { limit: 10 })).entries.map(({ key }) => key)).toEqual(["key"])
})

test("lends what the backend lends, and nothing where the backend does not", async () => {
  const backend = memory()
  const lending = prefixed({ ...backend, lend: (key) => ({ value: Buffer.from(key), version: "1" }) }, "app:")
  expect(lending.lend?.("key")?.value).toEqual(Buffer.from("app:key"))
  expect(prefixed(backend, "app:").lend).toBeUndefined()
})
