import type { Tariff } from "../backend.ts"

/** Units are documents. A read, a write and a delete are 1, also if the document is absent; a page is the number of its documents, at least 1. */
export const tariff: Tariff = {
  billsDeletesApart: true,
  read: () => 1,
  page: (entries) => Math.max(1, entries.length),
  write: () => 1,
  delete: () => 1,
}
