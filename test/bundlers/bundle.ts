import { readFile, rm } from "node:fs/promises"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import type { Installed } from "../support/installed.ts"

export type Format = "esm" | "cjs"

/**
 * The program that is bundled. Prints a line for each store of `STORES`: the value that it wrote and read twice, and how often L1 answered;
 * for a store of Firestore, which has no server here, that it opened.
 */
const APP = `
  import { kv } from "tiered-kv"

  async function use(backend) {
    const store = await kv("cache", { backend })
    if (backend.startsWith("firestore:")) return "open"
    await store.set("user:1", { name: "Alice" })
    await store.getJson("user:1")
    const user = await store.getJson("user:1")
    return user.name + " " + store.stats().l1.hits
  }

  async function main() {
    for (const backend of process.env.STORES.split(" "))
      console.log(await use(backend).catch((error) => error.code + " " + error.message))
    process.exit()
  }

  main()
`

/** A store of Firestore at a port where nothing listens. */
export const FIRESTORE = "firestore://project/(default)/cache?endpoint=127.0.0.1:1"

const PAGE = fileURLToPath(new URL("../../docs/bundling.md", import.meta.url))

/** The configuration of a bundler on the page in the docs. */
async function configurationOf(bundler: string, format: Format): Promise<string> {
  const page = await readFile(PAGE, "utf8")
  const block = new RegExp(`^\`\`\`js ${bundler} ${format}\n([^]*?)^\`\`\``, "m").exec(page)
  if (block?.[1] === undefined) throw new Error(`the page has no configuration of ${bundler}, ${format}`)
  return block[1]
}

/** How each bundler is run over its configuration, `config.mjs`. */
const RUNS: Readonly<Record<string, string>> = {
  esbuild: `await import("./config.mjs")`,
  vite: `import { build } from "vite"
    await build({ configFile: "config.mjs", logLevel: "error" })`,
  rollup: `import { rollup } from "rollup"
    import config from "./config.mjs"
    const bundle = await rollup({ ...config, onwarn() {} })
    await bundle.write(config.output)`,
  webpack: `import { promisify } from "node:util"
    import webpack from "webpack"
    import config from "./config.mjs"
    const compiler = webpack(config)
    const stats = await promisify(compiler.run.bind(compiler))()
    if (stats.hasErrors()) throw new Error(stats.toString({ all: false, errors: true }))`,
}

export const BUNDLERS = Object.keys(RUNS)

/** A bundle of the program. Resolves to the lines that it prints for these stores. */
export type Bundle = (...stores: readonly string[]) => Promise<string[]>

/** webpack takes a minute on a machine that has nothing else to do. */
const PATIENCE_MS = 400_000

/** Bundles the program in the project. */
export async function bundle(project: Installed, bundler: string, format: Format): Promise<Bundle> {
  const run = async (file: string, environment: NodeJS.ProcessEnv) => {
    const { code, stdout, stderr } = await project.run(file, environment, PATIENCE_MS)
    if (code !== 0) throw new Error(`${file} of ${bundler}, ${format}, failed: ${stdout}${stderr}`)
    return stdout
  }
  const folder = join(project.folder, "dist")
  await rm(folder, { recursive: true, force: true })
  await project.write("app.js", APP)
  await project.write("config.mjs", await configurationOf(bundler, format))
  await project.write("build.mjs", RUNS[bundler] ?? "")
  await run("build.mjs", { NODE_ENV: "production" })
  const file = join("dist", format === "esm" ? "app.mjs" : "app.cjs")
  return async (...stores) => (await run(file, { STORES: stores.join(" ") })).trimEnd().split("\n")
}
