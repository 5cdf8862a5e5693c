import { markAsUntransferable } from "node:worker_threads"

/** Small copies are views of a pool of this many bytes, as Node's own `Buffer.poolSize`. */
const POOL_BYTES = 8_192
/** Larger copies get memory of their own, bytes. */
const MAX_POOLED_BYTES = POOL_BYTES / 2
/** Views start at multiples of this, so that they can be read as any typed array. */
const ALIGNMENT = 8

let pool = newPool()
let used = 0

/**
 * The bytes of `text`, one a character, as a `Uint8Array` that belongs to the caller.
 *
 * An `ArrayBuffer` costs several times the copy itself, so small ones are cut from a pool, as `Buffer.from` does it:
 * no two copies overlap, but the `buffer` of a small copy is longer than the copy. The pool cannot be transferred to a
 * worker.
 */
export function copyBytes(text: string): Uint8Array {
  const length = text.length
  if (length > MAX_POOLED_BYTES) {
    const own = new Uint8Array(length)
    Buffer.from(own.buffer).write(text, "latin1")
    return own
  }
  if (used + length > POOL_BYTES) {
    pool = newPool()
    used = 0
  }
  const start = used
  used = (start + length + ALIGNMENT - 1) & -ALIGNMENT
  pool.write(text, start, length, "latin1")
  return new Uint8Array(pool.buffer, start, length)
}

function newPool(): Buffer {
  const memory = new ArrayBuffer(POOL_BYTES)
  markAsUntransferable(memory)
  return Buffer.from(memory)
}
