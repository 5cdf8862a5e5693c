import { mkdir, realpath } from "node:fs/promises"
import type { RootDatabase } from "lmdb"
import { KvError } from "./errors.ts"
import { KIND } from "./lmdb-errors.ts"
import { type Snapshot, snapshotOf } from "./lmdb-snapshot.ts"
import { type Writer, writerOf } from "./lmdb-writer.ts"

/** A directory with one LMDB environment, open in this process and perhaps in others. */
export interface Environment extends Pick<Snapshot, "read" | "rows">, Pick<Writer, "write"> {
  /** Frees what processes left behind that ended while they were reading. */
  checkReaders(): void
  /** To be called once for each opening. The last one closes the environment, after the writes under way. */
  release(): Promise<void>
}

/** Where the format of what lies on the disk is noted, as `tiered-kv 1`. `~` is in no key. */
const FORMAT_KEY = "~format"
const FORMAT = 1

/** Processes and threads that may read at once; LMDB's own default is 126. Decided by who opens the store first. */
const MOST_READERS = 1_024

/** LMDB lets a process open a file only once, so all backends over one directory share its environment. */
const shared = new Map<string, { users: number; environment: Promise<Environment> }>()
/** Directories whose environment is being closed: to be opened anew only after that. */
const closing = new Map<string, Promise<void>>()

/** Opens the environment in `path`; makes the directory if it is not there. Rejects with what LMDB or Node threw. */
export async function openEnvironment(path: string): Promise<Environment> {
  await mkdir(path, { recursive: true })
  const directory = await realpath(path)
  let place = shared.get(directory)
  if (place === undefined) {
    place = { users: 0, environment: create(directory) }
    shared.set(directory, place)
  }
  place.users++
  try {
    return await place.environment
  } catch (error) {
    if (shared.get(directory) === place) shared.delete(directory)
    throw error
  }
}

async function create(directory: string): Promise<Environment> {
  await closing.get(directory)
  const module = await import("lmdb")
  const db = module.open<Buffer, string>({
    path: directory,
    encoding: "binary",
    // Otherwise a path with a dot in it is taken for a file.
    noSubdir: false,
    // Otherwise a commit is seen, and acknowledged, before it is on the disk.
    overlappingSync: false,
    // Otherwise a commit that fails also rejects a promise that nobody has. Changes are batched before they get there.
    eventTurnBatching: false,
    maxReaders: MOST_READERS,
  })
  try {
    await checkFormat(db, directory)
    return environmentOf(db, directory, snapshotOf(module, db), writerOf(db))
  } catch (error) {
    await db.close()
    throw error
  }
}

function environmentOf(
  db: RootDatabase<Buffer, string>,
  directory: string,
  snapshot: Snapshot,
  writer: Writer,
): Environment {
  async function close(): Promise<void> {
    await writer.settled()
    snapshot.close()
    await db.close()
    closing.delete(directory)
  }

  return {
    read: snapshot.read,
    rows: snapshot.rows,
    write: writer.write,
    checkReaders: () => void db.readerCheck(),
    async release() {
      const place = shared.get(directory)
      if (place === undefined || --place.users > 0) return
      shared.delete(directory)
      const closed = close()
      closing.set(directory, closed)
      await closed
    },
  }
}

/** Marks a new environment as ours; refuses one of another program, or of a later release, and leaves it as it is. */
async function checkFormat(db: RootDatabase<Buffer, string>, directory: string): Promise<void> {
  const found = db.get(FORMAT_KEY) ?? (await markFormat(db))
  const format = /^tiered-kv ([0-9]{1,9})$/.exec(found?.toString("latin1") ?? "")?.[1]
  if (format === String(FORMAT)) return
  const what =
    format === undefined
      ? "data.mdb in it was written by another program: give another path"
      : `it holds format ${format}, this release of tiered-kv reads format ${FORMAT}: ` +
        "use the release that wrote it, or give another path"
  throw new KvError("BINDING_INVALID", `the store in ${directory} cannot be used: ${what}`, {
    operation: "open",
    backend: KIND,
  })
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
