import type { RootDatabase } from "lmdb"
import type { Runtime } from "../runtime.ts"

/** Writes the changes of this process. A transaction applies all changes that are waiting when it begins. */
export interface Writer {
  /**
   * Runs `change` in a write transaction, and resolves when the transaction is on the disk. A change sees the earlier changes of its
   * transaction. If `change` throws, only its own promise rejects; it must not throw after a write.
   *
   * Rejects with {@link NotBegun} if the transaction does not begin within `patience`, because another process holds the write lock of
   * LMDB; the change is then never made. Rejects with {@link CommitInDoubt} if it has begun and does not end in time. Rejects with
   * {@link FileReplaced} if the open file is not the one at its path.
   */
  write<T>(change: (transaction: WriteTransaction) => T, patience: Patience): Promise<T>
  /** Resolves when no change is waiting or under way. */
  settled(): Promise<void>
}

/** How long a change may take. */
export interface Patience {
  readonly runtime: Runtime
  readonly timeoutMs: number
}

/** A write transaction. LMDB runs one at a time over all processes. */
export interface WriteTransaction {
  /** The row under `key`. The bytes are valid until the next call. */
  read(key: string): Buffer | undefined
  put(key: string, row: Buffer): void
  remove(key: string): void
  /** The sequence of the next write. It counts the writes of all processes, and does not restart after deletes. */
  nextSequence(): number
}

/** It is not known whether the commit is valid. */
export class CommitInDoubt extends Error {
  /**
   * - `failed`: the last step of the commit failed. LMDB refuses all further calls of this process.
   * - `late`: the commit did not end in time.
   * - `replaced`: the file was removed or replaced before the commit ended.
   */
  readonly reason: "failed" | "late" | "replaced"

  constructor(reason: CommitInDoubt["reason"], cause?: unknown) {
    super(`the commit is in doubt: ${reason}`, { cause })
    this.reason = reason
  }

  override get name(): string {
    return "CommitInDoubt"
  }
}

/** The transaction of a change did not begin in time; the change is never made. */
export class NotBegun extends Error {
  override get name(): string {
    return "NotBegun"
  }
}

/** The open file was removed, or another is at its path. Nothing was written. */
export class FileReplaced extends Error {
  override get name(): string {
    return "FileReplaced"
  }
}

interface Change {
  apply(transaction: WriteTransaction): void
  settle(): void
  reject(error: unknown): void
}

/** The key of the last sequence, in decimal. No key of an entry contains `~`. */
const SEQUENCE_KEY = "~sequence"
/** Maximum number of changes in one transaction. They are applied synchronously and block the event loop. */
const MOST_CHANGES = 1_000

/** @param isInPlace whether the open file is still the one at its path */
export function writerOf(db: RootDatabase<Buffer, string>, isInPlace: () => boolean): Writer {
  const waiting: Change[] = []
  let committing: Promise<void> | undefined
  let lost = false

  /** A failed check after a commit does not mean that nothing was written. */
  function isStillInPlace(): boolean {
    try {
      return isInPlace()
    } catch {
      return false
    }
  }

  async function commitWaiting(): Promise<void> {
    while (waiting.length > 0) await commitSome()
    committing = undefined
  }

  async function commitSome(): Promise<void> {
    let changes: Change[] = []
    try {
      await db.transaction(() => {
        changes = waiting.splice(0, MOST_CHANGES)
        if (!isInPlace()) throw new FileReplaced("the open file is not the one at its path")
        applyAll(changes, db)
      })
      // A commit to a file that was removed meanwhile is lost.
      const replaced = isStillInPlace() ? undefined : new CommitInDoubt("replaced")
      for (const change of changes) {
        if (replaced === undefined) change.settle()
        else change.reject(replaced)
      }
    } catch (error) {
      // If the transaction did not begin, all waiting changes fail.
      if (changes.length === 0) changes = waiting.splice(0)
      const cause = await causeOf(error)
      // If the last step of a commit failed, LMDB refuses all further calls, also reads.
      lost = !isReadable(db)
      const verdict = lost ? new CommitInDoubt("failed", cause) : cause
      for (const change of changes) change.reject(verdict)
    }
  }

  return {
    write(change, { runtime, timeoutMs }) {
      // LMDB would not answer.
      if (lost) return Promise.reject(new Error("the environment was given up after a commit failed"))
      return new Promise((resolve, reject) => {
        const timer = runtime.setTimer(() => {
          const index = waiting.indexOf(queued)
          if (index < 0) return reject(new CommitInDoubt("late"))
          waiting.splice(index, 1)
          reject(new NotBegun("the transaction did not begin in time"))
        }, timeoutMs)
        const queued = changeOf(
          change,
          (result) => {
            timer.cancel()
            resolve(result)
          },
          (error) => {
            timer.cancel()
            reject(error)
          },
        )
        waiting.push(queued)
        committing ??= commitWaiting()
      })
    },

    async settled() {
      await committing
    },
  }
}

function changeOf<T>(
  change: (transaction: WriteTransaction) => T,
  resolve: (result: T) => void,
  reject: (error: unknown) => void,
): Change {
  // The result is delivered after the commit, because it is valid only then.
  let settle = () => {}
  return {
    apply(transaction) {
      try {
        const result = change(transaction)
        settle = () => resolve(result)
      } catch (error) {
        settle = () => reject(error)
      }
    },
    settle: () => settle(),
    reject,
  }
}

function applyAll(changes: readonly Change[], db: RootDatabase<Buffer, string>): void {
  let sequence: number | undefined
  const transaction: WriteTransaction = {
    read: (key) => db.getBinaryFast(key),
    put: (key, row) => void db.putSync(key, row),
    remove: (key) => void db.removeSync(key),
    nextSequence() {
      sequence = (sequence ?? readSequence(db)) + 1
      return sequence
    },
  }
  for (const change of changes) change.apply(transaction)
  if (sequence !== undefined) db.putSync(SEQUENCE_KEY, Buffer.from(String(sequence)))
}

function readSequence(db: RootDatabase<Buffer, string>): number {
  const sequence = Number(db.getBinary(SEQUENCE_KEY)?.toString() ?? "0")
  if (!Number.isSafeInteger(sequence))
    throw new TypeError("the number of the store's last write cannot be read")
  return sequence
}

function isReadable(db: RootDatabase<Buffer, string>): boolean {
  try {
    db.get(SEQUENCE_KEY)
    return true
  } catch {
    return false
  }
}

/** The specific error of a failed commit, which lmdb attaches to its general error as a promise that rejects. */
async function causeOf(error: unknown): Promise<unknown> {
  if (!(error instanceof Error) || !("commitError" in error)) return error
  try {
    await error.commitError
  } catch (cause) {
    return cause
  }
  return error
}
