import type { MaybePromise, WriteResult } from "../../backend.ts"
import { KvError } from "../../errors.ts"
import type { Call } from "./call.ts"

/**
 * Sends one write until it is known whether it was applied, if that can be known. `first` is the answer to its first attempt.
 *
 * An attempt without an answer may have been applied, may yet be, or never will. After each such attempt, from left to right:
 *
 * | write | asks `wasWrittenBy`; yes: | sends it again, with the same id; applied: | not applied: asks `wasWrittenBy`; yes: | no: |
 * | --- | --- | --- | --- | --- |
 * | put | applied, version unknown | applied | – | – |
 * | create | – | applied: its own row was there, or no live one | applied | OUTCOME_UNKNOWN |
 * | compare-and-set | – | applied: its own row was there, or the expected version | applied | OUTCOME_UNKNOWN |
 * | conditional delete | – | applied: its own trace was there, or the expected version | applied | OUTCOME_UNKNOWN |
 * | delete | – | applied | – | – |
 *
 * - *Applied* is reported only for a write that took effect. *Not applied* is never reported once an attempt is in doubt:
 *   a foreign row, or none, is also what one finds when the attempt was applied and another writer came after it.
 * - An expected version that is still there shows that the attempt has not been applied so far; the condition of the write
 *   that is sent again checks just that, atomically. So a conditional write need not ask first: to meet its own row does no
 *   harm, and tells the version. (The trace of a conditional delete is an expired row with its id, which the backend keeps
 *   for a while.) Asking afterwards finds an attempt that landed in between, and an own row that has expired.
 * - A put asks first, so as not to overwrite what was written after it. Its version stays unknown: what a `get` finds
 *   now may be another writer's already.
 * - A delete leaves nothing to ask for. Sent again, it is a delete that came a little later.
 *
 * Every result that was in doubt says `mayLandLate`: the attempt without an answer, or a copy of it, may be on its way.
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

/** What settles a write: each makes an attempt of its call. */
export interface SettledWrite {
  send: () => MaybePromise<WriteResult>
  /** Whether the row there was left by this write. */
  wasWrittenBy: () => MaybePromise<boolean>
  /** Whether it asks before it sends again. */
  asksFirst: boolean
}

export function isOutcomeUnknown(error: unknown): error is KvError {
  return error instanceof KvError && error.code === "OUTCOME_UNKNOWN"
}

/** One row of the table; `applied: false` means that it cannot be told. */
async function settle({ send, wasWrittenBy, asksFirst }: SettledWrite): Promise<WriteResult> {
  if (asksFirst && (await wasWrittenBy())) return { applied: true }
  const result = await send()
  return result.applied ? result : { applied: await wasWrittenBy() }
}
