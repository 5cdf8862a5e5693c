import type { MaybePromise, StoredEntry, WriteResult } from "../../backend.ts"
import { KvError } from "../../errors.ts"
import { ofKey } from "../../util/key-error.ts"
import { inParallel } from "../../util/parallel.ts"
import { isOutcomeUnknown } from "./ambiguous-write.ts"
import type { Call } from "./call.ts"

/** How many keys whose write was left without an answer are asked about at a time. */
const QUESTIONS_AT_A_TIME = 16

type Answers<T> = Map<string, T | KvError>

/**
 * Reads until every key has an answer, asking again only for those that failed with a retryable error. `first` is the
 * answer to the first attempt, `ask` makes the others.
 */
export function readMany(
  call: Call,
  keys: readonly string[],
  first: MaybePromise<Answers<StoredEntry>>,
  ask: (keys: readonly string[]) => MaybePromise<Answers<StoredEntry>>,
): Promise<Answers<StoredEntry>> {
  return untilAnswered(call, keys, new Set(), (pending) => (call.attempts === 1 ? first : ask([...pending])))
}

/** Whether it is the answer to a batch in which some key is worth asking for again. */
export function isIncomplete(answer: unknown): boolean {
  if (!(answer instanceof Map)) return false
  for (const one of answer.values()) if (one instanceof KvError && one.retryable) return true
  return false
}

/** What settles a batch of writes: each makes an attempt of its call. */
export interface SettledBatch<Item> {
  send: (items: ReadonlyMap<string, Item>) => MaybePromise<Answers<WriteResult>>
  /** Whether the row there was left by the write with this id. Absent for deletes, which leave nothing to ask for. */
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

/** A write that a backend says nothing about is in doubt, whatever the contract says. */
const LEFT_OUT = new KvError("OUTCOME_UNKNOWN", "the answer left this key out", { operation: "write" })

/**
 * Goes through rounds, each with the keys that the rounds before left with an error worth another attempt. Rejects only
 * if nothing was found out about any key; otherwise a key that fails to the end maps to its error. A write that a round
 * leaves without an answer is entered in `inDoubt`.
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

/** What was asked for, or the error that it rejects with. Anything but a {@link KvError} is a fault of the backend and passes through. */
async function orError<T>(answer: MaybePromise<T>): Promise<T | KvError> {
  try {
    return await answer
  } catch (error) {
    if (error instanceof KvError) return error
    throw error
  }
}
