import type { KeyedEntry, ScanPage, ScanRequest } from "../backend.ts"
import { KvError } from "../errors.ts"
import { KIND, toKvError } from "./errors.ts"
import type { FirestoreDocument, FirestoreRequests, IdRange, Limits } from "./requests.ts"
import { isReserved, liveEntry, toKey } from "./row.ts"

/** Maximum number of documents in one query that skips expired rows. */
const MAX_SKIP = 500
/** The first character of a cursor. No key contains it. */
const CURSOR_MARK = ">"
/** The lowest character of a key. */
const LEAST = "-"
/** Sorts after every character of a key. The ids of reserved keys begin with it. */
const ESCAPE = "~"

/**
 * Reads one page of the keys with this prefix, in the order of their document ids. After expired rows it continues until it finds a live row
 * or the end. `limits` returns what is left of the limits of the page. Rejects with `INVALID_CURSOR` if no scan of this prefix returned the
 * cursor.
 */
export async function scanPage(
  requests: FirestoreRequests,
  prefix: string,
  { limit, cursor }: Pick<ScanRequest, "limit" | "cursor">,
  now: () => number,
  limits: () => Limits,
): Promise<ScanPage> {
  const [first, ...later] = rangesFrom(prefix, cursor)
  let range: IdRange | undefined = first
  let size = limit
  while (range !== undefined) {
    const documents = await requests.query(range, size, limits())
    const found = documents.flatMap((document) => toFound(document, now()))
    const exhausted = documents.length < size
    const last = found.length > limit ? found[limit - 1]?.id : documents.at(-1)?.id
    if (found.length > 0) {
      const more = found.length > limit || !exhausted || later.length > 0
      const entries = found.slice(0, limit).map(({ entry }) => entry)
      return more && last !== undefined ? { entries, next: CURSOR_MARK + last } : { entries }
    }
    range = exhausted || last === undefined ? later.shift() : { ...range, after: last }
    size = Math.max(limit, Math.min(2 * size, MAX_SKIP))
  }
  return { entries: [] }
}

/** The live entry in a document; `undefined` if the document is no row of this store. */
function toFound(document: FirestoreDocument, now: number): { id: string; entry: KeyedEntry }[] {
  const { id } = document
  const key = toKey(id)
  if (key === undefined) return []
  try {
    const entry = liveEntry(document, now)
    return entry === undefined ? [] : [{ id, entry: { key, ...entry } }]
  } catch (error) {
    throw toKvError(error, { operation: "scan", key, effect: "read" })
  }
}

/** The ranges of ids that hold the keys with this prefix, in order: after the document of the cursor, or all. */
function rangesFrom(prefix: string, cursor: string | undefined): IdRange[] {
  const ranges = rangesOf(prefix)
  if (cursor === undefined) return ranges
  const after = cursor.slice(CURSOR_MARK.length)
  const at = ranges.findIndex((range) => holds(range, after))
  if (!cursor.startsWith(CURSOR_MARK) || !isDocumentId(after) || at < 0) {
    throw new KvError("INVALID_CURSOR", "the cursor is not of a scan of this prefix; start the scan anew", {
      operation: "scan",
      backend: KIND,
    })
  }
  return ranges.slice(at).map((range, index) => (index === 0 ? { ...range, after } : range))
}

function rangesOf(prefix: string): IdRange[] {
  if (prefix === "") return [{}]
  const plain = { from: isReserved(prefix) ? prefix + LEAST : prefix, before: prefix + ESCAPE }
  const escaped = { from: ESCAPE + prefix, before: ESCAPE + prefix + ESCAPE }
  return beginsReserved(prefix) ? [plain, escaped] : [plain]
}

/** Whether a reserved key (`.`, `..`, `__…__`) can begin with this prefix. */
function beginsReserved(prefix: string): boolean {
  return "..".startsWith(prefix) || "__".startsWith(prefix) || prefix.startsWith("__")
}

function holds({ from, before }: IdRange, id: string): boolean {
  return (from === undefined || id >= from) && (before === undefined || id < before)
}

function isDocumentId(id: string): boolean {
  return id !== "" && !id.includes("/") && !isReserved(id)
}
