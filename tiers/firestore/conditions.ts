import type { Write, WriteResult } from "../backend.ts"
import { KvError } from "../errors.ts"
import { KIND } from "./errors.ts"
import type { FirestoreWrite, Instant } from "./requests.ts"
import { applied, encodeRow, isLive, parseVersion, type RowHead } from "./row.ts"

/** The row under one key, for conditional writes. */
export interface RowAccess {
  readonly operation: string
  readonly key: string
  now(): number
  /** Writes the row under a precondition. Returns the time of the commit, or `undefined` if the precondition does not hold. */
  commitIf(fields: FirestoreWrite["fields"], precondition: "absent" | Instant): Promise<Instant | undefined>
  /** Reads the row after the precondition of a write did not hold; also if the row has expired. */
  reread(): Promise<RowHead | undefined>
}

/** Maximum number of attempts of a create while other writers change the row. */
const MAX_CREATE_ATTEMPTS = 6

/**
 * Writes a row if the key has no live one. It replaces an expired row under the update time of that row, so that one of several writers
 * wins. If the key already has the row of this write, an earlier attempt was applied.
 */
export async function create(row: RowAccess, write: Write): Promise<WriteResult> {
  let precondition: "absent" | Instant = "absent"
  for (let attempt = 0; attempt < MAX_CREATE_ATTEMPTS; attempt++) {
    const now = row.now()
    const time = await row.commitIf(encodeRow(write, now), precondition)
    if (time !== undefined) return applied(write, time)
    const there = await row.reread()
    if (there?.writeId === write.id) return { applied: true, version: there.version }
    if (there !== undefined && isLive(there.expiresAt, now)) return { applied: false }
    precondition = there?.updateTime ?? "absent"
  }
  const message = `other writers created and removed the row ${MAX_CREATE_ATTEMPTS} times while it was to be created; try again later`
  throw new KvError("THROTTLED", message, { operation: row.operation, backend: KIND, key: row.key })
}

/** Replaces the live row whose version is `expected`. If the key already has the row of this write, an earlier attempt was applied. */
export async function replace(
  row: RowAccess,
  fields: FirestoreWrite["fields"],
  write: Pick<Write, "id" | "expiresAt">,
  expected: string,
): Promise<WriteResult> {
  const parts = parseVersion(expected)
  if (parts !== undefined && isLive(parts.expiresAt, row.now())) {
    const time = await row.commitIf(fields, parts.updateTime)
    if (time !== undefined) return applied(write, time)
  }
  const there = await row.reread()
  return there?.writeId === write.id ? { applied: true, version: there.version } : { applied: false }
}
