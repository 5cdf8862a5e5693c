import type {
  Condition,
  MaybePromise,
  RowHead,
  ServiceTime,
  StoredEntry,
  WriteResult,
} from "../../backend.ts"
import { KvError } from "../../errors.ts"
import { ofKey } from "../../util/key-error.ts"
import { inParallel } from "../../util/parallel.ts"
import { isOutcomeUnknown, orError } from "./ambiguous-write.ts"
import type { Call } from "./call.ts"
import { judge } from "./verdict.ts"

/** Maximum number of concurrent requests that send single writes again. */
const WRITES_AT_A_TIME = 16

export type Answers<T> = Map<string, T | KvError>

/** Whether `answer` is a batch in which a key failed with a retryable error. */
export function isIncomplete(answer: unknown): boolean {
  if (!(answer instanceof Map)) return false
  for (const one of answer.values()) if (one instanceof KvError && one.retryable) return true
  return false
}

/**
 * Reads until every key has an answer, and requests again only the keys that failed with a retryable error. `first` is the answer to the
 * first attempt, `ask` makes the others. `early` is given the keys that are settled while others are requested again. Rejects only
 * if no key has an answer; otherwise a key that fails in the last round maps to its error.
 */
export async function readMany(
  call: Call,
  keys: readonly string[],
  first: MaybePromise<Answers<StoredEntry>>,
  ask: (keys: readonly string[]) => Promise<Answers<StoredEntry>>,
  early: ((keys: readonly string[], found: Answers<StoredEntry>) => void) | undefined,
): Promise<Answers<StoredEntry>> {
  const settled: Answers<StoredEntry> = new Map()
  let answer = first
  let pending = keys
  for (;;) {
    const found = await orError(answer)
    if (found instanceof KvError && pending === keys) {
      await call.retry(found)
      answer = ask(pending)
      continue
    }
    const failed = new Map<string, KvError>()
    const round: Answers<StoredEntry> = new Map()
    for (const key of pending) {
      const entry = found instanceof KvError ? found : found.get(key)
      if (entry instanceof KvError && call.mayRetry(entry)) failed.set(key, entry)
      else if (entry !== undefined) round.set(key, entry instanceof KvError ? ofKey(entry, key) : entry)
    }
    for (const [key, entry] of round) settled.set(key, entry)
    const [error] = failed.values()
    if (error === undefined) return settled
    if (failed.size < pending.length)
      early?.(
        pending.filter((key) => !failed.has(key)),
        round,
      )
    if (!(await call.again(error, { keys: failed.size }))) {
      for (const [key, last] of failed) settled.set(key, ofKey(call.ending(last, key), key))
      return settled
    }
    pending = [...failed.keys()]
    answer = ask(pending)
  }
}

/** The requests of a batch of writes without conditions. */
export interface SettledBatch<Item> {
  /** Whether the writes are deletes. */
  readonly removes: boolean
  /** The time of the service when the writes began, by key. */
  readonly began: ReadonlyMap<string, ServiceTime | undefined>
  send(items: ReadonlyMap<string, Item>): Promise<Answers<WriteResult>>
  probe(keys: readonly string[]): Promise<Answers<RowHead>>
  /** Sends one of the writes under this condition, with an identity of its own that it adds to `ids`. */
  sendUnder(key: string, item: Item, condition: Condition, ids: Set<string>): Promise<WriteResult>
}

/**
 * Writes until every key has an answer. `first` is the answer to the first attempt. The keys that certainly were not written are sent again
 * together; those without an answer are settled as by `settleWrite`, by one read of all their rows in each round. Rejects only if no
 * key was written and none is in doubt.
 */
