import { type Call, start } from "./attempts.ts"
import type { WriteResult } from "./backend.ts"
import { KvError } from "./errors.ts"

/**
 * Writes whose reply was lost, and what can be found out about them.
 *
 * An attempt without an answer may have been applied, may be applied later, or never. The steps for each kind of write,
 * left to right, after every such attempt:
 *
 * | write | asks `carries` first; yes: | sends it again; applied: | not applied: asks `carries`; yes: | no: |
 * | --- | --- | --- | --- | --- |
 * | put | applied, version unknown | applied | – | – |
 * | create | – | applied: its own row or no live one was there | applied | OUTCOME_UNKNOWN |
 * | compare-and-set | – | applied: its own row or the expected version was there | applied | OUTCOME_UNKNOWN |
 * | conditional delete | applied | applied: the expected version was there | applied | OUTCOME_UNKNOWN |
 * | delete | – | applied | – | – |
 *
 * - *Applied* is reported only for a write that took effect. *Not applied* is never reported once an attempt is in doubt:
 *   a foreign row, or none, is also what one finds when the attempt was applied and another writer came after it.
 * - An expected version that is still there proves that the attempt has not been applied so far, since a version never
 *   comes back. The condition of the write that is sent again checks just that, and atomically.
 * - A put asks first, so as not to overwrite what was written after it. Its version stays unknown: what a `get` finds
 *   now may be another writer's already.
 * - A create or compare-and-set need not ask first: to meet its own row is harmless, and tells the version as well.
 * - A conditional delete asks first, because the version that it expects is gone once it was applied. In its place the
 *   backend leaves an expired row with its id for a while, and that is what `carries` finds.
 * - Asking last finds an attempt that landed in between, and an own row that has expired.
 * - An unconditional delete leaves nothing to ask for. Sent again, it is a delete that came a little later.
 *
 * Every result that was in doubt says `mayLandLate`: the attempt without an answer, or a copy of it, may be on its way.
 */
export async function sendWrite(call: Call, write: SettledWrite): Promise<WriteResult> {
  let inDoubt = false
  for (;;) {
    try {
      if (!inDoubt) return await call.bound(start(write.send))
      const result = await settle(call, write)
      if (result.applied) return { ...result, mayLandLate: true }
      break
    } catch (error) {
      inDoubt ||= isOutcomeUnknown(error)
      await call.retry(error, inDoubt)
    }
  }
  throw call.unsettled("its condition does not hold now, which it would not after it was applied either")
}

export interface SettledWrite {
  send: () => Promise<WriteResult>
  /** Whether the row there was left by this write. */
  carries: () => Promise<boolean>
  /** The second column of the table above. */
  asksFirst: boolean
}

export function isOutcomeUnknown(error: unknown): error is KvError {
  return error instanceof KvError && error.code === "OUTCOME_UNKNOWN"
}

/** One row of the table; `applied: false` means that it cannot be told. */
async function settle(call: Call, { send, carries, asksFirst }: SettledWrite): Promise<WriteResult> {
  if (asksFirst && (await call.send(carries))) return { applied: true }
  const result = await call.send(send)
  return result.applied ? result : { applied: await call.send(carries) }
}
