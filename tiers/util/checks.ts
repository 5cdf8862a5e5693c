import { KvError } from "../errors.ts"

/** Throws unless `value` is legal. `operation` is the call with the option, for the error. */
export type Check = (value: unknown, operation: string) => void

/** Option name → the check of its value. */
export type Checks = Readonly<Record<string, Check>>

/** Throws unless every given option is listed in `checks` and has a legal value: `INVALID_OPTION`, or the error of a check. */
export function checkOptions(options: unknown, checks: Checks, operation: string): void {
  if (options === undefined) return
  if (!isObject(options)) throw invalidOption(`Options are an object; got ${describe(options)}`, operation)
  // Inherited options count too: reading `options.name` does not distinguish them.
  for (const name in options) {
    const check = Object.hasOwn(checks, name) ? checks[name] : undefined
    if (check === undefined) {
      const known = Object.keys(checks).join(", ")
      throw invalidOption(`There is no option "${name}" here; known are ${known}`, operation)
    }
    check(Reflect.get(options, name), operation)
  }
  const prototype: unknown = Object.getPrototypeOf(options)
  if (prototype === Object.prototype || prototype === null) return
  // Accessors of a class are not enumerated.
  for (const [name, check] of Object.entries(checks)) {
    if (name in options) check(Reflect.get(options, name), operation)
  }
}

/** As {@link checkOptions}, but what was left out is checked as well, so that only an {@link optional} one may be. */
export function checkAllOptions(options: unknown, checks: Checks, operation: string): void {
  if (!isObject(options)) throw invalidOption(`Options are an object; got ${describe(options)}`, operation)
  checkOptions(options, checks, operation)
  for (const [name, check] of Object.entries(checks)) check(Reflect.get(options, name), operation)
}

export function invalidOption(message: string, operation: string): KvError {
  return new KvError("INVALID_OPTION", message, { operation })
}

/** A check that accepts `undefined` as "not given". */
export function optional(check: Check): Check {
  return (value, operation) => {
    if (value !== undefined) check(value, operation)
  }
}

/** A check by a predicate. `rule` completes the sentence "`name` is …" of the message. */
export function rule(name: string, holds: (value: unknown) => boolean, rule: string): Check {
  return (value, operation) => {
    if (!holds(value)) throw invalidOption(`${name} is ${rule}; got ${show(value)}`, operation)
  }
}

export function bool(name: string): Check {
  return rule(name, (value) => typeof value === "boolean", "true or false")
}

export function oneOf(name: string, allowed: readonly string[], orElse = ""): Check {
  const list = allowed.map((word) => `"${word}"`).join(" or ")
  return rule(name, (value) => typeof value === "string" && allowed.includes(value), list + orElse)
}

export function wholeNumber(name: string, min: number, max = Number.MAX_SAFE_INTEGER): Check {
  const range = max === Number.MAX_SAFE_INTEGER ? `of at least ${min}` : `from ${min} to ${max}`
  const holds = (value: unknown) =>
    typeof value === "number" && Number.isSafeInteger(value) && value >= min && value <= max
  return rule(name, holds, `a whole number ${range}`)
}

export function text(name: string, minLength = 1): Check {
  const holds = (value: unknown) => typeof value === "string" && value.length >= minLength
  return rule(name, holds, minLength === 0 ? "a text" : `a text of at least ${minLength} character`)
}

/** An object of these options, all of which are checked. */
export function group(name: string, checks: Checks): Check {
  const isGroup = rule(name, isObject, `an object of ${Object.keys(checks).join(", ")}`)
  return (value, operation) => {
    isGroup(value, operation)
    checkAllOptions(value, checks, operation)
  }
}

/** An object with these methods, whatever else it has. */
function withMethods(name: string, methods: readonly string[]): Check {
  const holds = (value: unknown) =>
    isObject(value) && methods.every((method) => typeof Reflect.get(value, method) === "function")
  return rule(name, holds, `an object with the methods ${methods.join(", ")}`)
}

/** An object with these fields, all texts, whatever else it has. */
export function withTexts(name: string, fields: readonly string[]): Check {
  const holds = (value: unknown) =>
    isObject(value) && fields.every((field) => typeof Reflect.get(value, field) === "string")
  return rule(name, holds, `an object with the texts ${fields.join(", ")}`)
}

/** The option `runtime`, which everything that reads a clock has. */
export const runtimeOption = optional(
  withMethods("runtime", ["now", "monotonic", "random", "id", "setTimer"]),
)

export function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null
}

/** Describes a value for a message without showing it, because it may be secret. */
export function describe(value: unknown): string {
  if (value === null) return "null"
  if (typeof value === "string") return `a string of ${value.length} characters`
  if (typeof value === "object") return `an object (${value.constructor?.name ?? "no prototype"})`
  return typeof value === "undefined" ? "undefined" : `a ${typeof value}`
}

/** Like {@link describe}, but shows numbers and booleans, which are not secret. */
export function show(value: unknown): string {
  return typeof value === "number" || typeof value === "boolean" ? String(value) : describe(value)
}
