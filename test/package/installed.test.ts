import { cp, readdir, readFile, realpath, rm } from "node:fs/promises"
import { join, posix } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import manifest from "../../package.json" with { type: "json" }
import { bundle, FIRESTORE, type Format } from "../bundlers/bundle.ts"
import type { Ended } from "../support/ended.ts"
import { type Installed, install } from "../support/installed.ts"

const ROOT = fileURLToPath(new URL("../..", import.meta.url))

let project: Installed
beforeAll(async () => {
  project = await install([...Object.keys(manifest.dependencies), "esbuild"])
})
afterAll(() => project.remove())

/** Opens the stores that are named, and reports how each ended. */
const OPEN = `
  import { kv } from "tiered-kv"
  const report = []
  for (const [name, options] of JSON.parse(process.env.STORES)) {
    const opened = kv(name, options).then(
      (store) => store.close().then(() => ({ code: "open" })),
      ({ code, retryable, message, cause }) => ({ code, retryable, message, cause: cause?.message }),
    )
    report.push(await opened)
  }
  console.log(JSON.stringify(report))
`

interface Report {
  code: string
  retryable?: boolean
  message?: string
  cause?: string
}

async function open(stores: readonly [name: string, options?: object][]): Promise<Report[]> {
  await project.write("open.js", OPEN)
  const { code, stdout, stderr } = await project.run("open.js", { STORES: JSON.stringify(stores) })
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" })
  return JSON.parse(stdout)
}

test("no package that has to be installed has native code or a script: LMDB is optional", () => {
  expect(Object.keys(manifest.dependencies)).not.toContain("lmdb")
  expect(Object.keys(manifest.optionalDependencies)).toEqual(["lmdb"])
})

test("without the packages of the backends, opening names what to install; memory needs none", async () => {
  const backends = [
    ["dynamodb://eu-west-1/cache", "@aws-sdk/client-dynamodb"],
    ["firestore://project/(default)/cache", "@google-cloud/firestore"],
    ["azure-tables://account/cache", "@azure/data-tables"],
    ["redis://127.0.0.1:1", "ioredis"],
    ["lmdb:store", "lmdb"],
  ] as const
  const reports = await open([
    ["memory", { backend: "memory:" }],
    ...backends.map(([backend], at) => [`a${at}`, { backend }] as [string, object]),
  ])
  expect(reports[0]).toEqual({ code: "open" })
  for (const [at, [, name]] of backends.entries()) {
    const report = reports[at + 1]
    expect(report, name).toMatchObject({ code: "DEPENDENCY_MISSING", retryable: false })
    expect(report?.message).toContain(`needs the package ${name}: npm install ${name}`)
  }
})

test("without lmdb, the default backend says what to install, and makes no directory", async () => {
  const [report] = await open([["cache"]])
  expect(report).toMatchObject({ code: "DEPENDENCY_MISSING", retryable: false })
  expect(report?.message).toContain("npm install lmdb")
  expect(await readdir(project.folder)).not.toContain(".kv")
})

test("with an lmdb that lacks its native part, opening says so and cannot be tried again", async () => {
  // A copy, because a link would find the native part beside the original.
  const original = await realpath(join(ROOT, "node_modules/lmdb"))
  await cp(original, join(project.folder, "node_modules/lmdb"), { recursive: true })
  const { dependencies } = JSON.parse(await readFile(join(original, "package.json"), "utf8"))
  for (const name of Object.keys(dependencies)) await project.link(name)
  const [report] = await open([["cache"]])
  expect(report).toMatchObject({ code: "DEPENDENCY_MISSING", retryable: false })
  expect(report?.message).toContain("npm install lmdb")
  expect(report?.cause).toContain("No native build was found")
})

