import type { RootDatabase, Transaction } from "lmdb"

/**
 * Reads of the last commit of any process.
 *
 * The read transaction of the lmdb package lives until a later turn of the event loop. A read in it can miss commits that another process
 * made, and announced, since the turn began. So each read uses a transaction of this module, which is reset after the read. The reset
 * takes a twentieth of the time of a read, and keeps no old pages in use, which would make the file grow.
 */
export interface Snapshot {
  /** The row under `key`. The bytes are valid until the next call. */
  read(key: string): Buffer | undefined
  /** Rows in the order of their keys, from one commit. */
  rows(range: RowRange): Iterable<KeyedRow>
  close(): void
}

export interface RowRange {
  prefix: string
  /** The rows start after this key; absent: at the first key. */
  after?: string | undefined
  /** Rows, at most. */
  limit: number
}

export interface KeyedRow {
  key: string
  value: Buffer
}

/** Sorts after every character of a key. */
const AFTER_KEYS = "~"

/** `getBinaryFast` with its options, which the types of lmdb leave out. */
interface Lender {
  getBinaryFast(key: string, options: { transaction: Transaction }): Buffer | undefined
}

export function snapshotOf(module: object, db: RootDatabase<Buffer, string>): Snapshot {
  const lender: Lender = db
  const transaction = db.useReadTransaction()
  // So that lmdb uses another transaction for its own reads.
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
