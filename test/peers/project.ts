import { execFile } from "node:child_process"
import { existsSync } from "node:fs"
import { cp, mkdir, mkdtemp, readdir, readFile, realpath, rm, symlink, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { basename, join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import manifest from "../../package.json" with { type: "json" }
import type { Releases } from "./floors.ts"

const ROOT = fileURLToPath(new URL("../..", import.meta.url))
/** Folders that are not copied: installed packages, results of builds, data. */
const LEFT_OUT = new Set(["node_modules", "dist", "coverage", ".git", ".kv"])

const execute = promisify(execFile)

/** A copy of the project over given releases of its peers. */
export interface Project {
  /** The installed release. */
  releaseOf(peer: string): Promise<string>
  /**
   * Compiles `consumer.ts` against the package as it is published, that is built over the SDKs of the project. Rejects with what the
   * compiler says.
   */
  compile(): Promise<void>
  /** Loads a peer. Rejects if that fails. */
  load(peer: string): Promise<void>
  /** Runs the tests in a folder. */
  test(folder: string): Promise<Tests>
  remove(): Promise<void>
}

export interface Tests {
  passed: number
  skipped: string[]
  failed: string[]
  /** What the run printed. */
  output: string
}

/**
 * Installs the releases with npm, beside the dependencies that every user has, into a copy of the project. The tools of the project, and
 * the peers without a release given, are those of the project itself.
 */
export async function projectWith(releases: Releases): Promise<Project> {
  const folder = await mkdtemp(join(tmpdir(), "tiered-kv-peers-"))
  /** Runs a tool of the project. Resolves to what it printed; rejects with that if the tool fails. */
  const run = async (cwd: string, script: string, args: readonly string[]): Promise<string> => {
    const { NODE_ENV: _, ...env } = process.env
    const tool = [join(cwd, "node_modules", script), ...args]
    try {
      return (await execute(process.execPath, tool, { cwd, env, maxBuffer: 2 ** 26 })).stdout
    } catch (cause) {
      const { stdout, stderr }: { stdout?: string; stderr?: string } = Object(cause)
      throw new Error(`${stdout}\n${stderr}`, { cause })
    }
  }

  await writeFile(
    join(folder, "package.json"),
    JSON.stringify({ private: true, dependencies: { ...manifest.dependencies, ...releases } }),
  )
  await execute("npm", ["install", "--no-audit", "--no-fund", "--no-package-lock"], { cwd: folder })
  await link(await realpath(join(ROOT, "node_modules")), join(folder, "node_modules"))
  await cp(ROOT, folder, { recursive: true, filter: (path) => !LEFT_OUT.has(basename(path)) })

  return {
    async releaseOf(peer) {
      return JSON.parse(await readFile(join(folder, "node_modules", peer, "package.json"), "utf8")).version
    },
    async compile() {
      const consumer = join(folder, "consumer")
      const source = await readFile(join(ROOT, "test/peers/consumer.ts"), "utf8")
      await mkdir(consumer)
      await writeFile(
        join(consumer, "index.ts"),
        source
          .replaceAll(/"\.\.\/\.\.\/tiers\/([\w-]+)\/backend\.ts"/g, '"tiered-kv/$1"')
          .replaceAll('"../../tiers/backend.ts"', '"tiered-kv/backend"'),
      )
      // The types of some SDKs do not pass the check themselves.
      const compilerOptions = {
        target: "ES2022",
        module: "NodeNext",
        strict: true,
        noEmit: true,
        skipLibCheck: true,
      }
      await writeFile(
        join(consumer, "tsconfig.json"),
        JSON.stringify({ compilerOptions: { ...compilerOptions, types: ["node"], skipLibCheck: true } }),
      )
      const dist = join(folder, "dist")
      await run(ROOT, "typescript/bin/tsc", ["-p", "tsconfig.build.json", "--outDir", dist])
      await run(folder, "typescript/bin/tsc", ["-p", "consumer"])
    },
    async load(peer) {
      await execute(process.execPath, ["-e", `import(${JSON.stringify(peer)})`], { cwd: folder })
    },
    async test(tests) {
      const file = join(folder, "tests.json")
      const args = ["run", tests, "--reporter=default", "--reporter=json", `--outputFile=${file}`]
      const output = await run(folder, "vitest/vitest.mjs", args).catch((error: Error) => error.message)
      return { ...(await resultsIn(file, output)), output }
    },
    remove: () => rm(folder, { recursive: true, force: true }),
  }
}

/** Links the packages that `to` does not have, those of a scope one by one. */
async function link(from: string, to: string): Promise<void> {
  for (const name of await readdir(from)) {
    if (!existsSync(join(to, name))) await symlink(join(from, name), join(to, name))
    else if (name.startsWith("@") || name === ".bin") await link(join(from, name), join(to, name))
  }
}

async function resultsIn(file: string, output: string): Promise<Omit<Tests, "output">> {
  if (!existsSync(file)) throw new Error(`the tests did not run:\n${output}`)
  const { testResults }: { testResults: VitestFile[] } = JSON.parse(await readFile(file, "utf8"))
  const tests = testResults.flatMap(({ assertionResults }) => assertionResults)
  const named = (status: string) =>
    tests.filter((test) => test.status === status).map(({ fullName }) => fullName)
  // A file that cannot be loaded has no tests.
  const broken = testResults.filter(
    ({ status, assertionResults }) => status === "failed" && assertionResults.length === 0,
  )
  return {
    passed: named("passed").length,
    skipped: [...named("skipped"), ...named("pending")],
    failed: [...named("failed"), ...broken.map(({ name }) => name)],
  }
}

/** What is used of a file in the report of vitest. */
interface VitestFile {
  name: string
  status: string
  assertionResults: { fullName: string; status: string }[]
}
