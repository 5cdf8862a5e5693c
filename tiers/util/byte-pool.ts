/** Size of the pool that small copies are views of, bytes; the same as Node's `Buffer.poolSize`. */
const POOL_BYTES = 8_192
/** Largest copy that is taken from the pool, bytes. */
const MAX_POOLED_BYTES = POOL_BYTES / 2
/** Alignment of the views, bytes, so that a typed array of any kind can be made over them. */
const ALIGNMENT = 8

let pool: Buffer = Buffer.from(new ArrayBuffer(0))
/** Beyond the end at first, so that the first copy makes a pool. */
let used = POOL_BYTES + 1

/**
 * The bytes of `text`, one for each character, as a `Uint8Array` that the caller owns.
 *
 * Allocating an `ArrayBuffer` takes several times as long as the copy, so small copies are views of a pool, as with `Buffer.from`.
 * No two copies overlap, but the `buffer` of a small copy is longer than the copy. The pool cannot be transferred to a worker.
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
  process.getBuiltinModule("node:worker_threads").markAsUntransferable(memory)
  return Buffer.from(memory)
}
