import { mkdir, mkdtemp, readFile, symlink, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import manifest from "../../package.json" with { type: "json" }

const ROOT = fileURLToPath(new URL("../..", import.meta.url))
const PAGE = join(ROOT, "docs/writing-a-backend.md")

/** The name of a file behind the language of a code block. Blocks with the same name are parts of one file, in order. */
const BLOCK = /^ *```ts ([\w.-]+)\n(.*?)^ *```$/gms

/** The files that the page on writing a backend shows, by name. */
async function documentedFiles(): Promise<ReadonlyMap<string, string>> {
  const files = new Map<string, string>()
  for (const [, name = "", code = ""] of (await readFile(PAGE, "utf8")).matchAll(BLOCK)) {
    const before = files.get(name)
    files.set(name, before === undefined ? code : `${before}\n${code}`)
  }
  return files
}

/** Writes the files of the page into a folder of their own, where the package's public entry points are its source. */
export async function writeDocumentedFiles(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "tiered-kv-documented-"))
  await symlink(join(ROOT, "node_modules"), join(folder, "node_modules"))
  await mkdir(join(folder, "files"))
  for (const [name, code] of await documentedFiles()) {
    await writeFile(join(folder, "files", name), code.replaceAll(/"tiered-kv([\w/-]*)"/g, sourceOf))
  }
  await writeFile(join(folder, "package.json"), JSON.stringify({ type: "module" }))
  // The option is about what would be emitted.
  const compilerOptions = { rewriteRelativeImportExtensions: false }
  const tsconfig = { extends: join(ROOT, "tsconfig.json"), compilerOptions, include: ["files"], exclude: [] }
  await writeFile(join(folder, "tsconfig.json"), JSON.stringify(tsconfig))
  return folder
}

function sourceOf(specifier: string, subpath: string): string {
  const entry = Object.entries(manifest.exports).find(([name]) => name === `.${subpath}`)?.[1]
  if (typeof entry !== "object") throw new Error(`the package exports no ${specifier}`)
  return JSON.stringify(join(ROOT, entry.default.replace(/^\.\/dist\//, "").replace(/\.js$/, ".ts")))
}
