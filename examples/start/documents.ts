import { isUtf8 } from "node:buffer"
import { existsSync } from "node:fs"
import { readdir, readFile } from "node:fs/promises"
import { dirname, extname, join, relative, sep } from "node:path"
import { fileURLToPath } from "node:url"

/** A file of an installed package. */
export interface Document {
  /** Its package and path, in the characters that a key may have. */
  readonly key: string
  readonly path: string
  readonly bytes: Uint8Array
  /** Absent if the bytes are not UTF-8. */
  readonly text: string | undefined
  /** The parsed content, if the file is JSON. */
  readonly json: unknown
}

export interface Package {
  readonly name: string
  readonly version: string
  readonly documents: readonly Document[]
}

/** Dependencies of this project that ship many readable files of many sizes. */
const PACKAGES = ["typescript", "@types/node", "@opentelemetry/api", "lmdb", "lru-cache", "commander"]
const EXTENSIONS = new Set([
  ".ts",
  ".cts",
  ".mts",
  ".js",
  ".cjs",
  ".mjs",
  ".json",
  ".md",
  ".txt",
  ".c",
  ".h",
  ".cpp",
])

/** The readable files of those of the packages that are installed. */
export async function installedPackages(): Promise<Package[]> {
  const packages: Package[] = []
  for (const name of PACKAGES) {
    const folder = findPackage(name)
    if (folder === undefined) continue
    const documents: Document[] = []
    for await (const path of filesIn(folder)) documents.push(await readDocument(name, folder, path))
    packages.push({ name, version: await versionOf(folder), documents })
  }
  return packages
}

/** Package and path, parts divided by colons: `@types/node`, `fs/promises.d.ts` → `types:node:fs:promises.d.ts`. */
export function keyOf(packageName: string, path: string): string {
  return `${packageName}/${path}`
    .replace(/^@/, "")
    .replaceAll("/", ":")
    .replace(/[^A-Za-z0-9\-_:.]/g, "-")
}

async function readDocument(packageName: string, folder: string, path: string): Promise<Document> {
  const bytes = await readFile(path)
  const text = isUtf8(bytes) ? bytes.toString("utf8") : undefined
  return {
    key: keyOf(packageName, relative(folder, path).split(sep).join("/")),
    path,
    bytes,
    text,
    json: extname(path) === ".json" && text !== undefined ? parseOrNothing(text) : undefined,
  }
}

/** A `.json` file with comments, such as a tsconfig, is treated as text. */
function parseOrNothing(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** The files of a package, without those of packages nested in it, in a stable order. */
async function* filesIn(folder: string): AsyncGenerator<string> {
  const entries = await readdir(folder, { withFileTypes: true })
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = join(folder, entry.name)
    if (entry.isDirectory() && entry.name !== "node_modules") yield* filesIn(path)
    else if (entry.isFile() && EXTENSIONS.has(extname(entry.name))) yield path
  }
}

function findPackage(name: string): string | undefined {
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    const candidate = join(folder, "node_modules", name)
    if (existsSync(join(candidate, "package.json"))) return candidate
    if (folder === dirname(folder)) return undefined
  }
}

async function versionOf(folder: string): Promise<string> {
  const manifest: unknown = JSON.parse(await readFile(join(folder, "package.json"), "utf8"))
  return typeof manifest === "object" && manifest !== null && "version" in manifest
    ? String(manifest.version)
    : "?"
}
