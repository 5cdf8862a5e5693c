import { expect, test } from "vitest"
import type { Kv } from "../../../src/api.ts"
import { KvError } from "../../../tiers/errors.ts"
import { isUnconditional } from "../../../tiers/util/write-id.ts"
import type { GatedOperation } from "../../support/gated-backend.ts"
import { gatedStore } from "../../support/gated-store.ts"
import { settle } from "../../support/runtime.ts"

type Send = (client: Kv, version: string) => Promise<unknown>

const WRITES: readonly [operation: GatedOperation, plain: Send, conditional?: Send][] = [
  ["put", (client) => client.set("a", "1"), (client) => client.set("a", "1", { ifNotExists: true })],
  ["delete", (client) => client.delete("a"), (client, ifVersion) => client.delete("a", { ifVersion })],
  ["putMany", (client) => client.setMany([["a", "1"]])],
  ["deleteMany", (client) => client.deleteMany(["a"])],
]

test.each(WRITES)(
  "the identity of a %s says whether it has a condition",
  async (operation, plain, conditional) => {
    const { client, gate } = await gatedStore()
    const { version = "" } = await client.put("a", "0")
    const isPlain = () => isUnconditional(gate.last(operation).writes.get("a")?.id ?? "")
    await plain(client, version)
    expect(isPlain()).toBe(true)
    await conditional?.(client, version)
    expect(isPlain()).toBe(conditional === undefined)
  },
)

test("a write carries the version that this process knows: what L1 holds, else what it wrote last", async () => {
  const { client, gate, elsewhere } = await gatedStore()
  const seen = () => gate.last().writes.get("a")?.seen
  await client.set("a", "1")
  expect(seen()).toBeUndefined()
  const { version: written } = await client
    .put("a", "2", { ifNotExists: true })
    .then(() => client.put("a", "3"))
  await client.setMany([["a", "4"]])
  expect(written).toContain(seen())

  const theirs = await elsewhere.put("a", "theirs")
  await client.get("a")
  await client.set("a", "5")
  expect(seen()).toBe(theirs)
  await client.delete("a")
  // A delete tells no version, and what was written before it is known no more.
  await client.set("a", "6")
  expect(seen()).toBeUndefined()
})

test("bytes, and the times of writes, are counted of single writes and of batches", async () => {
  const { client, gate, runtime } = await gatedStore()
  gate.hold()
  const writing = [client.set("a", "12"), client.setMany([["b", "345"]])]
  await runtime.advance(40)
  gate.releaseAll()
  await Promise.all(writing)
  const { bytesWritten, writeLatency } = client.stats().l2
  expect(bytesWritten).toBe(5)
  expect(writeLatency).toMatchObject({ count: 2, maxMs: expect.closeTo(40, 0) })
})

test.each([
  ["a refusal that is known not to have been applied", "UNAVAILABLE", 0],
  ["an unknown outcome", "OUTCOME_UNKNOWN", 1],
] as const)("%s of a write ends in as many quarantines as it must", async (_, code, quarantined) => {
  const { client, gate } = await gatedStore()
  gate.script("put", { fail: new KvError(code, "scripted", { operation: "put" }) })
  await expect(client.set("a", "1")).rejects.toMatchObject({ code })
  expect(client.stats().quarantined).toBe(quarantined)
  await settle()
  await client.close()
})
