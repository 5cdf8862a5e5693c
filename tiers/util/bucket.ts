import { MAX_KEY_BYTES } from "../limits.ts"

/** Number of partitions over which the keys of a table are spread. */
export const BUCKETS = 16

/**
 * The partition of a key, from 0 to 15: {@link hashKey} modulo 16. The layout of tables depends on it (`bucket_N` on DynamoDB, `pN` on
 * Azure), so it never changes.
 */
export function bucketOf(key: string): number {
  return sipHash13(key).low & (BUCKETS - 1)
}

/**
 * SipHash-1-3 with a zero key over the UTF-8 bytes of `key` and one byte 0xFF, as an unsigned 64-bit number. Alien's clients compute the
 * same with the `DefaultHasher` of Rust's standard library on a `&str`.
 */
export function hashKey(key: string): bigint {
  const { high, low } = sipHash13(key)
  return (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0)
}

/** Large enough for every legal key; a longer key gets a new array. */
const scratch = new Uint8Array(3 * MAX_KEY_BYTES + 1)
const encoder = new TextEncoder()

/**
 * Represents each 64-bit word of the algorithm as two 32-bit halves. It runs on every read, and with BigInt it takes more than ten times
 * as long.
 */
function sipHash13(key: string): { high: number; low: number } {
  // At most three bytes of UTF-8 for each UTF-16 unit, and the byte 0xFF.
  const bytes = key.length * 3 < scratch.length ? scratch : new Uint8Array(key.length * 3 + 1)
  const keyLength = encode(key, bytes)
  bytes[keyLength] = 0xff
  const length = keyLength + 1

  let [h0, l0] = [0x736f6d65, 0x70736575]
  let [h1, l1] = [0x646f7261, 0x6e646f6d]
  let [h2, l2] = [0x6c796765, 0x6e657261]
  let [h3, l3] = [0x74656462, 0x79746573]

  const words = (length >>> 3) + 1
  for (let round = 0; round < words + 3; round++) {
    let high = 0
    let low = 0
    if (round < words) {
      low = word(bytes, round * 8, length)
      high = word(bytes, round * 8 + 4, length)
      if (round === words - 1) high |= length << 24
      h3 ^= high
      l3 ^= low
    } else if (round === words) {
      l2 ^= 0xff
    }

    // v0 += v1; v1 = rotl(v1, 13) ^ v0; v0 = rotl(v0, 32)
    let sum = (l0 >>> 0) + (l1 >>> 0)
    h0 = (h0 + h1 + (sum > 0xffffffff ? 1 : 0)) | 0
    l0 = sum | 0
    let rotated = (h1 << 13) | (l1 >>> 19)
    l1 = ((l1 << 13) | (h1 >>> 19)) ^ l0
    h1 = rotated ^ h0
    rotated = h0
    h0 = l0
    l0 = rotated

    // v2 += v3; v3 = rotl(v3, 16) ^ v2
    sum = (l2 >>> 0) + (l3 >>> 0)
    h2 = (h2 + h3 + (sum > 0xffffffff ? 1 : 0)) | 0
    l2 = sum | 0
    rotated = (h3 << 16) | (l3 >>> 16)
    l3 = ((l3 << 16) | (h3 >>> 16)) ^ l2
    h3 = rotated ^ h2

    // v0 += v3; v3 = rotl(v3, 21) ^ v0
    sum = (l0 >>> 0) + (l3 >>> 0)
    h0 = (h0 + h3 + (sum > 0xffffffff ? 1 : 0)) | 0
    l0 = sum | 0
    rotated = (h3 << 21) | (l3 >>> 11)
    l3 = ((l3 << 21) | (h3 >>> 11)) ^ l0
    h3 = rotated ^ h0

    // v2 += v1; v1 = rotl(v1, 17) ^ v2; v2 = rotl(v2, 32)
    sum = (l2 >>> 0) + (l1 >>> 0)
    h2 = (h2 + h1 + (sum > 0xffffffff ? 1 : 0)) | 0
    l2 = sum | 0
    rotated = (h1 << 17) | (l1 >>> 15)
    l1 = ((l1 << 17) | (h1 >>> 15)) ^ l2
    h1 = rotated ^ h2
    rotated = h2
    h2 = l2
    l2 = rotated

    h0 ^= high
    l0 ^= low
  }
  return { high: h0 ^ h1 ^ h2 ^ h3, low: l0 ^ l1 ^ l2 ^ l3 }
}

/** Writes the UTF-8 of `key` and returns its length. Legal keys are ASCII; a loop over those beats the encoder. */
function encode(key: string, bytes: Uint8Array): number {
  for (let index = 0; index < key.length; index++) {
    const unit = key.charCodeAt(index)
    if (unit > 0x7f) return encoder.encodeInto(key, bytes).written
    bytes[index] = unit
  }
  return key.length
}

/** Four bytes little-endian; zero past the end of the message. */
function word(bytes: Uint8Array, at: number, length: number): number {
  let result = 0
  for (let index = Math.min(at + 4, length) - 1; index >= at; index--)
    result = (result << 8) | (bytes[index] ?? 0)
  return result
}