test("every link of the README, and every link of its pages to a page, leads to a file of the tarball", async () => {
  const pages = project.files.filter((file) => file === "README.md" || /^docs\/.*\.md$/.test(file))
  const broken: string[] = []
  for (const page of pages) {
    const text = await readFile(join(project.folder, "node_modules/tiered-kv", page), "utf8")
    for (const [, link = ""] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      const [path = ""] = link.split("#")
      if (path === "" || /^https?:/.test(path)) continue
      if (page !== "README.md" && !path.endsWith(".md")) continue
      if (!project.files.includes(posix.join(posix.dirname(page), path))) broken.push(`${page}: ${link}`)
    }
  }
  expect(pages).toContain("docs/platforms.md")
  expect(broken).toEqual([])
})

test("the tarball has no source map, because it has no sources", async () => {
  expect(project.files.filter((file) => file.endsWith(".map"))).toEqual([])
  const main = await readFile(join(project.folder, "node_modules/tiered-kv/dist/src/index.js"), "utf8")
  expect(main).not.toContain("sourceMappingURL")
})

describe("the service of the README", () => {
  /** Its code in a process with a server of its own, which would keep the process alive. */
  async function service(script: string): Promise<Ended> {
    const readme = await readFile(join(project.folder, "node_modules/tiered-kv/README.md"), "utf8")
    const [, code = ""] = /## In a service\n\n```ts\n([\s\S]*?)```/.exec(readme) ?? []
    expect(code).toContain("SIGTERM")
    const server = 'import { createServer } from "node:http"; createServer().listen(0, "127.0.0.1")\n'
    await project.write("service.ts", `${server}${code}\n${script}`)
    const { build } = await import("esbuild")
    const entry = {
      entryPoints: [join(project.folder, "service.ts")],
      outfile: join(project.folder, "service.js"),
    }
    await build({ ...entry, bundle: false, format: "esm", logLevel: "silent" })
    return project.run("service.js", { KV_SESSIONS_URL: "memory:" })
  }

  test("ends at SIGTERM, though its server listens", async () => {
    expect(await service('process.kill(process.pid, "SIGTERM")')).toMatchObject({ code: 0, signal: null })
  })

  test("runs work once, and again if it failed", async () => {
    const { stdout } = await service(`
      const outcome = (id, work) => once(id, work).then(() => "done", (error) => error.message)
      const work = async () => console.log("worked")
      console.log(await outcome("a", async () => { throw new Error("failed") }))
      await Promise.all([outcome("a", work), outcome("a", work)])
      process.exit()
    `)
    expect(stdout).toBe("failed\nworked\n")
  })
})

/** The short form of `npm run bundlers`, which runs every bundler. */
describe("an application that esbuild bundles with the configuration of the docs", () => {
  const BUNDLING_MS = 120_000
  const missing = (name: string) =>
    expect.stringMatching(`^DEPENDENCY_MISSING .* the package ${name}: npm install ${name}`)

  test("needs no package of a backend, and names the one that a store lacks", {
    timeout: BUNDLING_MS,
  }, async () => {
    await rm(join(project.folder, "node_modules/lmdb"), { recursive: true })
    const use = await bundle(project, "esbuild", "esm")
    expect(await use("memory:", "redis://127.0.0.1:1", "lmdb:store", FIRESTORE)).toEqual([
      "Alice 1",
      missing("ioredis"),
      missing("lmdb"),
      missing("@google-cloud/firestore"),
    ])
  })

  test.each<Format>(["esm", "cjs"])(
    "as %s, reads from LMDB, opens Firestore and loads the client of Redis",
    { timeout: BUNDLING_MS },
    async (format) => {
      for (const name of Object.keys({ ...manifest.optionalDependencies, ...manifest.peerDependencies }))
        await project.link(name)
      const use = await bundle(project, "esbuild", format)
      expect(await use("memory:", `lmdb:store-${format}`, FIRESTORE, "redis://127.0.0.1:1")).toEqual([
        "Alice 1",
        "Alice 1",
        "open",
        expect.stringMatching(/^UNAVAILABLE /),
      ])
    },
  )
})
