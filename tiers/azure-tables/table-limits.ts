import { KvError } from "../errors.ts"
import { KIND } from "./errors.ts"

export interface TableLimits {
  /** Longest row key, bytes. */
  readonly keyBytes: number
  /** Maximum number of entities in a transaction. */
  readonly transaction: number
}

/** A transaction has at most 100 entities and 4 MiB: 100 of the largest entries are 3.5 MB. A row key has 1 KiB, more than any key. */
const STORAGE: TableLimits = { keyBytes: 1_024, transaction: 100 }
/** Azure Cosmos DB for Table: row keys of up to 255 bytes and batches of up to 2 MB. 50 of the largest entries are 1.8 MB. */
const COSMOS: TableLimits = { keyBytes: 255, transaction: 50 }

/** The limits of the service at `url`; those of Table Storage if it is not known. */
export function limitsOf(url: string | undefined): TableLimits {
  // The SDK tells Cosmos DB by the same two names.
  return url !== undefined && /^[^/]+\/\/[^/]*\.table\.cosmos(db)?\./i.test(url) ? COSMOS : STORAGE
}

/** The error of a key that is longer than the service allows. Legal keys are ASCII, so that a character is a byte. */
export function tooLong(operation: string, key: string, { keyBytes }: TableLimits): KvError | undefined {
  if (key.length <= keyBytes) return undefined
  const message =
    `the key has ${key.length} bytes; Azure Cosmos DB for Table allows ${keyBytes}, ` +
    "half of what Table Storage and the other backends do: shorten the key, or use a storage account"
  const details = { operation, backend: KIND, key, limit: keyBytes, actual: key.length }
  return new KvError("INVALID_KEY", message, details)
}
