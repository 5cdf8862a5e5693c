import type { Condition, MaybePromise, RowHead, WriteResult } from "../../backend.ts"
import { KvError } from "../../errors.ts"
import type { Call } from "./call.ts"
import { type DoubtfulWrite, judge } from "./verdict.ts"

/** A write, and the requests that send and settle it. */
export interface SettledWrite extends DoubtfulWrite {
  /** Sends it as it is. */
  send(): Promise<WriteResult>
  /** Reads the head of its row; an error of its key alone may be the answer. */
  probe(): Promise<RowHead | KvError | undefined>
  /** Sends it under this condition, with an identity of its own. */
  sendUnder(condition: Condition): Promise<WriteResult>
}

/**
 * Sends one write until it is known whether it was applied, if that can be found out. `first` is the answer to its first attempt.
 *
 * An attempt that certainly was not applied is sent again as it is. An attempt without an answer may have been applied, may still be
 * applied, or never will be: then the row is read, and {@link judge} decides. What is sent after such an attempt has a condition that only
 * holds while no other writer has written the key, and a new identity, so that no version is used twice.
 *
 * The first read after an attempt without an answer is outside the retry budget. Every result after such an attempt has `mayLandLate`: the
 * service may still apply that attempt, or a copy of it.
 */
export async function settleWrite(
  call: Call,
  first: MaybePromise<WriteResult>,
  write: SettledWrite,
): Promise<WriteResult> {
  let answer = first
  for (;;) {
    try {
      return await answer
    } catch (error) {
      if (isOutcomeUnknown(error)) return settle(call, error, write)
      await call.retry(error)
    }
    answer = write.send()
  }
}

async function settle(call: Call, doubt: KvError, write: SettledWrite): Promise<WriteResult> {
  let last = doubt
  let why = doubt.message
  let free = true
  while (await call.again(last, { free })) {
    free = false
    const head = await orError(write.probe())
    if (head instanceof KvError) {
      last = head
      why = head.message
      if (call.mayRetry(head)) continue
      break
    }
    const verdict = judge(write, head)
    if ("applied" in verdict) return { ...verdict, mayLandLate: true }
    if ("unknown" in verdict) {
      why = verdict.unknown
      if (verdict.mayShow) continue
      throw call.unsettled(why)
    }
    if (!call.spend()) throw call.unsettled("it would have to be sent again")
    const result = await orError(write.sendUnder(verdict.sendUnder))
    if (result instanceof KvError) {
      last = result
      why = result.message
      if (call.mayRetry(result)) continue
      break
    }
    if (result.applied) return { ...result, mayLandLate: true }
    why = "another writer came before it when it was sent again"
  }
  throw call.unsettled(why, last)
}

export function isOutcomeUnknown(error: unknown): error is KvError {
  return error instanceof KvError && error.code === "OUTCOME_UNKNOWN"
}

/** The answer, or the {@link KvError} that it rejects with. Any other error is a defect of the backend and is thrown. */
export async function orError<T>(answer: MaybePromise<T>): Promise<T | KvError> {
  try {
    return await answer
  } catch (error) {
    if (error instanceof KvError) return error
    throw error
  }
}
