import type { MaybePromise, WriteResult } from "../../backend.ts"
import { KvError } from "../../errors.ts"
import type { Call } from "./call.ts"

/**
 * Sends one write until it is known whether it was applied, if that can be found out. `first` is the answer to its first attempt.
 *
 * An attempt without an answer may have been applied, may still be applied, or never will be. After each such attempt, from left to
 * right:
 *
 * | write | asks `wasWrittenBy`; yes: | sends it again, with the same id; applied: | not applied: asks `wasWrittenBy`; yes: | no: |
 * | --- | --- | --- | --- | --- |
 * | put | applied, version unknown | applied | – | – |
 * | create | – | applied: its own row was there, or no live one | applied | OUTCOME_UNKNOWN |
 * | compare-and-set | – | applied: its own row was there, or the expected version | applied | OUTCOME_UNKNOWN |
 * | conditional delete | – | applied: its own trace was there, or the expected version | applied | OUTCOME_UNKNOWN |
 * | delete | – | applied | – | – |
 *
 * - *Applied* is reported only for a write that took effect. *Not applied* is never reported after an attempt in doubt: the key also holds a
 *   row of another writer, or none, if the attempt was applied and another writer came after it.
 * - If the expected version is still there, the attempt has not been applied so far. The condition of the write that is sent again checks
 *   this atomically, so a conditional write need not ask first: if it meets its own row, nothing is written and the answer has the
 *   version. (The trace of a conditional delete is an expired row with its id, which the backend keeps for some time.) Asking afterwards
 *   finds an attempt that was applied in between, and an own row that has expired.
 * - A put asks first, so that it does not overwrite a later write. Its version stays unknown, because a `get` may already find the row of
 *   another writer.
 * - A delete leaves no row to ask for. Sent again, it is a delete at a later time.
 *
 * Every result after an attempt in doubt has `mayLandLate`: the service may still apply that attempt, or a copy of it.
 */
export async function settleWrite(
  call: Call,
  first: MaybePromise<WriteResult>,
  write: SettledWrite,
): Promise<WriteResult> {
  let answer = first
  let inDoubt = false
  for (;;) {
    try {
      if (!inDoubt) return await answer
      const result = await settle(write)
      if (result.applied) return { ...result, mayLandLate: true }
      break
    } catch (error) {
      inDoubt ||= isOutcomeUnknown(error)
      await call.retry(error, inDoubt)
    }
    if (!inDoubt) answer = write.send()
  }
  throw call.unsettled("its condition does not hold now, which it would not after it was applied either")
}

/** The requests that settle a write; each call is one attempt. */
export interface SettledWrite {
  send: () => MaybePromise<WriteResult>
  /** Whether this write left the row under the key. */
  wasWrittenBy: () => MaybePromise<boolean>
  /** Whether `wasWrittenBy` is asked before the write is sent again. */
  asksFirst: boolean
}

export function isOutcomeUnknown(error: unknown): error is KvError {
  return error instanceof KvError && error.code === "OUTCOME_UNKNOWN"
}

/** Executes one row of the table. `applied: false` means that the outcome cannot be found out. */
async function settle({ send, wasWrittenBy, asksFirst }: SettledWrite): Promise<WriteResult> {
  if (asksFirst && (await wasWrittenBy())) return { applied: true }
  const result = await send()
  return result.applied ? result : { applied: await wasWrittenBy() }
}
