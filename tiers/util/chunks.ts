import type { Backend, MaybePromise, RequestOptions, StoredEntry, WriteResult } from "../backend.ts"
import { KvError } from "../errors.ts"
import { ofKey } from "./key-error.ts"
import { inParallel } from "./parallel.ts"

/** Maximum number of concurrent requests of one call whose keys do not fit into one request. */
const REQUESTS_AT_A_TIME = 16

type Read = Map<string, StoredEntry | KvError>
type Written = Map<string, WriteResult | KvError>

/** Reads any number of distinct keys in as few requests as possible. Rejects with the first request that fails. */
export function readInChunks(
  backend: Backend,
  keys: readonly string[],
  request: RequestOptions | undefined,
): MaybePromise<Read> {
  const size = backend.traits.maxReadBatch
  if (keys.length === 0) return new Map()
  if (size === 1) return readOneByOne(backend, keys, request)
  return keys.length <= size ? backend.getMany(keys, request) : readChunks(backend, keys, size, request)
}

async function readChunks(
  backend: Backend,
  keys: readonly string[],
  size: number,
  request: RequestOptions | undefined,
): Promise<Read> {
  const found: Read = new Map()
  await inParallel(chunksOf(keys, size), REQUESTS_AT_A_TIME, async (chunk) => {
    for (const [key, entry] of await backend.getMany(chunk, request)) found.set(key, entry)
  })
  return found
}

/** A corrupt row is an error of its key only. Any other failure rejects, because it concerns the other keys too. */
async function readOneByOne(
  backend: Backend,
  keys: readonly string[],
  request: RequestOptions | undefined,
): Promise<Read> {
  const found: Read = new Map()
  await inParallel(keys, REQUESTS_AT_A_TIME, async (key) => {
    try {
      const entry = await backend.get(key, request)
      if (entry !== undefined) found.set(key, entry)
    } catch (error) {
      if (!(error instanceof KvError)) throw error
      if (error.code !== "CORRUPT_ENTRY") throw ofKey(error, key)
      found.set(key, ofKey(error, key))
    }
  })
  return found
}

/**
 * Writes any number of distinct keys in as few requests as possible. After a request in which every key failed no more are sent; the keys
 * that were not sent have errors that say so. Rejects only if a request rejected, no key was applied, and no key is in doubt.
 */
export async function writeInChunks<Item>(
  items: ReadonlyMap<string, Item>,
  size: number,
  send: (items: ReadonlyMap<string, Item>) => Promise<Written>,
): Promise<Written> {
  if (items.size === 0) return new Map()
  if (items.size <= size) return send(items)

  const results: Written = new Map()
  let failure: KvError | undefined
  let rejection: KvError | undefined
  await inParallel(chunksOf([...items], size), REQUESTS_AT_A_TIME, async (chunk) => {
    if (failure !== undefined) return
    try {
      const answers = await send(new Map(chunk))
      for (const [key, answer] of answers) results.set(key, answer)
      failure ??= failureOfAll(answers)
    } catch (error) {
      if (!(error instanceof KvError)) throw error
      for (const [key] of chunk) results.set(key, ofKey(error, key))
      failure ??= error
      rejection ??= error
    }
  })
  if (failure === undefined) return results
  if (rejection !== undefined && !someMayBeApplied(results)) throw rejection
  for (const key of items.keys()) if (!results.has(key)) results.set(key, unsent(failure, key))
  return results
}

/** The error of the first key, if every key has one. */
function failureOfAll(answers: Written): KvError | undefined {
  let first: KvError | undefined
  for (const answer of answers.values()) {
    if (!(answer instanceof KvError)) return undefined
    first ??= answer
  }
  return first
}

function someMayBeApplied(answers: Written): boolean {
  for (const answer of answers.values()) {
    if (!(answer instanceof KvError) || answer.code === "OUTCOME_UNKNOWN") return true
  }
  return false
}

/** The error of a key that was not sent. It is never `OUTCOME_UNKNOWN`, even if the failure before it was. */
function unsent(failure: KvError, key: string): KvError {
  const { code, message, operation, backend } = failure
  return new KvError(
    code === "OUTCOME_UNKNOWN" ? "UNAVAILABLE" : code,
    `not sent, because an earlier part of the same call failed: ${message}`,
    { operation, backend, key, cause: failure },
  )
}

export function* chunksOf<T>(items: readonly T[], size: number): Generator<T[]> {
  for (let start = 0; start < items.length; start += size) yield items.slice(start, start + size)
}
