import type { Condition, RowHead, ServiceTime } from "../../backend.ts"
import { isUnconditional } from "../../util/write-id.ts"

/** A write of which an attempt got no answer. */
export interface DoubtfulWrite {
  /** The condition of the caller. */
  readonly condition?: Condition | undefined
  /** Whether it is a delete. */
  readonly removes: boolean
  /** A version of the key that this process knew when the write began. */
  readonly seen?: string | undefined
  /** The identities of its attempts so far. */
  readonly ids: ReadonlySet<string>
  /** The time of the service when the write began. */
  readonly began: ServiceTime | undefined
}

/** What to do with a doubtful write. */
export type Verdict =
  /** It was applied, or is as good as applied. `version` is known if its row is there. */
  | { applied: true; version?: string }
  /** It is sent again, under a condition that holds only while nobody else has written the key. */
  | { sendUnder: Condition }
  /** Its outcome is not known. `mayShow`: its row may still appear. */
  | { unknown: string; mayShow: boolean }

/**
 * Decides what became of a write from the head of the row that is there now; `undefined`: none.
 *
 * | there is now | create | compare-and-set, conditional delete | put | delete |
 * | --- | --- | --- | --- | --- |
 * | its own row, live or expired | applied | applied | applied | – |
 * | nothing, or an expired row | unknown | unknown | sent again if absent | applied |
 * | the expected version | – | sent again under its condition | – | – |
 * | a row older than the write | unknown | unknown | sent again if this row is there | sent again if this row is there |
 * | a row newer than the write, written without a condition | unknown | unknown | applied: it was overtaken | applied |
 * | any other row | unknown | unknown | unknown | unknown |
 *
 * - A create is never sent again, because absence comes back: the create may have been applied, and its row deleted.
 * - A version does not come back, except one that is derived from content. So a condition on a version may be sent again.
 * - A write that was overtaken has the same effect as one that was applied just before the other. That holds only if the other had no
 *   condition: a condition that held on the version before the write proves that the write had not been applied.
 * - The one case in which a write takes effect twice: a put was applied, its row was deleted by another writer or was overwritten by one that
 *   has expired, and it is sent again on absence while its reply is lost.
 */
export function judge(write: DoubtfulWrite, head: RowHead | undefined): Verdict {
  if (head?.id !== undefined && write.ids.has(head.id)) {
    return write.removes ? { applied: true } : { applied: true, version: head.version }
  }
  if (write.condition !== undefined) return judgeConditional(write.condition, head)
  if (head === undefined || !head.live)
    return write.removes ? { applied: true } : { sendUnder: { absent: true } }
  if (isOlder(head, write)) return { sendUnder: { version: head.version } }
  if (isNewer(head, write)) return { applied: true }
  return unknown("another writer's row is there, which may be older or newer")
}

function judgeConditional(condition: Condition, head: RowHead | undefined): Verdict {
  if ("absent" in condition) {
    const gone = head === undefined || !head.live
    return unknown(gone ? "the key is absent" : "another writer's row is there", gone)
  }
  if (head?.live && head.version === condition.version) {
    if (head.recurs) return unknown("the expected version is there, but is one that can come back")
    return { sendUnder: condition }
  }
  return unknown("its condition does not hold now, which it would not after it was applied either")
}

/** Whether the row was certainly written before the write began. A version that can come back proves nothing. */
function isOlder({ version, recurs, writtenAt }: RowHead, { seen, began }: DoubtfulWrite): boolean {
  return !recurs && (version === seen || isBefore(writtenAt, began))
}

/** Whether the row was certainly written after the write began, and without a condition. */
function isNewer({ id, writtenAt }: RowHead, { began }: DoubtfulWrite): boolean {
  return id !== undefined && isUnconditional(id) && isBefore(began, writtenAt)
}

/** Whether the event at `a` certainly came before the one at `b`. */
function isBefore(a: ServiceTime | undefined, b: ServiceTime | undefined): boolean {
  return a !== undefined && a.clock === b?.clock && a.latest <= b.earliest
}

function unknown(why: string, mayShow = false): Verdict {
  return { unknown: why, mayShow }
}
