import { execFile } from "node:child_process"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { afterAll, beforeAll, expect, test } from "vitest"
import manifest from "../../package.json" with { type: "json" }
import { startRedis } from "../servers/redis.ts"
import { requireServer } from "../servers/require-server.ts"
import { type Installed, install } from "../support/installed.ts"
import { BUNDLERS, bundle, FIRESTORE, type Format } from "./bundle.ts"

const PACKAGES = [
  ...["esbuild", "rollup", "vite", "webpack"],
  ...["@rollup/plugin-commonjs", "@rollup/plugin-json", "@rollup/plugin-node-resolve"],
]

const FORMATS: readonly Format[] = ["esm", "cjs"]
const CASES = BUNDLERS.flatMap((bundler) => FORMATS.map((format) => [bundler, format] as const))

let tools: string
let project: Installed
beforeAll(async () => {
  tools = await mkdtemp(join(tmpdir(), "tiered-kv-bundlers-"))
  const options = ["--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"]
  await promisify(execFile)("npm", ["install", "--prefix", tools, ...options, ...PACKAGES])
  project = await install(Object.keys(manifest.dependencies))
  for (const name of PACKAGES) await project.link(name, tools)
})
afterAll(async () => {
  await project.remove()
  await rm(tools, { recursive: true, force: true })
})

test.each(CASES)("%s as %s, without the package of any backend", async (bundler, format) => {
  const use = await bundle(project, bundler, format)
  const [read, refused] = await use("memory:", "redis://127.0.0.1:1")
  expect(read).toBe("Alice 1")
  expect(refused).toMatch(/^DEPENDENCY_MISSING .*npm install ioredis/)
})

await requireServer("redis", startRedis, ({ url }) => {
  beforeAll(async () => {
    for (const name of Object.keys({ ...manifest.optionalDependencies, ...manifest.peerDependencies }))
      await project.link(name)
  })

  test.each(CASES)("%s as %s, with the packages of all backends", async (bundler, format) => {
    const use = await bundle(project, bundler, format)
    const stores = ["memory:", `lmdb:${bundler}-${format}`, `${url}?prefix=${bundler}-${format}:`, FIRESTORE]
    expect(await use(...stores)).toEqual(["Alice 1", "Alice 1", "Alice 1", "open"])
  })
})
