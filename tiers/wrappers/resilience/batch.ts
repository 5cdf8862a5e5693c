import type { MaybePromise, StoredEntry, WriteResult } from "../../backend.ts"
import { KvError } from "../../errors.ts"
import { ofKey } from "../../util/key-error.ts"
import { inParallel } from "../../util/parallel.ts"
import { isOutcomeUnknown } from "./ambiguous-write.ts"
import type { Call } from "./attempts.ts"

/** How many keys whose write was left without an answer are asked about at a time. */
const QUESTIONS_AT_A_TIME = 16

type Answers<T> = Map<string, T | KvError>

/** Reads until every key has an answer, asking again only for those that failed with a retryable error. */
export function readMany(
  call: Call,
  keys: readonly string[],
  first: MaybePromise<Answers<StoredEntry>>,
  ask: (keys: readonly string[]) => MaybePromise<Answers<StoredEntry>>,
): Promise<Answers<StoredEntry>> {
  return untilAnswered(call, keys, new Set(), (pending) =>
    call.attempt === 1 ? call.bound(first) : call.send(() => ask([...pending])),
  )
}

/** Whether some key is worth asking for again. */
export function isIncomplete(answers: Answers<StoredEntry>): boolean {
  for (const answer of answers.values()) if (answer instanceof KvError && answer.retryable) return true
  return false
}

/** Writes until every key has an answer, by the rows "put" (with `wasWrittenBy`) and "delete" (without) of {@link sendWrite}. */
export function writeMany<Item extends { id: string }>(
  call: Call,
  items: ReadonlyMap<string, Item>,
  send: (items: ReadonlyMap<string, Item>) => Promise<Answers<WriteResult>>,
  wasWrittenBy?: (key: string, id: string) => Promise<boolean>,
): Promise<Answers<WriteResult>> {
  const inDoubt = new Set<string>()
  return untilAnswered(call, [...items.keys()], inDoubt, async (pending) => {
    const answers: Answers<WriteResult> = new Map()
    const rest = new Map([...items].filter(([key]) => pending.has(key)))
    if (wasWrittenBy !== undefined) {
      const asked = [...rest].filter(([key]) => inDoubt.has(key))
      await inParallel(asked, QUESTIONS_AT_A_TIME, async ([key, { id }]) => {
        const carried = await orError(call.send(() => wasWrittenBy(key, id)))
        if (carried === false) return
        answers.set(key, carried === true ? { applied: true, mayLandLate: true } : carried)
        rest.delete(key)
      })
    }
    if (rest.size === 0) return answers

    const sending = call.send(() => send(rest))
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
