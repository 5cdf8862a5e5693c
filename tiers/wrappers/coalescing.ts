import type { Backend, Callers, MaybePromise, StoredEntry } from "../backend.ts"
import { KvError } from "../errors.ts"
import { chunksOf, readInChunks, writeInChunks } from "../util/chunks.ts"
import { ofKey } from "../util/key-error.ts"
import { forward } from "./forward.ts"

/**
 * Lets the reads of one turn of the event loop travel together, and cuts calls of any size into the backend's batches.
 *
 * - **`get`**: the first one of a turn waits until the promise jobs of that turn are done, and no longer; every `get` made
 *   by then goes along. One key travels by `get`, several by `getMany`, equal ones once, each caller with bytes of its own.
 *   A key's own error rejects the callers of that key. A request that fails as a whole rejects all its callers, each
 *   with a copy of the error that names the caller's key and has the original as its `cause`. No error reads as a miss.
 *   The callers are passed on, in the order of their keys.
 * - **`getMany`, `putMany`, `deleteMany`** take any number of distinct keys and send them in as few requests as they fit
 *   in, 16 at a time. After one that failed as a whole no more are sent: a read rejects, a write gives every key its result or
 *   its error, and rejects only if no key was applied or is in doubt.
 * - With `traits.maxReadBatch` 1 there is nothing to batch: reads go out one by one, and a `get` at once.
 */
export function coalescing(backend: Backend): Backend {
  const { maxReadBatch, maxWriteBatch } = backend.traits
  return forward(backend, {
    ...(maxReadBatch === 1 ? {} : { get: coalescedGet(backend) }),
    getMany: (keys, callers) => readInChunks(backend, keys, callers),
    putMany: (writes) => writeInChunks(writes, maxWriteBatch, (some) => backend.putMany(some)),
    deleteMany: (removals) => writeInChunks(removals, maxWriteBatch, (some) => backend.deleteMany(some)),
  })
}

/** One `get` that waits to travel. */
interface Read {
  readonly callers: Callers | undefined
  readonly resolve: (entry: StoredEntry | undefined) => void
  readonly reject: (error: unknown) => void
}

/** Reads that travel together, by key. */
type Batch = readonly (readonly [key: string, reads: readonly Read[]])[]

function coalescedGet(backend: Backend): Backend["get"] {
  const { maxReadBatch } = backend.traits
  let waiting = new Map<string, Read[]>()

  const send = () => {
    const reads = [...waiting]
    waiting = new Map()
    for (const batch of chunksOf(reads, maxReadBatch)) {
      const keys = batch.map(([key]) => key)
      const [lone] = keys.length === 1 ? keys : []
      try {
        if (lone === undefined) void answerAll(batch, backend.getMany(keys, callersOf(batch)))
        else void answerOne(batch, backend.get(lone, callersOf(batch)))
      } catch (error) {
        refuse(batch, error)
      }
    }
  }
  // A tick runs once no promise job is left, or before the first one; from within a job, it runs after all of them.
  const sending = Promise.resolve(send)

  return (key, callers) => {
    if (waiting.size === 0) void sending.then(process.nextTick)
    return new Promise((resolve, reject) => {
      const read = { callers, resolve, reject }
      const sameKey = waiting.get(key)
      if (sameKey === undefined) waiting.set(key, [read])
      else sameKey.push(read)
    })
  }
}

/** The callers of all reads of a batch; `undefined` where nobody observes them. */
function callersOf(batch: Batch): Callers | undefined {
  const all: unknown[] = []
  for (const [, reads] of batch) {
    for (const { callers } of reads) if (callers !== undefined) all.push(...callers)
  }
  return all.length === 0 ? undefined : all
}

async function answerOne(batch: Batch, answer: MaybePromise<StoredEntry | undefined>): Promise<void> {
  try {
    const entry = await answer
    for (const [, reads] of batch) give(reads, entry)
  } catch (error) {
    refuse(batch, error)
  }
}

async function answerAll(
  batch: Batch,
  answer: MaybePromise<Map<string, StoredEntry | KvError>>,
): Promise<void> {
  try {
    const found = await answer
    for (const [key, reads] of batch) {
      const entry = found.get(key)
      if (entry instanceof KvError) for (const { reject } of reads) reject(entry)
      else give(reads, entry)
    }
  } catch (error) {
    refuse(batch, error)
  }
}

/** Whoever receives bytes owns them, so every caller after the first gets a copy. */
function give(reads: readonly Read[], entry: StoredEntry | undefined): void {
  let taken = false
  for (const { resolve } of reads) {
    resolve(taken && entry !== undefined ? { ...entry, value: new Uint8Array(entry.value) } : entry)
    taken = true
  }
}

/** Rejects every caller with the error of the request: as it is, or as that of the caller's own key. */
function refuse(batch: Batch, error: unknown): void {
  for (const [key, reads] of batch) {
    const own = batch.length > 1 && error instanceof KvError ? ofKey(error, key) : error
    for (const { reject } of reads) reject(own)
  }
}
