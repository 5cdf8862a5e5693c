import type { Tariff } from "../backend.ts"

/** A read, a write and a delete are a document each, also of an absent one; a page is its documents, 1 if it has none. */
export const tariff: Tariff = {
  billsDeletesApart: true,
  read: () => 1,
  page: (entries) => Math.max(1, entries.length),
  write: () => 1,
  delete: () => 1,
}
