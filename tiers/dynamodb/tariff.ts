import type { Tariff } from "../backend.ts"

const READ_UNIT_BYTES = 4_096
const WRITE_UNIT_BYTES = 1_024
/** Names and values of a row's `pk` (`bucket_NN`), `sk`, `value` and `version` (32 digits), without key and value. */
const ROW_BYTES = 2 + 9 + 2 + 5 + 7 + 32
/** The same of `ttl` and `exp`: a number takes a byte, and one for every two digits. */
const EXPIRY_BYTES = 3 + 6 + 3 + 8

/**
 * The units of a table on demand. A strongly consistent read: each 4 KiB of the row begun, 1 if it is absent; a page: each
 * 4 KiB begun of its rows together; a write: each KiB of the row begun; a delete: a write of 1.
 */
export const tariff: Tariff = {
  billsDeletesApart: false,
  read: (key, entry) => (entry === undefined ? 1 : units(rowBytes(key, entry), READ_UNIT_BYTES)),
  page(entries) {
    const bytes = entries.reduce((sum, entry) => sum + rowBytes(entry.key, entry), 0)
    return units(bytes, READ_UNIT_BYTES)
  },
  write: (key, write) => units(rowBytes(key, write), WRITE_UNIT_BYTES),
  delete: () => 1,
}

function rowBytes(key: string, { value, expiresAt }: { value: Uint8Array; expiresAt?: number }): number {
  return ROW_BYTES + key.length + value.length + (expiresAt === undefined ? 0 : EXPIRY_BYTES)
}

function units(bytes: number, unitBytes: number): number {
  return Math.max(1, Math.ceil(bytes / unitBytes))
}
