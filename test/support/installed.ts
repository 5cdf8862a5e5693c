import { cp, mkdir, mkdtemp, realpath, rm, symlink, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { basename, dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { type Ended, ended } from "./ended.ts"
import { shared } from "./shared.ts"

const ROOT = fileURLToPath(new URL("../..", import.meta.url))
/** Folders of the checkout that no tarball holds, or that the build replaces. */
const LEFT_OUT = new Set(["node_modules", "dist", "coverage", ".git", ".kv", "bench", "test"])

/** A project with the package installed as npm would install it from its tarball. */
export interface Installed {
  readonly folder: string
  /** The files of the tarball, from the root of the package. */
  readonly files: readonly string[]
  /** Installs a package, as a link to that of another project, or of this checkout. */
  link(name: string, project?: string): Promise<void>
  /** Writes `code` into a file of the project. Resolves to its path. */
  write(name: string, code: string): Promise<string>
  /** Runs a file of the project to its end, at most for `patienceMs`. */
  run(name: string, environment?: NodeJS.ProcessEnv, patienceMs?: number): Promise<Ended>
  remove(): Promise<void>
}

/** Installs the run's build. `packages` are the other packages of the project, linked to those of this checkout. */
export async function install(packages: readonly string[]): Promise<Installed> {
  const { folder: built } = await shared("build")
  const folder = await mkdtemp(join(tmpdir(), "tiered-kv-installed-"))
  const checkout = join(folder, "checkout")
  await cp(ROOT, checkout, { recursive: true, filter: (path) => !LEFT_OUT.has(basename(path)) })
  await cp(join(built, "dist"), join(checkout, "dist"), { recursive: true })
  const files = await filesOfTarball(checkout)
  const installed = join(folder, "node_modules", "tiered-kv")
  for (const file of files) await cp(join(checkout, file), join(installed, file))
  await rm(checkout, { recursive: true })
  for (const name of packages) await link(name, folder, ROOT)
  await writeFile(join(folder, "package.json"), JSON.stringify({ private: true, type: "module" }))
  return {
    folder,
    files,
    link: (name, project = ROOT) => link(name, folder, project),
    async write(name, code) {
      const file = join(folder, name)
      await mkdir(dirname(file), { recursive: true })
      await writeFile(file, code)
      return file
    },
    run: (name, environment, patienceMs) =>
      ended(process.execPath, [join(folder, name)], folder, environment, patienceMs),
    remove: () => rm(folder, { recursive: true, force: true }),
  }
}

async function link(name: string, folder: string, project: string): Promise<void> {
  const target = join(folder, "node_modules", name)
  await rm(target, { recursive: true, force: true })
  await mkdir(dirname(target), { recursive: true })
  await symlink(await realpath(join(project, "node_modules", name)), target)
}

/** What npm puts into the tarball of a checkout. */
async function filesOfTarball(checkout: string): Promise<string[]> {
  const { stdout, stderr } = await ended("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], checkout)
  const [{ files } = { files: [] }]: { files: { path: string }[] }[] = JSON.parse(stdout || "[]")
  if (files.length === 0) throw new Error(`npm packed nothing: ${stderr}`)
  return files.map(({ path }) => path)
}
