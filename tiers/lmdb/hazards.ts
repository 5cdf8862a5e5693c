import { stat, statfs } from "node:fs/promises"
import { join } from "node:path"
import { KvError } from "../errors.ts"
import { KIND } from "./errors.ts"

/** Free space that a new environment needs, bytes: 64 KiB for the lock file, the rest for the first pages of the data file. */
const NEW_STORE_BYTES = 128 * 1024
/** `MDB_RDONLY`: a read transaction. */
const READ_ONLY = 0x20000

/**
 * Refuses to make a new environment on a full file system. LMDB writes to the lock file through a memory map, and without
 * space for it the system ends the process (SIGBUS). A file system that reports no size is not checked, and quotas are
 * not visible here.
 */
export async function checkRoom(directory: string): Promise<void> {
  const sizes = ["data.mdb", "lock.mdb"].map((name) => stat(join(directory, name)).catch(() => undefined))
  if ((await Promise.all(sizes)).every((file) => file !== undefined && file.size > 0)) return
  const { bavail, bsize, blocks } = await statfs(directory)
  const freeBytes = bavail * bsize
  if (blocks === 0 || freeBytes >= NEW_STORE_BYTES) return
  throw unavailable(
    `a new store in ${directory} needs ${NEW_STORE_BYTES} bytes, and its file system has ${freeBytes} left: ` +
      "free some, or give another path",
  )
}

/**
 * Refuses an environment that a process with the id of this one has open, which is possible in another container. LMDB
 * identifies its readers by process id and lets only one of the two read; the package lmdb would try again for ten
 * seconds and block the event loop meanwhile. To be called before the first read: it is the first read transaction of the
 * process that claims the id.
 */
export function checkProcessId(module: object, db: object, directory: string): void {
  const native = "nativeAddon" in module ? module.nativeAddon : undefined
  if (typeof native !== "object" || native === null || !("Txn" in native) || !("env" in db)) return
  if (typeof native.Txn !== "function") return
  try {
    const transaction: unknown = Reflect.construct(native.Txn, [db.env, READ_ONLY])
    if (typeof transaction !== "object" || transaction === null || !("abort" in transaction)) return
    if (typeof transaction.abort === "function") transaction.abort()
  } catch (error) {
    if (!(error instanceof Error && error.message.includes("temporarily unavailable"))) throw error
    throw unavailable(
      `another process with the process id ${process.pid} has the store in ${directory} open, in another container: ` +
        "end it, let the containers share one process namespace, or give each a directory of its own",
      error,
    )
  }
}

function unavailable(message: string, cause?: unknown): KvError {
  return new KvError("UNAVAILABLE", message, { operation: "open", backend: KIND, cause })
}
