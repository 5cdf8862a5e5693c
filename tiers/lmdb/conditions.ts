import type { Removal, Write, WriteResult } from "../backend.ts"
import { isLiveRow, rowId, rowVersion, setRowSequence } from "../util/binary-row.ts"
import type { WriteTransaction } from "./writer.ts"

/** Writes an encoded row under the condition of its write. A row that has the identity of the write already was written by it. */
export function putRow(
  transaction: WriteTransaction,
  key: string,
  row: Buffer,
  { id, condition }: Write,
  now: number,
): WriteResult {
  if (condition !== undefined) {
    const there = transaction.read(key)
    const live = there !== undefined && isLiveRow(there, now)
    if (there !== undefined && rowId(there) === id) return { applied: true, version: rowVersion(there) }
    if ("absent" in condition ? live : !live || rowVersion(there) !== condition.version)
      return { applied: false }
  }
  setRowSequence(row, transaction.nextSequence())
  transaction.put(key, row)
  return { applied: true, version: rowVersion(row) }
}

/** Removes a row under the condition of the removal. */
export function removeRow(
  transaction: WriteTransaction,
  key: string,
  { condition }: Removal,
  now: number,
): WriteResult {
  if (condition !== undefined) {
    const there = transaction.read(key)
    const live = there !== undefined && isLiveRow(there, now)
    if (!live || rowVersion(there) !== condition.version) return { applied: false }
  }
  transaction.remove(key)
  return { applied: true }
}
