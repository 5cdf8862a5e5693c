import { readdir, readFile } from "node:fs/promises"
import { posix } from "node:path"
import { fileURLToPath } from "node:url"
import { parseSync, Visitor } from "oxc-parser"

/** TypeScript files: path from the root of the project → text. */
export type Tree = Readonly<Record<string, string>>

/** When an import loads what it names: never, with the file itself, or when the code asks for it. */
export type ImportKind = "type" | "value" | "dynamic"

export interface Import {
  readonly from: string
  readonly line: number
  readonly kind: ImportKind
  /** A path from the root of the project, or a specifier as it stands: `node:fs`, `ioredis`. */
  readonly to: string
}

const ROOT = fileURLToPath(new URL("../..", import.meta.url))

export async function readTree(folders: readonly string[]): Promise<Tree> {
  const names = await Promise.all(
    folders.map(async (folder) => {
      const inside = await readdir(posix.join(ROOT, folder), { recursive: true })
      return inside.filter((name) => name.endsWith(".ts")).map((name) => posix.join(folder, name))
    }),
  )
  const files = names
    .flat()
    .map(async (name) => [name, await readFile(posix.join(ROOT, name), "utf8")] as const)
  return Object.fromEntries(await Promise.all(files))
}

/** Every import of every file, `export … from` and `import()` included. Throws on a file that cannot be parsed. */
export function importsOf(tree: Tree): Import[] {
  return Object.entries(tree).flatMap(([from, text]) => importsOfFile(from, text))
}

function importsOfFile(from: string, text: string): Import[] {
  const imports: Import[] = []
  const add = (kind: ImportKind, at: number, specifier: string) =>
    imports.push({ from, line: lineAt(text, at), kind, to: resolve(from, specifier) })
  const kindOf = (kind: string | null | undefined): ImportKind => (kind === "type" ? "type" : "value")

  new Visitor({
    // With `verbatimModuleSyntax`, `import { type A } from "a"` loads the module; `import type { A }` does not.
    ImportDeclaration: ({ importKind, source, start }) => add(kindOf(importKind), start, source.value),
    ExportAllDeclaration: ({ exportKind, source, start }) => add(kindOf(exportKind), start, source.value),
    ExportNamedDeclaration({ exportKind, source, start }) {
      if (source !== null) add(kindOf(exportKind), start, source.value)
    },
    TSImportType: ({ source, start }) => add("type", start, source.value),
    ImportExpression({ source, start }) {
      const specifier =
        source.type === "Literal" && typeof source.value === "string" ? source.value : undefined
      add("dynamic", start, specifier ?? text.slice(source.start, source.end))
    },
  }).visit(parse(from, text))
  return imports
}

export function parse(name: string, text: string) {
  const { program, errors } = parseSync(name, text)
  const [error] = errors
  if (error !== undefined) throw new Error(`${name} cannot be parsed: ${error.message}`)
  return program
}

export function lineAt(text: string, at: number): number {
  return text.slice(0, at).split("\n").length
}

function resolve(from: string, specifier: string): string {
  return specifier.startsWith(".") ? posix.join(posix.dirname(from), specifier) : specifier
}

/** The circles among the files, whatever the kinds of their imports: one for each set of files that reach each other. */
export function circlesIn(imports: readonly Import[]): string[] {
  const targets = new Map<string, Set<string>>()
  for (const { from, to } of imports) targets.set(from, (targets.get(from) ?? new Set()).add(to))
  const inCircles = new Set<string>()
  const circles: string[] = []
  for (const file of targets.keys()) {
    const circle = inCircles.has(file) ? undefined : shortestWay(file, file, targets)
    if (circle === undefined) continue
    circles.push(circle.join(" → "))
    for (const member of circle) inCircles.add(member)
  }
  return circles
}

function shortestWay(
  start: string,
  end: string,
  targets: ReadonlyMap<string, ReadonlySet<string>>,
): string[] | undefined {
  const cameFrom = new Map<string, string>()
  const queue = [start]
  for (const file of queue) {
    for (const next of targets.get(file) ?? []) {
      if (next === end) {
        const way = [end]
        for (let at: string | undefined = file; at !== undefined; at = cameFrom.get(at)) way.unshift(at)
        return way
      }
      if (next === start || cameFrom.has(next)) continue
      cameFrom.set(next, file)
      queue.push(next)
    }
  }
  return undefined
}

/** What loading `entry` loads before any of its code has run: its files, and the packages that they name. */
export function loadedBy(entry: string, imports: readonly Import[]): Set<string> {
  const loaded = new Set([entry])
  for (const file of loaded) {
    for (const { from, kind, to } of imports) if (from === file && kind === "value") loaded.add(to)
  }
  return loaded
}
