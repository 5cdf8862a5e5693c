import { describe } from "../../tiers/util/checks.ts"

/** A part of a value that JSON changes. */
export interface JsonLoss {
  /** Its path in the value, as in code: `.rates[2]`; empty for the value itself. */
  readonly path: string
  readonly found: string
  readonly becomes: string
}

/** A value to check, and its path. */
interface Place {
  readonly value: unknown
  readonly parent: Place | undefined
  readonly step: string
}

/**
 * The first part of `value` that `JSON.stringify` changes without an error: NaN, an infinite number, -0, a function or a symbol, `undefined` in
 * an array, or an object whose contents it does not serialize. A property that is `undefined` is left out, and is read as `undefined`. A value
 * with a `toJSON` decides its own form and is not checked. `value` must have no cycle.
 */
export function lossInJson(value: unknown): JsonLoss | undefined {
  // Not recursive: 24 KiB of brackets nest deeper than the call stack allows.
  const pending: Place[] = [{ value, parent: undefined, step: "" }]
  for (let place = pending.pop(); place !== undefined; place = pending.pop()) {
    const value = place.value instanceof Number ? Number(place.value) : place.value
    if (typeof value === "number") {
      if (Number.isFinite(value) && !Object.is(value, -0)) continue
      return loss(place, Object.is(value, -0) ? "-0" : String(value), Object.is(value, -0) ? "0" : "null")
    }
    if (value === undefined) return loss(place, "undefined", "null")
    if (hasToJson(value)) continue
    if (typeof value === "function" || typeof value === "symbol") {
      return loss(place, `a ${typeof value}`, Array.isArray(place.parent?.value) ? "null" : "nothing")
    }
    if (typeof value !== "object" || value === null) continue
    if (isOpaque(value)) return loss(place, describe(value), "{}")
    if (Array.isArray(value)) {
      // The entries of an array include its holes.
      for (const [index, item] of value.entries()) {
        if (mayBeLost(item)) pending.push({ value: item, parent: place, step: `[${index}]` })
      }
    } else {
      for (const [name, item] of Object.entries(value)) {
        if (item !== undefined && mayBeLost(item))
          pending.push({ value: item, parent: place, step: stepTo(name) })
      }
    }
  }
  return undefined
}

const OPAQUE = [RegExp, Error, WeakMap, WeakSet, Promise, ArrayBuffer, SharedArrayBuffer]

/** Whether JSON leaves out what the object holds, as of a `Map`, of `Headers` and of any other iterable without properties. */
function isOpaque(value: object): boolean {
  if (ArrayBuffer.isView(value) || OPAQUE.some((type) => value instanceof type)) return true
  if (Array.isArray(value) || value instanceof String || !(Symbol.iterator in value)) return false
  return value instanceof Map || value instanceof Set || Object.keys(value).length === 0
}

/** Whether it is worth a look: most values are text, booleans or `null`, which JSON keeps. */
function mayBeLost(value: unknown): boolean {
  return typeof value !== "string" && typeof value !== "boolean" && value !== null
}

function hasToJson(value: unknown): boolean {
  const mayHave = (typeof value === "object" && value !== null) || typeof value === "function"
  return mayHave && "toJSON" in value && typeof value.toJSON === "function"
}

function loss(place: Place, found: string, becomes: string): JsonLoss {
  const steps: string[] = []
  for (let at: Place | undefined = place; at !== undefined; at = at.parent) steps.unshift(at.step)
  return { path: steps.join(""), found, becomes }
}

function stepTo(name: string): string {
  return /^[A-Za-z_$][\w$]*$/.test(name) ? `.${name}` : `[${JSON.stringify(name)}]`
}
