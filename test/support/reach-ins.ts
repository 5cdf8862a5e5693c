import { Visitor } from "oxc-parser"
import { type Import, lineAt, parse, type Tree } from "./imports.ts"

/** A place where a file uses what a package does not publish, as far as the text of the file shows it. */
export interface ReachIn {
  readonly file: string
  readonly line: number
  /** The code: `createRequire`, `Symbol.for("a")`, `client._socket`, `ioredis/built/Redis.js`. */
  readonly what: string
}

/** Functions that give access to private state or private modules of a package. */
const FUNCTIONS = ["createRequire", "createContextKey", "Symbol.for", "Object.getOwnPropertySymbols"]

export function reachInsOf(tree: Tree, imports: readonly Import[]): ReachIn[] {
  const deep = imports
    .filter(({ to }) => isInsidePackage(to))
    .map(({ from, line, to }) => ({ file: from, line, what: to }))
  return [...deep, ...Object.entries(tree).flatMap(([file, text]) => reachInsOfFile(file, text))]
}

/** Whether it names a file of a package and not the package: a path behind its name, or one that leaves the project. */
function isInsidePackage(specifier: string): boolean {
  if (specifier.startsWith("node:")) return false
  if (specifier.startsWith("../") || specifier.includes("node_modules/")) return true
  return !specifier.endsWith(".ts") && specifier.split("/").length > (specifier.startsWith("@") ? 2 : 1)
}

function reachInsOfFile(file: string, text: string): ReachIn[] {
  const found: ReachIn[] = []
  const add = ({ start, end }: { start: number; end: number }) =>
    found.push({ file, line: lineAt(text, start), what: text.slice(start, end) })

  new Visitor({
    CallExpression(call) {
      const name = text.slice(call.callee.start, call.callee.end)
      const called = call.callee.type === "MemberExpression" ? call.callee.property : call.callee
      if (/(^|\.)createRequire$/.test(name)) add(called)
      else if (FUNCTIONS.includes(name)) add(call)
    },
    MemberExpression(member) {
      const { object, property } = member
      if (object.type === "ThisExpression") return
      if (property.type === "Identifier" && !member.computed && isPrivate(property.name)) add(member)
      if (property.type === "Literal" && isPrivate(property.value)) add(member)
    },
    ObjectPattern({ properties }) {
      for (const property of properties) {
        if (property.type !== "Property" || property.computed) continue
        if (property.key.type === "Identifier" && isPrivate(property.key.name)) add(property)
      }
    },
    BinaryExpression({ operator, left }) {
      if (operator === "in" && left.type === "Literal" && isPrivate(left.value)) add(left)
    },
  }).visit(parse(file, text))
  return found
}

/** By the custom of those who write JavaScript. */
function isPrivate(name: unknown): boolean {
  return typeof name === "string" && name.startsWith("_")
}
