import type { Import, ImportKind, Tree } from "./imports.ts"

/** What the files of one place may import. `node:` is open to all. */
export interface Room {
  /** Folders, each with a slash at its end, and files. A file belongs to the first room that names it. */
  readonly files: readonly string[]
  /** Folders, files and packages that may be loaded with the file. They may be imported in the other ways, too. */
  readonly values?: readonly string[]
  /** What may be loaded by `import()` alone. It may be imported as a type, too. */
  readonly dynamic?: readonly string[]
  /** What may be imported as a type alone. */
  readonly types?: readonly string[]
}

/** The imports that no room allows, and the files that are in none; a line of text for each. */
export function brokenRules(tree: Tree, imports: readonly Import[], rooms: readonly Room[]): string[] {
  const roomOf = (file: string) => rooms.find(({ files }) => covers(files, file))
  const homeless = Object.keys(tree).filter((file) => roomOf(file) === undefined)
  const stray = imports.filter(({ from, kind, to }) => {
    const room = roomOf(from)
    return room !== undefined && !to.startsWith("node:") && !covers(allowed(room, kind), to)
  })
  return [
    ...homeless.map((file) => `${file} is in no room`),
    ...stray.map(({ from, line, kind, to }) => `${from}:${line} ${WORDS[kind]} ${to}`),
  ]
}

const WORDS: Readonly<Record<ImportKind, string>> = {
  type: "imports a type from",
  value: "imports",
  dynamic: "loads by import()",
}

function allowed({ values = [], dynamic = [], types = [] }: Room, kind: ImportKind): readonly string[] {
  if (kind === "value") return values
  return kind === "dynamic" ? [...values, ...dynamic] : [...values, ...dynamic, ...types]
}

function covers(places: readonly string[], path: string): boolean {
  return places.some((place) => (place.endsWith("/") ? path.startsWith(place) : path === place))
}
