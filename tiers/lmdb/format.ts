import { access, constants, type FileHandle, open, stat } from "node:fs/promises"
import { join } from "node:path"
import type { RootDatabase } from "lmdb"
import { KvError } from "../errors.ts"
import { KIND } from "./errors.ts"

/** The key under which the format is stored, as `tiered-kv 1`. No key of an entry contains `~`. */
const FORMAT_KEY = "~format"
const FORMAT = 1

/** LMDB's own header, in the byte order of the machine: a magic number and the version of its format. */
const HEADER_AT = 24
const HEADER = Uint32Array.of(0xbeefc0de, 2)

/**
 * Checks the files before LMDB opens them: LMDB ends the process if they are not LMDB files or are read-only. Does not open the lock
 * file, because closing it would release the locks that another thread of this process holds on it.
 */
export async function checkFiles(directory: string): Promise<void> {
  await access(directory, constants.W_OK | constants.X_OK)
  const data = join(directory, "data.mdb")
  for (const path of [data, join(directory, "lock.mdb")]) {
    const file = await stat(path).catch(ignoreAbsent)
    if (file === undefined) continue
    await access(path, constants.R_OK | constants.W_OK)
    if (!file.isFile()) throw refusal(directory, `${path} is no file: remove it, or give another path`)
  }
  const file = await open(data, "r").catch(ignoreAbsent)
  if (file === undefined) return
  try {
    if (await isForeign(file)) {
      throw refusal(
        directory,
        "data.mdb in it is no LMDB environment: give another path, or restore it from a copy",
      )
    }
  } finally {
    await file.close()
  }
}

/** Whether the file has another format than LMDB's. An empty file is accepted: LMDB initializes it. */
async function isForeign(file: FileHandle): Promise<boolean> {
  const header = Buffer.from(HEADER.buffer)
  const { bytesRead, buffer } = await file.read(Buffer.alloc(HEADER_AT + header.length), 0)
  return bytesRead > 0 && !buffer.subarray(HEADER_AT, bytesRead).equals(header)
}

/** Stores the format in a new environment. Refuses the environment of another program or of a later release, without changing it. */
export async function checkFormat(db: RootDatabase<Buffer, string>, directory: string): Promise<void> {
  const found = db.get(FORMAT_KEY) ?? (await markFormat(db))
  const format = /^tiered-kv ([0-9]{1,9})$/.exec(found?.toString("latin1") ?? "")?.[1]
  if (format === String(FORMAT)) return
  if (format === undefined)
    throw refusal(directory, "data.mdb in it was written by another program: give another path")
  throw refusal(
    directory,
    `it holds format ${format}, this release of tiered-kv reads format ${FORMAT}: ` +
      "use the release that wrote it, or give another path",
  )
}

/** The mark, of this process or of another that came first; nothing if the environment holds something unmarked. */
function markFormat(db: RootDatabase<Buffer, string>): Promise<Buffer | undefined> {
  return db.transaction(() => {
    const found = db.get(FORMAT_KEY)
    if (found !== undefined || db.getKeysCount({ limit: 1 }) > 0) return found
    const mark = Buffer.from(`tiered-kv ${FORMAT}`)
    db.putSync(FORMAT_KEY, mark)
    return mark
  })
}

function ignoreAbsent(error: NodeJS.ErrnoException): undefined {
  if (error.code !== "ENOENT") throw error
}

function refusal(directory: string, what: string): KvError {
  return new KvError("BINDING_INVALID", `the store in ${directory} cannot be used: ${what}`, {
    operation: "open",
    backend: KIND,
  })
}
