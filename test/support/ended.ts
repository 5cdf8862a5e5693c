import { spawn } from "node:child_process"

export interface Ended {
  code: number | null
  signal: NodeJS.Signals | null
  stdout: string
  stderr: string
}

/** Less than the time that a test may take, ms. */
const PATIENCE_MS = 25_000

/** Runs a program to its end. One that is still running after `patienceMs` is killed: its `signal` is then "SIGKILL". */
export function ended(
  program: string,
  args: readonly string[],
  cwd: string,
  environment: NodeJS.ProcessEnv = {},
  patienceMs = PATIENCE_MS,
): Promise<Ended> {
  const child = spawn(program, args, {
    cwd,
    env: { ...process.env, ...environment },
    stdio: ["ignore", "pipe", "pipe"],
    timeout: patienceMs,
    killSignal: "SIGKILL",
  })
  const ended: Ended = { code: null, signal: null, stdout: "", stderr: "" }
  child.stdout.on("data", (chunk) => (ended.stdout += chunk))
  child.stderr.on("data", (chunk) => (ended.stderr += chunk))
  return new Promise((resolve, reject) => {
    child.on("error", reject).on("close", (code, signal) => resolve({ ...ended, code, signal }))
  })
}
