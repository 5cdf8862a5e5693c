import type { KeyedEntry, StoredEntry, Write } from "./backend.ts"

/**
 * What a service bills for a call, in its own units and by its published rules, computed from the answer. A lower bound: the answer does not
 * show an expired row that was read, a condition that did not hold, or the size of a row that was overwritten.
 */
export interface Tariff {
  /** Whether deletes are billed separately from writes. */
  readonly billsDeletesApart: boolean
  /** Units of one read; `entry` is `undefined` if the key was absent. */
  read(key: string, entry: StoredEntry | undefined): number
  /** Units of one page of a scan. */
  page(entries: readonly KeyedEntry[]): number
  /** Units of one write. */
  write(key: string, write: Write): number
  /** Units of one delete. */
  delete(key: string): number
}
