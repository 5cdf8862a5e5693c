import { mkdir, realpath } from "node:fs/promises"
import type { RootDatabase } from "lmdb"
import type { Runtime } from "../runtime.ts"
import { type Lease, SharedResource } from "../util/shared-resource.ts"
import { checkFiles, checkFormat } from "./format.ts"
import { type Snapshot, snapshotOf } from "./snapshot.ts"
import { type Writer, writerOf } from "./writer.ts"

/** An open LMDB environment. Other processes may have it open too. */
export interface Environment extends Pick<Snapshot, "read" | "rows">, Pick<Writer, "write"> {
  /** Frees the reader slots of processes that ended during a read. */
  checkReaders(): void
  /** Waits for the writes under way, then closes. */
  close(): Promise<void>
}

/** Maximum number of concurrent readers, processes and threads; LMDB's default is 126. The first process that opens the environment sets it. */
const MOST_READERS = 1_024

/** LMDB lets a process open a file only once, so all backends over one directory share its environment. */
const environments = new SharedResource<Environment>((environment) => environment.close())

/** Opens the environment in `path`, and makes the directory if it does not exist. Rejects with the error of LMDB or Node. */
export async function leaseEnvironment(path: string, runtime: Runtime): Promise<Lease<Environment>> {
  await mkdir(path, { recursive: true })
  const directory = await realpath(path)
  return environments.acquire(directory, runtime, () => openEnvironment(directory))
}

async function openEnvironment(directory: string): Promise<Environment> {
  await checkFiles(directory)
  const module = await import("lmdb")
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
    await checkFormat(db, directory)
    return environmentOf(db, snapshotOf(module, db), writerOf(db))
  } catch (error) {
    await db.close()
    throw error
  }
}

function environmentOf(db: RootDatabase<Buffer, string>, snapshot: Snapshot, writer: Writer): Environment {
  return {
    read: snapshot.read,
    rows: snapshot.rows,
    write: writer.write,
    checkReaders: () => void db.readerCheck(),
    async close() {
      await writer.settled()
      snapshot.close()
      await db.close()
    },
  }
}
