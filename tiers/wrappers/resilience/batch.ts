import type { MaybePromise, StoredEntry, WriteResult } from "../../backend.ts"
import { KvError } from "../../errors.ts"
import { ofKey } from "../../util/key-error.ts"
import { inParallel } from "../../util/parallel.ts"
import { isOutcomeUnknown } from "./ambiguous-write.ts"
import type { Call } from "./call.ts"

/** Maximum number of concurrent `wasWrittenBy` requests. */
const QUESTIONS_AT_A_TIME = 16

type Answers<T> = Map<string, T | KvError>

/**
 * Reads until every key has an answer, and requests again only the keys that failed with a retryable error. `first` is the answer to the
 * first attempt, `ask` makes the others.
 */
export function readMany(
  call: Call,
  keys: readonly string[],
  first: MaybePromise<Answers<StoredEntry>>,
  ask: (keys: readonly string[]) => MaybePromise<Answers<StoredEntry>>,
): Promise<Answers<StoredEntry>> {
  return untilAnswered(call, keys, new Set(), (pending) => (call.attempts === 1 ? first : ask([...pending])))
}

/** Whether `answer` is a batch in which a key failed with a retryable error. */
export function isIncomplete(answer: unknown): boolean {
  if (!(answer instanceof Map)) return false
  for (const one of answer.values()) if (one instanceof KvError && one.retryable) return true
  return false
}

/** The requests that settle a batch of writes; each call is one attempt. */
export interface SettledBatch<Item> {
  send: (items: ReadonlyMap<string, Item>) => MaybePromise<Answers<WriteResult>>
  /** Whether the write with this id left the row under the key. Absent for deletes, which leave no row. */
  wasWrittenBy?: (key: string, id: string) => MaybePromise<boolean>
}

/**
 * Writes until every key has an answer, by the rows "put" (with `wasWrittenBy`) and "delete" (without) of
 * {@link settleWrite}. `first` is the answer to the first attempt.
 */
export function writeMany<Item extends { id: string }>(
  call: Call,
  items: ReadonlyMap<string, Item>,
  first: MaybePromise<Answers<WriteResult>>,
  { send, wasWrittenBy }: SettledBatch<Item>,
): Promise<Answers<WriteResult>> {
  const inDoubt = new Set<string>()
  return untilAnswered(call, [...items.keys()], inDoubt, async (pending) => {
    const answers: Answers<WriteResult> = new Map()
    const rest = new Map([...items].filter(([key]) => pending.has(key)))
    if (wasWrittenBy !== undefined) {
      const asked = [...rest].filter(([key]) => inDoubt.has(key))
      await inParallel(asked, QUESTIONS_AT_A_TIME, async ([key, { id }]) => {
        const there = await orError(wasWrittenBy(key, id))
        if (there === false) return
        answers.set(key, there === true ? { applied: true, mayLandLate: true } : there)
        rest.delete(key)
      })
    }
    if (rest.size === 0) return answers

    const sending = call.attempts === 1 ? first : send(rest)
    const sent = inDoubt.size === 0 ? await sending : await orError(sending)
    for (const key of rest.keys()) {
      const answer = sent instanceof KvError ? sent : (sent.get(key) ?? LEFT_OUT)
      const late = inDoubt.has(key) && !(answer instanceof KvError)
      answers.set(key, late ? { ...answer, mayLandLate: true } : answer)
    }
    return answers
  })
}

/** The answer for a key that the backend left out, against the contract: its write is in doubt. */
const LEFT_OUT = new KvError("OUTCOME_UNKNOWN", "the answer left this key out", { operation: "write" })

/**
 * Runs rounds, each with the keys that have failed with a retryable error so far. Rejects only if no key has an answer; otherwise
 * a key that fails in the last round maps to its error. Adds the keys of writes that got no answer to `inDoubt`.
 */
async function untilAnswered<T extends object>(
  call: Call,
  keys: readonly string[],
  inDoubt: Set<string>,
  round: (pending: ReadonlySet<string>) => MaybePromise<Answers<T>>,
): Promise<Answers<T>> {
  const settled: Answers<T> = new Map()
  const refused = new Map<string, KvError>()
  let pending: ReadonlySet<string> = new Set(keys)
  for (;;) {
    const answers = await orError(round(pending))
    const failed = new Map<string, KvError>()
    for (const key of pending) {
      const answer = answers instanceof KvError ? answers : answers.get(key)
      if (answer === undefined) continue
      if (isOutcomeUnknown(answer)) inDoubt.add(key)
      if (call.mayRetry(answer)) failed.set(key, answer)
      else if (answer instanceof KvError) refused.set(key, answer)
      else settled.set(key, answer)
    }
    const [last] = failed.values()
    if (last !== undefined && (await call.again(last, failed.size))) {
      pending = new Set(failed.keys())
      continue
    }
    const nothingKnown = pending.size === keys.length && inDoubt.size === 0
    if (answers instanceof KvError && nothingKnown) throw call.ending(answers, false)
    for (const [key, error] of [...refused, ...failed]) {
      settled.set(key, ofKey(call.ending(error, inDoubt.has(key), key), key))
    }
    return settled
  }
}

/** The answer, or the {@link KvError} that it rejects with. Any other error is a defect of the backend and is thrown. */
async function orError<T>(answer: MaybePromise<T>): Promise<T | KvError> {
  try {
    return await answer
  } catch (error) {
    if (error instanceof KvError) return error
    throw error
  }
}
