import { mkdir, realpath } from "node:fs/promises"
import type { RootDatabase } from "lmdb"
import { checkFiles, checkFormat } from "./format.ts"
import { type Snapshot, snapshotOf } from "./snapshot.ts"
import { type Writer, writerOf } from "./writer.ts"

/** A directory with one LMDB environment, open in this process and perhaps in others. */
export interface Environment extends Pick<Snapshot, "read" | "rows">, Pick<Writer, "write"> {
  /** Frees what processes left behind that ended while they were reading. */
  checkReaders(): void
  /** To be called once for each opening. The last one closes the environment, after the writes under way. */
  release(): Promise<void>
}

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
  await checkFiles(directory)
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
