import { randomUUID } from "node:crypto"
import { hostname } from "node:os"
import { snapshotAll } from "../../src/open-stores.ts"
import type { AnsweringProcess } from "./report.ts"

const PROCESS_ID = randomUUID()

/** The report of this process. `name` defaults to its host's name and its process id. */
export function ownReport(name = `${hostname()} ${process.pid}`): AnsweringProcess {
  return { id: PROCESS_ID, name, uptimeMs: performance.now(), stores: snapshotAll() }
}
