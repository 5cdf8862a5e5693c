import type { RootDatabase } from "lmdb"

/** Changes from this process, as many in a transaction as are waiting when it begins. */
export interface Writer {
  /**
   * Runs `change` in a write transaction, and resolves once that is on the disk. Changes that share a transaction see
   * what those before them did. What `change` throws rejects it alone, and has to be thrown before it writes.
   */
  write<T>(change: (transaction: WriteTransaction) => T): Promise<T>
  /** Resolves once nothing is waiting or under way. */
  settled(): Promise<void>
}

/** It alone writes, in all processes. */
export interface WriteTransaction {
  /** The row under `key`: bytes that are lent until the next call. */
  read(key: string): Buffer | undefined
  put(key: string, row: Buffer): void
  remove(key: string): void
  /** The place of the next write among all writes of the store, in all processes and over deletes. */
  nextSequence(): number
}

/** Whether a commit counts was not to be learnt; LMDB has given the environment up, and does no more in this process. */
export class CommitInDoubt extends Error {
  override get name(): string {
    return "CommitInDoubt"
  }
}

interface Change {
  apply(transaction: WriteTransaction): void
  settle(): void
  reject(error: unknown): void
}

/** The number of the last write, in decimal. `~` is in no key. */
const SEQUENCE_KEY = "~sequence"
/** Changes in one transaction, at most: they are applied in one go, and nothing else runs meanwhile. */
const MOST_CHANGES = 1_000

export function writerOf(db: RootDatabase<Buffer, string>): Writer {
  const waiting: Change[] = []
  let committing: Promise<void> | undefined
  let lost = false

  async function commitWaiting(): Promise<void> {
    while (waiting.length > 0) await commitSome()
    committing = undefined
  }

  async function commitSome(): Promise<void> {
    let changes: Change[] = []
    try {
      await db.transaction(() => {
        changes = waiting.splice(0, MOST_CHANGES)
        applyAll(changes, db)
      })
      for (const change of changes) change.settle()
    } catch (error) {
      // If the transaction did not begin, whatever waits for one fails with it.
      if (changes.length === 0) changes = waiting.splice(0)
      const cause = await causeOf(error)
      // LMDB gives up an environment, to readers too, if it failed in the step that makes a commit count.
      lost = !isReadable(db)
      const verdict = lost ? new CommitInDoubt("the commit failed in its last step", { cause }) : cause
      for (const change of changes) change.reject(verdict)
    }
  }

  return {
    write(change) {
      // LMDB would never answer.
      if (lost) return Promise.reject(new Error("the environment was given up after a commit failed"))
      return new Promise((resolve, reject) => {
        waiting.push(changeOf(change, resolve, reject))
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
  // The outcome is kept back until the commit: only then is anything true of it.
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

/** LMDB rejects with a general error, and gives the particular one as a promise that rejects. */
async function causeOf(error: unknown): Promise<unknown> {
  if (!(error instanceof Error) || !("commitError" in error)) return error
  try {
    await error.commitError
  } catch (cause) {
    return cause
  }
  return error
}
