import type { RootDatabase, Transaction } from "lmdb"

/**
 * Reads, each of the last commit of any process.
 *
 * LMDB's own read transaction lives until a later turn of the event loop. A read through it can miss what another process
 * has committed, and even announced, since that turn began. So reads go through a transaction of their own, which is
 * given back after each: it costs a twentieth of a read, and pins no old pages, which would make the file grow.
 */
export interface Snapshot {
  /** The row under `key`: bytes that are lent until the next call. */
  read(key: string): Buffer | undefined
  /** Rows in the order of their keys, all of one commit. */
  rows(range: RowRange): Iterable<KeyedRow>
  close(): void
}

export interface RowRange {
  prefix: string
  /** A key to begin after; absent: with the first. */
  after?: string | undefined
  /** Rows, at most. */
  limit: number
}

export interface KeyedRow {
  key: string
  value: Buffer
}

/** Sorts after every character of a key, and is in none. */
const AFTER_KEYS = "~"

/** `getBinaryFast` as it is, its options included, which its type leaves out. */
interface Lender {
  getBinaryFast(key: string, options: { transaction: Transaction }): Buffer | undefined
}

export function snapshotOf(module: object, db: RootDatabase<Buffer, string>): Snapshot {
  const lender: Lender = db
  const transaction = db.useReadTransaction()
  // So that LMDB takes another for itself.
  db.resetReadTxn()
  const options = { transaction }
  const giveBack = resetOf(module, transaction)
  giveBack()

  return {
    read(key) {
      try {
        return lender.getBinaryFast(key, options)
      } finally {
        giveBack()
      }
    },

    *rows({ prefix, after, limit }) {
      const start = after ?? prefix
      const range = {
        start,
        exclusiveStart: after !== undefined,
        end: prefix + AFTER_KEYS,
        limit,
        transaction,
      }
      try {
        yield* db.getRange(range)
      } finally {
        giveBack()
      }
    },

    close() {
      transaction.done()
    },
  }
}

/** lmdb exports `mdb_txn_reset` among the functions of its native part, but not in its types. */
function resetOf(module: object, transaction: Transaction): () => void {
  const native = "nativeAddon" in module ? module.nativeAddon : undefined
  if (
    typeof native === "object" &&
    native !== null &&
    "resetTxn" in native &&
    typeof native.resetTxn === "function" &&
    "address" in transaction
  ) {
    const { resetTxn } = native
    const { address } = transaction
    return () => void resetTxn(address)
  }
  throw new TypeError(
    "this version of the package lmdb cannot give a read transaction back: install lmdb 3.5",
  )
}
