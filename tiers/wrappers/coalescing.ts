import type { Backend, StoredEntry } from "../backend.ts"
import { KvError } from "../errors.ts"
import { chunksOf, readInChunks, writeInChunks } from "../util/chunks.ts"
import { ofKey } from "../util/key-error.ts"

export interface CoalescingOptions {
  /** Taken at every `get` that may travel with others: the caller's span, for one. Must not throw. @default nothing */
  capture?: () => unknown
  /**
   * Makes the request that serves these callers by calling `send`, and returns what that returns. `contexts` holds what
   * `capture` took from each of them, the first caller's first; equal keys are one key and several callers.
   * @default calls `send` in the first caller's asynchronous context
   */
  run?: <T>(contexts: readonly unknown[], keys: readonly string[], send: () => T) => T
}

/**
 * Lets the reads of one turn of the event loop travel together, and cuts calls of any size into the backend's batches.
 *
 * - **`get`**: the first one of a turn waits until the promise jobs of that turn are done, and no longer; every `get` made
 *   by then goes along. One key travels by `get`, several by `getMany`, equal ones once, each caller with bytes of its own.
 *   A key's own error rejects the callers of that key. A request that fails as a whole rejects all its callers, each
 *   with a copy of the error that names the caller's key and has the original as its `cause`. No error reads as a miss.
 * - **`getMany`, `putMany`, `deleteMany`** take any number of distinct keys and send them in as few requests as they fit
 *   in, 16 at a time. After one that failed as a whole no more are sent: a read rejects, a write gives every key its result or
 *   its error, and rejects only if no key was applied or is in doubt.
 * - With `traits.maxReadBatch` 1 there is nothing to batch: reads go out one by one, and a `get` at once.
 *
 * The rest passes through untouched.
 */
export function coalescing(backend: Backend, options: CoalescingOptions = {}): Backend {
  const { traits, compareVersions } = backend
  return {
    traits,
    open: () => backend.open(),
    close: () => backend.close(),
    ...(compareVersions === undefined ? {} : { compareVersions: compareVersions.bind(backend) }),

    get: traits.maxReadBatch === 1 ? singleGet(backend, options) : coalescedGet(backend, options),
    getMany: (keys) => readInChunks(backend, keys),
    exists: (key) => backend.exists(key),
    put: (key, write) => backend.put(key, write),
    putMany: (writes) => writeInChunks(writes, traits.maxWriteBatch, (some) => backend.putMany(some)),
    delete: (key, removal) => backend.delete(key, removal),
    deleteMany: (removals) =>
      writeInChunks(removals, traits.maxWriteBatch, (some) => backend.deleteMany(some)),
    scan: (prefix, page) => backend.scan(prefix, page),
    wasWrittenBy: (key, id) => backend.wasWrittenBy(key, id),
  }
}

function singleGet(backend: Backend, { run }: CoalescingOptions): Backend["get"] {
  return (key, callers = []) =>
    run === undefined ? backend.get(key) : run(callers, [key], () => backend.get(key))
}

interface Caller {
  readonly key: string
  readonly context: unknown
  readonly resolve: (entry: StoredEntry | undefined) => void
  readonly reject: (error: unknown) => void
}

function coalescedGet(backend: Backend, options: CoalescingOptions): Backend["get"] {
  const { capture } = options
  let waiting: Caller[] = []

  const flush = () => {
    const callers = waiting
    waiting = []
    const [first] = callers
    if (first !== undefined && callers.length === 1) void readOne(backend, options, first.key, callers)
    else readAll(backend, options, callers)
  }
  // Ticks run once no promise job is left, or before the first one; from within a job, a tick is after all of them.
  const afterJobs = Promise.resolve()
  const inJob = () => process.nextTick(flush)

  return (key, callers) =>
    new Promise((resolve, reject) => {
      if (waiting.length === 0) void afterJobs.then(inJob)
      waiting.push({ key, context: callers?.[0] ?? capture?.(), resolve, reject })
    })
}

function readAll(backend: Backend, options: CoalescingOptions, callers: readonly Caller[]): void {
  const byKey = new Map<string, Caller[]>()
  for (const caller of callers) {
    const sameKey = byKey.get(caller.key)
    if (sameKey === undefined) byKey.set(caller.key, [caller])
    else sameKey.push(caller)
  }
  for (const group of chunksOf([...byKey], backend.traits.maxReadBatch)) {
    const [only] = group
    if (only !== undefined && group.length === 1) void readOne(backend, options, ...only)
    else void readSeveral(backend, options, group)
  }
}

async function readOne(
  backend: Backend,
  { run }: CoalescingOptions,
  key: string,
  callers: readonly Caller[],
): Promise<void> {
  try {
    const send = () => backend.get(key)
    answer(callers, await (run === undefined ? send() : run(contextsOf(callers), [key], send)))
  } catch (error) {
    refuse(callers, error)
  }
}

async function readSeveral(
  backend: Backend,
  { run }: CoalescingOptions,
  groups: readonly [key: string, callers: readonly Caller[]][],
): Promise<void> {
  const keys = groups.map(([key]) => key)
  try {
    const send = () => backend.getMany(keys)
    const contexts = () => contextsOf(groups.flatMap(([, callers]) => callers))
    const found = await (run === undefined ? send() : run(contexts(), keys, send))
    for (const [key, callers] of groups) {
      const entry = found.get(key)
      if (entry instanceof KvError) refuse(callers, entry)
      else answer(callers, entry)
    }
  } catch (error) {
    for (const [key, callers] of groups) refuse(callers, error instanceof KvError ? ofKey(error, key) : error)
  }
}

function contextsOf(callers: readonly Caller[]): unknown[] {
  return callers.map((caller) => caller.context)
}

/** Whoever receives bytes owns them, so every caller after the first gets a copy. */
function answer(callers: readonly Caller[], entry: StoredEntry | undefined): void {
  let taken = false
  for (const { resolve } of callers) {
    resolve(taken && entry !== undefined ? { ...entry, value: new Uint8Array(entry.value) } : entry)
    taken = true
  }
}

function refuse(callers: readonly Caller[], error: unknown): void {
  for (const { reject } of callers) reject(error)
}
