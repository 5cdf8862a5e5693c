import { describe, expect, test } from "vitest"
import { L1Entry } from "../../../tiers/l1/entry.ts"
import { L1 } from "../../../tiers/l1/l1.ts"
import { systemRuntime } from "../../../tiers/runtime.ts"
import { heapInUse } from "../../support/heap.ts"

/** The most by which parsed JSON may be larger on the heap than L1 charges for it. */
const FACTOR = 3
const VALUE_BYTES = 20_000
/** The bound of L1 in each test, bytes: so large that the rest of the heap hardly counts. */
const MAX_BYTES = 4 * 1024 * 1024

let unique = 0
const uniqueKey = () => `"${(unique++).toString(36)}":0`
const listOf = (item: () => string) => {
  const items: string[] = []
  for (let length = 0; length < VALUE_BYTES; length += (items.at(-1)?.length ?? 0) + 1) items.push(item())
  return `[${items}]`
}
const objectOf = (keys: number) => `{${Array.from({ length: keys }, uniqueKey)}}`

/** JSON by shape; each call returns a new text. */
const SHAPES: Readonly<Record<string, () => string>> = {
  "empty objects": () => listOf(() => "{}"),
  "empty arrays": () => listOf(() => "[]"),
  "arrays of one": () => listOf(() => "[0]"),
  "arrays in arrays": () => "[".repeat(VALUE_BYTES / 2) + "]".repeat(VALUE_BYTES / 2),
  "small numbers": () => listOf(() => "1"),
  fractions: () => listOf(() => "1.5"),
  "short texts": () => listOf(() => JSON.stringify((unique++ * 977).toString(36))),
  "one long text": () => JSON.stringify("x".repeat(VALUE_BYTES - 10) + unique++),
  "one long text beyond Latin-1": () => JSON.stringify("€".repeat(VALUE_BYTES / 4) + unique++),
  "objects of one key, each of another": () => listOf(() => objectOf(1)),
  "objects of 20 keys, each of others": () => listOf(() => objectOf(20)),
  "objects of 120 keys, each of others": () => listOf(() => objectOf(120)),
  "one object of many keys": () => objectOf(2_000),
  "objects with integer keys": () => listOf(() => '{"1":{}}'),
  "objects with large integer keys": () => listOf(() => '{"1000000":0}'),
  documents: () =>
    listOf(() => JSON.stringify({ id: unique++, name: `Alice ${unique}`, tags: ["a", "b"], plan: "pro" })),
}

describe("parsed JSON in L1 takes at most three times the memory that it is charged", () => {
  for (const [shape, text] of Object.entries(SHAPES)) {
    test(shape, async () => {
      const settings = {
        maxEntries: 100_000,
        maxBytes: MAX_BYTES,
        ttlMs: 3_600_000,
        negativeTtlMs: 0,
        jitter: 0,
      }
      const l1 = new L1(settings, systemRuntime)
      const before = await heapInUse()
      for (let key = 0; l1.counters().evictions.bytes < 2; key++) {
        const entry = new L1Entry(Buffer.from(text()), "v", undefined)
        l1.fill(String(key), entry)
        entry.decodeJson(entry.decodeText() ?? "")
        l1.keepJson(String(key), entry)
      }
      expect(l1.bytes).toBeGreaterThan(0.8 * MAX_BYTES)
      const taken = (await heapInUse()) - before
      expect(l1.entries).toBeGreaterThan(0)
      expect(taken / l1.bytes).toBeLessThan(FACTOR)
      expect(taken / l1.bytes, "the measurement sees what L1 holds").toBeGreaterThan(0.1)
    })
  }
})
