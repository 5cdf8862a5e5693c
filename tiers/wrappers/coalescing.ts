import type { Backend, MaybePromise, RequestOptions, StoredEntry } from "../backend.ts"
import { KvError } from "../errors.ts"
import { chunksOf, readInChunks, writeInChunks } from "../util/chunks.ts"
import { ofKey } from "../util/key-error.ts"
import { forward } from "./forward.ts"

/**
 * Batches the reads of one turn of the event loop, and splits calls of any size into batches that the backend accepts.
 *
 * - **`get`**: the first read of a turn waits until the microtask queue has drained; every `get` made by then joins its batch. A batch
 *   of one key is sent by `get`, one of several by `getMany`. Each key is sent once, and each caller gets its own copy of the bytes. The
 *   error of a key rejects the callers of that key. A key that has to be requested again does not delay the others. A request that fails as a whole rejects all its callers, each with a copy of the
 *   error that has the caller's key, and the original as its `cause`. No error becomes a miss. Callers are passed on in the order of
 *   their keys.
 * - **`probe`** of one key waits for the others of its turn in the same way.
 * - **`getMany`, `putMany`, `deleteMany`** accept any number of distinct keys and send as few requests as possible, 16 concurrently.
 *   After a request that failed as a whole no more are sent. Then a read rejects; a write returns a result or an error for each key, and
 *   rejects only if no key was applied and none is in doubt.
 * - Reads that a replica may answer travel apart from those that it may not.
 * - If `traits.maxReadBatch` is 1, reads are sent one by one, and `get` at once.
 */
export function coalescing(backend: Backend): Backend {
  const { maxReadBatch, maxWriteBatch } = backend.traits
  return forward(backend, {
    ...(maxReadBatch === 1 ? {} : { get: coalescedGet(backend) }),
    probe: coalescedProbe(backend),
    getMany: (keys, request) => readInChunks(backend, keys, request),
    putMany: (writes, request) =>
      writeInChunks(writes, maxWriteBatch, (some) => backend.putMany(some, request)),
    deleteMany: (removals, request) =>
      writeInChunks(removals, maxWriteBatch, (some) => backend.deleteMany(some, request)),
  })
}

/** One `get` that waits to be sent. */
interface Read {
  readonly request: RequestOptions | undefined
  readonly resolve: (entry: StoredEntry | undefined) => void
  readonly reject: (error: unknown) => void
}

/** The reads of one request, by key. */
type Batch = readonly (readonly [key: string, reads: readonly Read[]])[]
type Found = ReadonlyMap<string, StoredEntry | KvError>

function coalescedGet(backend: Backend): Backend["get"] {
  const { maxReadBatch } = backend.traits
  let consistent = new Map<string, Read[]>()
  /** The reads that a replica may answer. */
  let lagging = new Map<string, Read[]>()

  const send = () => {
    const batches = [...chunksOf([...consistent], maxReadBatch), ...chunksOf([...lagging], maxReadBatch)]
    consistent = new Map()
    lagging = new Map()
    for (const batch of batches) {
      const keys = batch.map(([key]) => key)
      const [lone] = keys.length === 1 ? keys : []
      try {
        if (lone !== undefined) void answerOne(batch, backend.get(lone, requestOf(batch)))
        else {
          const waiting = new Map(batch)
          const early = (settled: readonly string[], found: Found) => answer(waiting, settled, found)
          void answerAll(waiting, backend.getMany(keys, { ...requestOf(batch), early }))
        }
      } catch (error) {
        refuse(batch, error)
      }
    }
  }
  // `nextTick` scheduled from a microtask runs after the microtask queue has drained.
  const sending = Promise.resolve(send)

  return (key, request) => {
    if (consistent.size + lagging.size === 0) void sending.then(process.nextTick)
    const waiting = request?.asOf === undefined ? consistent : lagging
    return new Promise((resolve, reject) => {
      const read = { request, resolve, reject }
      const sameKey = waiting.get(key)
      if (sameKey === undefined) waiting.set(key, [read])
      else sameKey.push(read)
    })
  }
}

function coalescedProbe(backend: Backend): Backend["probe"] {
  const { maxWriteBatch } = backend.traits
  let batch: { keys: Set<string>; callers: unknown[]; heads: ReturnType<Backend["probe"]> } | undefined

  const begin = () => {
    const keys = new Set<string>()
    const callers: unknown[] = []
    const heads = Promise.resolve()
      .then(() => new Promise<void>((resolve) => process.nextTick(resolve)))
      .then(() => {
        if (batch?.keys === keys) batch = undefined
        return backend.probe([...keys], callers.length === 0 ? undefined : { callers })
      })
    return { keys, callers, heads }
  }

  return async (keys, request) => {
    const [key] = keys
    if (key === undefined || keys.length > 1 || maxWriteBatch === 1) return backend.probe(keys, request)
    if (batch === undefined || batch.keys.size === maxWriteBatch) batch = begin()
    const mine = batch
    mine.keys.add(key)
    if (request?.callers !== undefined) mine.callers.push(...request.callers)
    try {
      return await mine.heads
    } catch (error) {
      throw mine.keys.size > 1 && error instanceof KvError ? ofKey(error, key) : error
    }
  }
}

/** The request for a batch: it has the callers of all its reads, and is as of the latest moment of them. `undefined` if there is nothing to say. */
function requestOf(batch: Batch): RequestOptions | undefined {
  const callers: unknown[] = []
  let asOf: number | undefined
  for (const [, reads] of batch) {
    for (const { request } of reads) {
      if (request?.callers !== undefined) callers.push(...request.callers)
      if (request?.asOf !== undefined) asOf = Math.max(asOf ?? request.asOf, request.asOf)
    }
  }
  if (asOf !== undefined) return callers.length === 0 ? { asOf } : { asOf, callers }
  return callers.length === 0 ? undefined : { callers }
}

async function answerOne(batch: Batch, answer: MaybePromise<StoredEntry | undefined>): Promise<void> {
  try {
    const entry = await answer
    for (const [, reads] of batch) give(reads, entry)
  } catch (error) {
    refuse(batch, error)
  }
}

/** Answers the reads of a batch that still wait when the request ends. */
async function answerAll(waiting: Map<string, readonly Read[]>, answers: MaybePromise<Found>): Promise<void> {
  try {
    answer(waiting, [...waiting.keys()], await answers)
  } catch (error) {
    refuse([...waiting], error)
  }
}

/** Answers the reads of these keys, and removes them from those that wait. */
function answer(waiting: Map<string, readonly Read[]>, keys: readonly string[], found: Found): void {
  for (const key of keys) {
    const entry = found.get(key)
    const reads = waiting.get(key) ?? []
    waiting.delete(key)
    if (entry instanceof KvError) for (const { reject } of reads) reject(entry)
    else give(reads, entry)
  }
}

/** Resolves the reads of one key. Each caller owns its bytes, so every caller after the first gets a copy. */
function give(reads: readonly Read[], entry: StoredEntry | undefined): void {
  let taken = false
  for (const { resolve } of reads) {
    resolve(taken && entry !== undefined ? { ...entry, value: new Uint8Array(entry.value) } : entry)
    taken = true
  }
}

/** Rejects all callers with the error of the request; in a batch of several keys with a copy that has the key. */
function refuse(batch: Batch, error: unknown): void {
  for (const [key, reads] of batch) {
    const own = batch.length > 1 && error instanceof KvError ? ofKey(error, key) : error
    for (const { reject } of reads) reject(own)
  }
}
