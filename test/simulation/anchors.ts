import { Visitor } from "oxc-parser"
import { parse, type Tree } from "../support/imports.ts"

/**
 * A place in the source: a method, `CachedReads.#fly`, or a function, `judge`, and code that it has in it exactly once. White space does not matter.
 * `$name` stands for any name or path, `flight` or `this.#flights`; the same one wherever it comes again.
 */
export type Anchor = readonly [method: string, code: string]

/** An anchor where it was found. */
export interface Found {
  readonly file: string
  readonly start: number
  readonly end: number
  /** What each `$name` stands for. */
  readonly names: Readonly<Record<string, string>>
}

/** Throws if the place is not there, or there more than once. */
export function find([method, code]: Anchor, tree: Tree): Found {
  const bodies = Object.entries(tree).flatMap(([file, text]) =>
    methodsOf(file, text).flatMap(({ name, start, end }) =>
      name === method ? { file, text, start, end } : [],
    ),
  )
  const [body] = bodies
  if (body === undefined || bodies.length > 1) throw stale(`there are ${bodies.length} methods ${method}`)
  const { file, text, start, end } = body
  const matches = [...text.slice(start, end).matchAll(patternOf(code))]
  const [match] = matches
  if (match === undefined || matches.length > 1)
    throw stale(`${method} in ${file} has this code ${matches.length} times: ${code}`)
  const at = start + match.index
  return { file, start: at, end: at + match[0].length, names: { ...match.groups } }
}

function stale(what: string): Error {
  return new Error(`stale anchor: ${what}`)
}

/** The text of `found`'s file with `becomes` in its place; each `$name` is what it stands for there. */
export function replaced(text: string, edits: readonly (readonly [found: Found, becomes: string])[]): string {
  const fromTheEnd = edits.toSorted(([a], [b]) => b.start - a.start)
  let result = text
  let before = text.length
  for (const [{ start, end, names }, becomes] of fromTheEnd) {
    if (end > before) throw new Error("two edits of one mutant overlap")
    const code = becomes.replaceAll(/\$(\w+)/g, (whole, name: string) => names[name] ?? whole)
    result = result.slice(0, start) + code + result.slice(end)
    before = start
  }
  return result
}

interface Method {
  /** Of its class and its own, `CachedReads.#fly`; of a function its own, `judge`. */
  readonly name: string
  readonly start: number
  readonly end: number
}

function methodsOf(file: string, text: string): Method[] {
  const methods: Method[] = []
  new Visitor({
    FunctionDeclaration({ id, start, end }) {
      if (id !== null) methods.push({ name: id.name, start, end })
    },
    ClassDeclaration({ id, body }) {
      for (const member of body.body) {
        if (member.type !== "MethodDefinition") continue
        const { key, start, end } = member
        methods.push({ name: `${id?.name}.${text.slice(key.start, key.end)}`, start, end })
      }
    },
  }).visit(parse(file, text))
  return methods
}

/** Tokens of a pattern: a `$name`, a word, or a character of punctuation. */
const TOKEN = /\$?[\w#]+|[^\s\w#$]/g

function patternOf(code: string): RegExp {
  const known = new Set<string>()
  const tokens = (code.match(TOKEN) ?? []).map((token) => {
    if (/^[\w#]/.test(token)) return whole(token)
    if (!token.startsWith("$")) return `\\${token}`
    const name = token.slice(1)
    if (known.has(name)) return whole(`\\k<${name}>`)
    known.add(name)
    return whole(`(?<${name}>[\\w#]+(?:\\??\\.[\\w#]+)*)`)
  })
  return new RegExp(tokens.join("\\s*"), "g")
}

function whole(word: string): string {
  return `(?<![\\w#])${word}(?![\\w#])`
}
