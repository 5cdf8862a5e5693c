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
 * The first part of `value` that `JSON.stringify` changes without an error: NaN, an infinite number, -0, or an object whose contents
 * it does not serialize. A value with a `toJSON` decides its own form and is not checked. `value` must have no cycle.
 */
export function lossInJson(value: unknown): JsonLoss | undefined {
  // Not recursive: 24 KiB of brackets nest deeper than the call stack allows.
  const pending: Place[] = [{ value, parent: undefined, step: "" }]
  for (let place = pending.pop(); place !== undefined; place = pending.pop()) {
    const { value } = place
    if (typeof value === "number") {
      if (Number.isFinite(value) && !Object.is(value, -0)) continue
      return loss(place, Object.is(value, -0) ? "-0" : String(value), Object.is(value, -0) ? "0" : "null")
    }
    if (typeof value !== "object" || value === null || hasToJson(value)) continue
    const opaque = OPAQUE.find((type) => value instanceof type)
    if (opaque !== undefined || ArrayBuffer.isView(value)) {
      return loss(place, `an object (${value.constructor.name})`, "{}")
    }
    if (Array.isArray(value)) {
      for (const [index, item] of value.entries()) pushIfAny(pending, item, place, `[${index}]`)
    } else {
      for (const [name, item] of Object.entries(value)) pushIfAny(pending, item, place, stepTo(name))
    }
  }
  return undefined
}

const OPAQUE = [RegExp, Error, Map, Set, WeakMap, WeakSet, Promise, ArrayBuffer, SharedArrayBuffer]

function pushIfAny(pending: Place[], value: unknown, parent: Place, step: string): void {
  if (typeof value === "number" || (typeof value === "object" && value !== null)) {
    pending.push({ value, parent, step })
  }
}

function hasToJson(value: object): boolean {
  return "toJSON" in value && typeof value.toJSON === "function"
}

function loss(place: Place, found: string, becomes: string): JsonLoss {
  const steps: string[] = []
  for (let at: Place | undefined = place; at !== undefined; at = at.parent) steps.unshift(at.step)
  return { path: steps.join(""), found, becomes }
}

function stepTo(name: string): string {
  return /^[A-Za-z_$][\w$]*$/.test(name) ? `.${name}` : `[${JSON.stringify(name)}]`
}
