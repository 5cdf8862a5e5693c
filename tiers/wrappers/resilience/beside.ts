import type { RowHead, WriteResult } from "../../backend.ts"
import { KvError } from "../../errors.ts"

/** The heads of rows, as the probe of a backend gives them. */
type Heads = Promise<ReadonlyMap<string, RowHead | KvError>>

/** What is found beside a request that is slow: an answer, or none. Never rejects. */
export type Found<T> = Promise<{ answer: T } | undefined>

/** The answer, or nothing if there is none. */
export function found<T>(answer: Promise<T>): Found<T> {
  return answer.then(
    (answer) => ({ answer }),
    () => undefined,
  )
}

/** The head of the row of `key`, or the error of that key alone. */
export async function headOf(heads: Heads, key: string): Promise<RowHead | KvError | undefined> {
  return (await heads).get(key)
}

/** The answer to a write that is slow, if it has left its row. */
export async function foundWrite(heads: Heads, key: string, write: { id: string }): Found<WriteResult> {
  const answer = (await foundWrites(heads, new Map([[key, write]])))?.answer.get(key)
  return answer && { answer }
}

/** The answer to a delete that is slow, if it has left its tombstone, whose version is not that of an entry. */
export async function foundRemoval(heads: Heads, key: string, removal: { id: string }): Found<WriteResult> {
  const written = await foundWrite(heads, key, removal)
  return written && { answer: { applied: true, mayLandLate: true } }
}

/** The answers to a batch of writes that is slow, if it has left all its rows. */
export async function foundWrites(
  heads: Heads,
  writes: ReadonlyMap<string, { id: string }>,
): Found<Map<string, WriteResult>> {
  const rows = (await found(heads))?.answer
  const answer = new Map<string, WriteResult>()
  for (const [key, { id }] of writes) {
    const head = rows?.get(key)
    if (head === undefined || head instanceof KvError || head.id !== id) return undefined
    answer.set(key, { applied: true, version: head.version, mayLandLate: true })
  }
  return { answer }
}
