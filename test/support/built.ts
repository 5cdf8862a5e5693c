import { execFile } from "node:child_process"
import { copyFile, cp, mkdtemp, rm, symlink } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { type Ended, ended } from "./ended.ts"
import { shared } from "./shared.ts"

const ROOT = fileURLToPath(new URL("../..", import.meta.url))
const execute = promisify(execFile)

/** The project as `npm run build` leaves it, without its types, in a folder of its own. */
export interface Built {
  readonly folder: string
  /** Path of a built file: `src/cli/main.js`. */
  file(name: string): string
  remove(): Promise<void>
}

/** A copy of the run's build that this test file may change. */
export async function build(): Promise<Built> {
  const { folder: built } = await shared("build")
  const folder = await mkdtemp(join(tmpdir(), "tiered-kv-built-"))
  await cp(join(built, "dist"), join(folder, "dist"), { recursive: true })
  await copyManifest(folder)
  return {
    folder,
    file: (name) => join(folder, "dist", name),
    remove: () => rm(folder, { recursive: true, force: true }),
  }
}

/** Builds the project in a folder of its own, without its types. */
export async function compile(): Promise<{ folder: string; stop(): Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), "tiered-kv-build-"))
  const bundler = join(ROOT, "node_modules", "rolldown", "bin", "cli.mjs")
  await execute(process.execPath, [bundler, "-c", "-d", join(folder, "dist")], { cwd: ROOT })
  await copyManifest(folder)
  return { folder, stop: () => rm(folder, { recursive: true, force: true }) }
}

async function copyManifest(folder: string): Promise<void> {
  await symlink(join(ROOT, "node_modules"), join(folder, "node_modules"))
  await copyFile(join(ROOT, "package.json"), join(folder, "package.json"))
}

/** Runs a shell command line to its end. */
export function shell(commandLine: string, cwd: string, environment: NodeJS.ProcessEnv = {}): Promise<Ended> {
  return ended("bash", ["-o", "pipefail", "-c", commandLine], cwd, environment)
}