export async function writeMany<Item extends { id: string; seen?: string | undefined }>(
  call: Call,
  items: ReadonlyMap<string, Item>,
  first: MaybePromise<Answers<WriteResult>>,
  batch: SettledBatch<Item>,
): Promise<Answers<WriteResult>> {
  const settled: Answers<WriteResult> = new Map()
  /** The keys that were not written, and those of which that is not known, each with its last error. */
  const failed = new Map<string, KvError>()
  const doubtful = new Map<string, KvError>()
  const attempts = new Map<string, Set<string>>()
  /** The error of the last request, if that was for all keys and failed as a whole. */
  let refusal: KvError | undefined

  const settle = (key: string, result: WriteResult | KvError) => {
    failed.delete(key)
    doubtful.delete(key)
    settled.set(key, result instanceof KvError ? ofKey(result, key) : result)
  }
  const unsettled = (key: string, why: string, cause?: KvError) =>
    settle(key, call.unsettled(why, cause, key))

  const sorted = (sent: ReadonlyMap<string, Item>, answers: Answers<WriteResult> | KvError) => {
    refusal = answers instanceof KvError && sent.size === items.size ? answers : undefined
    for (const key of sent.keys()) {
      const answer = answers instanceof KvError ? answers : (answers.get(key) ?? LEFT_OUT)
      if (isOutcomeUnknown(answer)) {
        failed.delete(key)
        doubtful.set(key, answer)
      } else if (answer instanceof KvError && call.mayRetry(answer)) failed.set(key, answer)
      else settle(key, answer)
    }
  }

  const sendAgain = async () => {
    if (failed.size === 0) return
    const again = new Map([...items].filter(([key]) => failed.has(key)))
    sorted(again, await orError(batch.send(again)))
  }

  const settleDoubtful = async (keys: readonly string[]) => {
    if (keys.length === 0) return
    const heads = await orError(batch.probe(keys))
    const resends: (readonly [key: string, item: Item, condition: Condition, ids: Set<string>])[] = []
    for (const key of keys) {
      const item = items.get(key)
      if (item === undefined) continue
      const head = heads instanceof KvError ? heads : heads.get(key)
      if (head instanceof KvError) {
        if (call.mayRetry(head)) doubtful.set(key, head)
        else unsettled(key, head.message, head)
        continue
      }
      const ids = attempts.get(key) ?? new Set([item.id])
      attempts.set(key, ids)
      const { removes, began } = batch
      const verdict = judge({ removes, seen: item.seen, ids, began: began.get(key) }, head)
      if ("applied" in verdict) settle(key, { ...verdict, mayLandLate: true })
      else if ("unknown" in verdict) unsettled(key, verdict.unknown)
      else resends.push([key, item, verdict.sendUnder, ids])
    }
    await inParallel(resends, WRITES_AT_A_TIME, async ([key, item, condition, ids]) => {
      if (!call.spend()) return unsettled(key, "it would have to be sent again")
      const result = await orError(batch.sendUnder(key, item, condition, ids))
      if (!(result instanceof KvError)) {
        if (result.applied) settle(key, { ...result, mayLandLate: true })
      } else if (call.mayRetry(result)) doubtful.set(key, result)
      else unsettled(key, result.message, result)
    })
  }

  sorted(items, await orError(first))
  let free = true
  for (;;) {
    const [error] = [...doubtful.values(), ...failed.values()]
    if (error === undefined) break
    const keys = doubtful.size + failed.size
    const isFree = free && doubtful.size > 0
    if (!(await call.again(error, { keys, free: isFree }))) break
    if (isFree) free = false
    await Promise.all([settleDoubtful([...doubtful.keys()]), sendAgain()])
  }
  if (refusal !== undefined && !isOutcomeUnknown(refusal)) throw call.ending(refusal)
  for (const [key, error] of failed) settle(key, call.ending(error, key))
  for (const [key, error] of doubtful) unsettled(key, error.message, error)
  return settled
}

/** The answer for a key that the backend left out, against the contract: its write is in doubt. */
const LEFT_OUT = new KvError("OUTCOME_UNKNOWN", "the answer left this key out", { operation: "write" })
