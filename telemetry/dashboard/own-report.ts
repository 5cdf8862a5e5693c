import { randomUUID } from "node:crypto"
import { hostname } from "node:os"
import type { Recorder } from "./recorder.ts"
import type { AnsweringProcess } from "./report.ts"

const PROCESS_ID = randomUUID()

/** The report of this process, with the last `steps` points. `name` defaults to its host's name and its process id. */
export function ownReport(
  recorder: Recorder,
  steps: number,
  name = `${hostname()} ${process.pid}`,
): AnsweringProcess {
  const stores = recorder.report(steps)
  return { id: PROCESS_ID, name, uptimeMs: performance.now(), at: Date.now(), step: recorder.step, stores }
}
