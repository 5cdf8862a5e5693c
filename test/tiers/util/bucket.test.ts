import { existsSync, readFileSync } from "node:fs"
import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { BUCKETS, bucketOf, hashKey } from "../../../tiers/util/bucket.ts"

/** Given by Rust's `DefaultHasher` for these strings: they hold the layout of every table in place. */
const vectors = [
  { key: "user:123", hash: "519d19f2c7cd4f52", bucket: 2 },
  { key: "greeting", hash: "a65f720b737bc918", bucket: 8 },
  { key: "session:abc", hash: "9ca01ee136af3851", bucket: 1 },
  { key: "lock:res", hash: "af20a5e61a3b4a40", bucket: 0 },
  { key: "a", hash: "719b50b9a4f0e9f3", bucket: 3 },
  { key: "__x__", hash: "023dc658b7fbf47c", bucket: 12 },
  { key: "valid-key_123:test.path.ext", hash: "b8b81896ee44ea6d", bucket: 13 },
]

/** More of them, where the checkout has them beside it. */
const vectorFile = new URL("../../../../shared/vectors/bucket.json", import.meta.url)
if (existsSync(vectorFile)) vectors.push(...JSON.parse(readFileSync(vectorFile, "utf8")).vectors)

test.each(vectors)("$key lies in bucket $bucket", ({ key, hash, bucket }) => {
  expect(hashKey(key).toString(16).padStart(16, "0")).toBe(hash)
  expect(bucketOf(key)).toBe(bucket)
})

describe("the bucket is that of the algorithm written down in 64 bits, for", () => {
  test.each([
    ["legal keys", fc.stringMatching(/^[A-Za-z0-9_:.-]{1,512}$/, { size: "max" })],
    [
      "any text, so that the hash is right for what is not legal today",
      fc.string({ unit: "binary", size: "large" }),
    ],
  ])("%s", (_, keys) => {
    fc.assert(
      fc.property(keys, (key) => {
        const hash = reference(Buffer.concat([Buffer.from(key), Buffer.of(0xff)]))
        expect(hashKey(key)).toBe(hash)
        expect(bucketOf(key)).toBe(Number(hash % BigInt(BUCKETS)))
      }),
      { numRuns: 300 },
    )
  })
})

test("a run of keys spreads evenly", () => {
  const counts = new Array<number>(BUCKETS).fill(0)
  for (let n = 0; n < 16_000; n++) {
    const bucket = bucketOf(`item:${n}`)
    counts[bucket] = (counts[bucket] ?? 0) + 1
  }
  expect(Math.min(...counts)).toBeGreaterThan(850)
  expect(Math.max(...counts)).toBeLessThan(1_150)
})

/** SipHash-1-3 with a zero key, as its authors describe it. */
function reference(message: Buffer): bigint {
  const u64 = (value: bigint) => BigInt.asUintN(64, value)
  const rotate = (value: bigint, bits: bigint) => u64((value << bits) | (value >> (64n - bits)))
  let v0 = 0x736f6d6570736575n
  let v1 = 0x646f72616e646f6dn
  let v2 = 0x6c7967656e657261n
  let v3 = 0x7465646279746573n
  const round = () => {
    v0 = u64(v0 + v1)
    v1 = rotate(v1, 13n) ^ v0
    v0 = rotate(v0, 32n)
    v2 = u64(v2 + v3)
    v3 = rotate(v3, 16n) ^ v2
    v0 = u64(v0 + v3)
    v3 = rotate(v3, 21n) ^ v0
    v2 = u64(v2 + v1)
    v1 = rotate(v1, 17n) ^ v2
    v2 = rotate(v2, 32n)
  }
  const padded = Buffer.alloc((message.length >> 3) * 8 + 8)
  message.copy(padded)
  padded[padded.length - 1] = message.length & 0xff
  for (let at = 0; at < padded.length; at += 8) {
    const word = padded.readBigUInt64LE(at)
    v3 ^= word
    round()
    v0 ^= word
  }
  v2 ^= 0xffn
  round()
  round()
  round()
  return v0 ^ v1 ^ v2 ^ v3
}
