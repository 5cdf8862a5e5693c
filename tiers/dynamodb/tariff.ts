import type { Tariff } from "../backend.ts"

const READ_UNIT_BYTES = 4_096
const WRITE_UNIT_BYTES = 1_024
/** Size of a row without its key and its value: `pk` with `bucket_N`, `sk`, `value`, and `version` with 32 digits. `wt` may be absent. */
const ROW_BYTES = 2 + 8 + 2 + 5 + 7 + 32
/** Size of `ttl` and `exp`. A number takes a byte, and one more for every two digits. */
const EXPIRY_BYTES = 3 + 6 + 3 + 8

/**
 * The units of a table on demand. A strongly consistent read takes one for every 4 KiB of the row or a part of them, and one if the row is
 * absent. A page takes one for every 4 KiB of its rows together, a write one for every KiB of the row, and a delete one.
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
