import { appendFileSync } from "node:fs"

/** One line of the table that ends a run: which backend was tested against what. */
export interface ServerReport {
  backend: string
  server: string
  version?: string
  /** Why it was not tested, or anything else that the reader of the table should know. */
  note?: string
}

/** Names the file that collects the lines; `table.ts` sets it before the workers start. */
export const TABLE_FILE = "TIERED_KV_TEST_SERVERS"

/** Adds a line to that table. `requireServer` does it; the tests of a backend without a server call it themselves. */
export function reportServer(report: ServerReport): void {
  const file = process.env[TABLE_FILE]
  if (file !== undefined) appendFileSync(file, `${JSON.stringify(report)}\n`)
}
