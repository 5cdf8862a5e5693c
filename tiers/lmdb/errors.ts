import { constants } from "node:os"
import { KvError, type KvErrorCode } from "../errors.ts"
import { CorruptRow } from "../util/binary-row.ts"
import { CommitInDoubt, FileReplaced, NotBegun } from "./writer.ts"

export const KIND = "lmdb"

/** What was done to the file, for its errors. */
export interface LmdbAccess {
  /** The method of the backend that did it. */
  readonly operation: string
  readonly key?: string | undefined
  /** Whether it may have changed something. */
  readonly effect: "read" | "write"
}

const { EACCES, EDQUOT, EFBIG, EIO, EISDIR, ELOOP, EMFILE, ENAMETOOLONG, ENFILE, ENOENT } = constants.errno
const { ENOMEM, ENOSPC, ENOTDIR, EEXIST, EPERM, EROFS } = constants.errno

/** The errors of LMDB, as in lmdb.h. */
const MDB_PAGE_NOTFOUND = -30797
const MDB_CORRUPTED = -30796
const MDB_VERSION_MISMATCH = -30794
const MDB_INVALID = -30793
const MDB_MAP_FULL = -30792
const MDB_READERS_FULL = -30790

type Verdict = readonly [code: KvErrorCode, message: string]

const DENIED: Verdict = [
  "ACCESS_DENIED",
  "the directory or its files may not be written: check their owner and mode",
]
const NO_DIRECTORY: Verdict = [
  "BINDING_INVALID",
  "the path cannot be a directory: give one that can be created",
]
const NO_ROOM: Verdict = [
  "UNAVAILABLE",
  "no room is left for the write on the disk or in the quota; nothing was written",
]
const NOT_LMDB: Verdict = [
  "BINDING_INVALID",
  "data.mdb in the directory is no file that this LMDB reads: give another path, or restore the file from a copy",
]
const DAMAGED: Verdict = ["CORRUPT_ENTRY", "the file of the store is damaged: restore it from a copy"]
const NO_HANDLES: Verdict = ["UNAVAILABLE", "the process or the system has no file handle or memory left"]

const IN_DOUBT: Readonly<Record<CommitInDoubt["reason"], string>> = {
  failed: "the disk failed in the last step of the commit: close the store and open it anew",
  late: "the commit has not ended in time and may still be applied: look at the disk",
  replaced:
    "data.mdb was removed or replaced during the write, which is lost unless the file was moved: close the store " +
    "and open it anew",
}
const REPLACED =
  "data.mdb was removed or replaced while the store was open; nothing was written, and reads still see the old file: " +
  "close the store and open it anew"
const LOCKED =
  "another process holds the write lock of the store, perhaps because it is stopped: resume or end it; nothing was written"

/** Errors by number: `errno`, positive, or LMDB's own, negative. */
const VERDICTS: ReadonlyMap<number, Verdict> = new Map([
  [EACCES, DENIED],
  [EPERM, DENIED],
  [EROFS, DENIED],
  [ENOENT, NO_DIRECTORY],
  [ENOTDIR, NO_DIRECTORY],
  [EEXIST, NO_DIRECTORY],
  [EISDIR, NO_DIRECTORY],
  [ELOOP, NO_DIRECTORY],
  [ENAMETOOLONG, NO_DIRECTORY],
  [ENOSPC, NO_ROOM],
  [EDQUOT, NO_ROOM],
  [EFBIG, NO_ROOM],
  [MDB_MAP_FULL, NO_ROOM],
  [EMFILE, NO_HANDLES],
  [ENFILE, NO_HANDLES],
  [ENOMEM, NO_HANDLES],
  [EIO, ["UNAVAILABLE", "the disk is full, or fails; nothing was written"]],
  [MDB_READERS_FULL, ["UNAVAILABLE", "too many processes read the store at once"]],
  [MDB_CORRUPTED, DAMAGED],
  [MDB_PAGE_NOTFOUND, DAMAGED],
  [MDB_INVALID, NOT_LMDB],
  [MDB_VERSION_MISMATCH, NOT_LMDB],
])

/** Maps the errors of LMDB, of the file system and of the row codec. No other place maps errors. */
export function toKvError(error: unknown, access: LmdbAccess): KvError {
  if (error instanceof KvError) return error
  const { operation, key } = access
  const details = { operation, backend: KIND, key, cause: error }
  if (error instanceof CorruptRow) {
    return new KvError(
      "CORRUPT_ENTRY",
      `what lies under the key cannot be read: ${error.message}; write over it or delete it`,
      details,
    )
  }
  if (error instanceof CommitInDoubt) return new KvError("OUTCOME_UNKNOWN", IN_DOUBT[error.reason], details)
  if (error instanceof FileReplaced) return new KvError("STORE_NOT_FOUND", REPLACED, details)
  if (error instanceof NotBegun) return new KvError("TIMEOUT", LOCKED, details)
  const [code, message] = VERDICTS.get(numberOf(error)) ?? unnamed(access)
  return new KvError(code, message, details)
}

function unnamed({ operation, effect }: LmdbAccess): Verdict {
  if (operation === "open") return ["UNAVAILABLE", "the store cannot be opened; see the error's cause"]
  if (operation === "close") return ["UNAVAILABLE", "the store did not close; see the error's cause"]
  if (effect === "read") return ["UNAVAILABLE", "the store cannot be read; see the error's cause"]
  return ["UNAVAILABLE", "nothing could be written; see the error's cause"]
}

/** The number of an error: Node stores it, negated, in `errno`, LMDB in `code`. */
function numberOf(error: unknown): number {
  if (!(error instanceof Error)) return 0
  if ("errno" in error && typeof error.errno === "number") return Math.abs(error.errno)
  return "code" in error && typeof error.code === "number" ? error.code : 0
}
