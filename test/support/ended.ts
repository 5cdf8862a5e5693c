import { spawn } from "node:child_process"

export interface Ended {
  code: number | null
  signal: NodeJS.Signals | null
  stdout: string
  stderr: string
}

/** Runs a program to its end. One that is still running after 25 s is killed: its `signal` is then "SIGKILL". */
export function ended(
  program: string,
  args: readonly string[],
  cwd: string,
  environment: NodeJS.ProcessEnv = {},
): Promise<Ended> {
  const child = spawn(program, args, {
    cwd,
    env: { ...process.env, ...environment },
    stdio: ["ignore", "pipe", "pipe"],
    timeout: PATIENCE_MS,
    killSignal: "SIGKILL",
  })
  const ended: Ended = { code: null, signal: null, stdout: "", stderr: "" }
  child.stdout.on("data", (chunk) => (ended.stdout += chunk))
  child.stderr.on("data", (chunk) => (ended.stderr += chunk))
  return new Promise((resolve, reject) => {
    child.on("error", reject).on("close", (code, signal) => resolve({ ...ended, code, signal }))
  })
}

/** Less than the time that a test may take. */
const PATIENCE_MS = 25_000
