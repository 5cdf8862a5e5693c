import type { Write, WriteResult } from "../backend.ts"
import { KvError } from "../errors.ts"
import { KIND } from "./errors.ts"
import type { FirestoreWrite, Instant } from "./requests.ts"
import { applied, encodeRow, isLive, parseVersion, type Row } from "./row.ts"

/** The row under one key, as conditional writes meet it. */
export interface RowAccess {
  readonly operation: string
  readonly key: string
  now(): number
  /** Writes it under a precondition: the time of the commit, or `undefined` if the precondition does not hold. */
  commitIf(fields: FirestoreWrite["fields"], precondition: "absent" | Instant): Promise<Instant | undefined>
  /** Looks at it after a refusal, expired or not. */
  reread(): Promise<Row | undefined>
}

/** How often a create looks at what is there before it gives up against writers that come and go. */
const MAX_CREATE_ATTEMPTS = 6

/**
 * Puts a row where no live one is. One that has expired is taken over under its update time, so that one of many wins.
 * Meeting the own row counts as put: it was, and the reply was lost.
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
  const message = `the row came and went ${MAX_CREATE_ATTEMPTS} times while it was to be created; try again later`
  throw new KvError("THROTTLED", message, { operation: row.operation, backend: KIND, key: row.key })
}

/** Puts a row in place of the live one whose version is `expected`. Meeting the own row counts as put. */
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
