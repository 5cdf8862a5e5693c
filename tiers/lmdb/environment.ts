import { mkdir, realpath } from "node:fs/promises"
import type { RootDatabase } from "lmdb"
import type { Runtime } from "../runtime.ts"
import { type Lease, SharedResource } from "../util/shared-resource.ts"
import { checkFiles, checkFormat } from "./format.ts"
import { type Snapshot, snapshotOf } from "./snapshot.ts"
import { type Writer, writerOf } from "./writer.ts"

/** A directory with one LMDB environment, open in this process and perhaps in others. */
export interface Environment extends Pick<Snapshot, "read" | "rows">, Pick<Writer, "write"> {
  /** Frees what processes left behind that ended while they were reading. */
  checkReaders(): void
  /** After the writes under way. */
  close(): Promise<void>
}

/** Processes and threads that may read at once; LMDB's own default is 126. Decided by who opens the store first. */
const MOST_READERS = 1_024

/** LMDB lets a process open a file only once, so all backends over one directory share its environment. */
const environments = new SharedResource<Environment>((environment) => environment.close())

/** Opens the environment in `path`; makes the directory if it is not there. Rejects with what LMDB or Node threw. */
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
