import { closeSync, openSync, readSync } from "node:fs"
import { join } from "node:path"
import { KvError } from "../errors.ts"
import { isObject } from "../util/checks.ts"
import { KIND } from "./errors.ts"
import type { Patience } from "./writer.ts"

/** Time between two looks at the lock, ms. */
const POLL_MS = 10
/** The longest delay of a Node timer, ms. */
const LONGEST_MS = 2 ** 31 - 1

const MAGIC = 0xbeefc0de
const MAGIC_AT = 0
const TRANSACTION_AT = 8
/**
 * Where the mutex of writers is in the lock file. Before it are 24 bytes and the mutex of readers, in whole lines of 64 bytes; a mutex has 40
 * bytes on x64, 48 on arm64.
 */
const MUTEX_AT: Partial<Record<string, number>> = { x64: 64, arm64: 128 }
const HEADER_BYTES = 192
/** The bits of a futex that hold the id of the thread that has it, as Linux defines them for mutexes that survive their owner. */
const OWNER = 0x3fffffff

/**
 * Waits until no other process holds the write lock of the environment in `directory`, or another one does. Opening takes that lock in native
 * code, with the event loop blocked, for as long as the process that holds it is stopped. Rejects with `UNAVAILABLE` if one write holds it for
 * the whole of `timeoutMs`. A process that is stopped in the moment between this look and the opening is not noticed.
 *
 * LMDB has no call that tries the lock. Elsewhere than on Linux with glibc, the lock cannot be read from the file, and nothing is checked.
 */
export async function awaitWriteLock(directory: string, { runtime, timeoutMs }: Patience): Promise<void> {
  const holder = holderOf(directory)
  if (holder === undefined) return
  // The timers of a runtime keep no process alive, and an opening has nothing else that does.
  const alive = setInterval(() => {}, LONGEST_MS)
  try {
    const endsAt = runtime.monotonic() + timeoutMs
    for (;;) {
      await new Promise<void>((resolve) => void runtime.setTimer(resolve, POLL_MS))
      if (holderOf(directory) !== holder || !hasGlibc()) return
      if (runtime.monotonic() >= endsAt) break
    }
  } finally {
    clearInterval(alive)
  }
  const [owner = ""] = holder.split(" ")
  throw new KvError(
    "UNAVAILABLE",
    `process or thread ${owner} has held the write lock of the store in ${directory} for ${timeoutMs} ms; ` +
      "if it is stopped (SIGSTOP, a paused container), resume or end it",
    { operation: "open", backend: KIND },
  )
}

/** Who holds the write lock, and for which write; `undefined`: nobody, or that cannot be told. */
export function holderOf(directory: string): string | undefined {
  const mutexAt = process.platform === "linux" ? MUTEX_AT[process.arch] : undefined
  const header = mutexAt === undefined ? undefined : headerOf(directory)
  if (mutexAt === undefined || header?.readUInt32LE(MAGIC_AT) !== MAGIC) return undefined
  const owner = header.readUInt32LE(mutexAt) & OWNER
  return owner === 0 ? undefined : `${owner} ${header.readBigUInt64LE(TRANSACTION_AT)}`
}

/** The page cache of Linux is what LMDB has mapped, so that a read sees what the other process does. */
function headerOf(directory: string): Buffer | undefined {
  let file: number
  try {
    file = openSync(join(directory, "lock.mdb"), "r")
  } catch {
    return undefined
  }
  try {
    const header = Buffer.alloc(HEADER_BYTES)
    return readSync(file, header, 0, HEADER_BYTES, 0) === HEADER_BYTES ? header : undefined
  } finally {
    closeSync(file)
  }
}

let glibc: boolean | undefined

/** musl has its mutexes in another form. The answer takes about 10 ms. */
function hasGlibc(): boolean {
  if (glibc !== undefined) return glibc
  const report: unknown = process.report.getReport()
  const header = isObject(report) && "header" in report ? report.header : undefined
  glibc = isObject(header) && "glibcVersionRuntime" in header
  return glibc
}
