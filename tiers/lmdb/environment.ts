import { statSync } from "node:fs"
import { mkdir, realpath } from "node:fs/promises"
import { join } from "node:path"
import type { RootDatabase } from "lmdb"
import { within } from "../util/deadline.ts"
import { dependencyMissing } from "../util/packages.ts"
import { type Lease, SharedResource } from "../util/shared-resource.ts"
import { KIND } from "./errors.ts"
import { checkFiles, checkFormat } from "./format.ts"
import { checkProcessId, checkRoom } from "./hazards.ts"
import { type Snapshot, snapshotOf } from "./snapshot.ts"
import { awaitWriteLock } from "./write-lock.ts"
import { type Patience, type Writer, writerOf } from "./writer.ts"

/** An open LMDB environment. Other processes may have it open too. */
export interface Environment extends Pick<Snapshot, "read" | "rows">, Pick<Writer, "write"> {
  /** Frees the reader slots of processes that ended during a read. */
  checkReaders(): void
  /** Waits for the writes under way, then closes. If they do not end in time, it rejects and leaves the environment open. */
  close(): Promise<void>
}

/** Maximum number of concurrent readers, processes and threads; LMDB's default is 126. The first process that opens the environment sets it. */
const MOST_READERS = 1_024

/** LMDB lets a process open a file only once, so all backends over one directory share its environment. */
const environments = new SharedResource<Environment>((environment) => environment.close())

type Lmdb = typeof import("lmdb")

/**
 * Opens the environment in `path`, and makes the directory if it does not exist. Rejects with `DEPENDENCY_MISSING`, or with the error of LMDB
 * or Node.
 */
export async function leaseEnvironment(path: string, patience: Patience): Promise<Lease<Environment>> {
  const module = await loadLmdb()
  await mkdir(path, { recursive: true })
  const directory = await realpath(path)
  return environments.acquire(directory, patience.runtime, () => openEnvironment(module, directory, patience))
}

async function loadLmdb(): Promise<Lmdb> {
  try {
    return await import("lmdb")
  } catch (cause) {
    const advice = " on the platform that runs it (it has a native part), and leave it external in a bundle"
    throw dependencyMissing(KIND, "LMDB", "lmdb", cause, advice)
  }
}

async function openEnvironment(module: Lmdb, directory: string, patience: Patience): Promise<Environment> {
  await checkFiles(directory)
  await checkRoom(directory)
  await awaitWriteLock(directory, patience)
  const db = module.open<Buffer, string>({
    path: directory,
    encoding: "binary",
    // Otherwise lmdb takes a path with a dot for a file.
    noSubdir: false,
    // Otherwise a commit is visible, and acknowledged, before it is on the disk.
    overlappingSync: false,
    // Otherwise a failing commit also rejects a promise without a handler. The writer batches changes itself.
    eventTurnBatching: false,
    maxReaders: MOST_READERS,
  })
  try {
    checkProcessId(module, db, directory)
    await checkFormat(db, directory)
    const isInPlace = placeOf(join(directory, "data.mdb"))
    return environmentOf(db, snapshotOf(module, db), writerOf(db, isInPlace), patience)
  } catch (error) {
    await db.close()
    throw error
  }
}

/**
 * A function that returns whether the file that is now at `path` is still there. It is a synchronous `stat`, about 4 µs: little compared to a
 * commit, and no other code runs between the answer and the write.
 */
function placeOf(path: string): () => boolean {
  const identify = () => statSync(path, { bigint: true, throwIfNoEntry: false })
  const opened = identify()
  return () => {
    const found = identify()
    return found !== undefined && found.ino === opened?.ino && found.dev === opened.dev
  }
}

function environmentOf(
  db: RootDatabase<Buffer, string>,
  snapshot: Snapshot,
  writer: Writer,
  { runtime, timeoutMs }: Patience,
): Environment {
  return {
    read: snapshot.read,
    rows: snapshot.rows,
    write: writer.write,
    checkReaders: () => void db.readerCheck(),
    async close() {
      const late = () => new Error("a write under way does not end")
      await within(runtime, writer.settled(), timeoutMs, late)
      snapshot.close()
      await db.close()
    },
  }
}
