import { KvError } from "../../tiers/errors.ts"

/** Longest key and prefix, bytes. Below the services' own limits: DynamoDB 1,024, Azure 1,024, Firestore 1,500. */
export const MAX_KEY_BYTES = 512

const KEY = /^[A-Za-z0-9\-_:.]{1,512}$/
const PREFIX = /^[A-Za-z0-9\-_:.]{0,512}$/
const NAME = /^[A-Za-z0-9\-_]{1,64}$/

const ALPHABET = "A-Z a-z 0-9 - _ : ."

export function checkKey(key: unknown, operation: string): asserts key is string {
  if (typeof key !== "string" || !KEY.test(key)) throw invalidKey("key", key, 1, operation)
}

export function checkPrefix(prefix: unknown, operation: string): asserts prefix is string {
  if (typeof prefix !== "string" || !PREFIX.test(prefix)) throw invalidKey("prefix", prefix, 0, operation)
}

/** Checks what stands for many keys or entries. A string is iterable too, and would be taken for keys of one character. */
export function checkIterable(what: "keys" | "entries", found: unknown, operation: string): void {
  if (typeof found === "object" && found !== null && Symbol.iterator in found) return
  throw new KvError("INVALID_KEY", `${operation} takes an iterable of ${what}; got ${describe(found)}`, {
    operation,
  })
}

/** Checks the name of a store: 1 to 64 of `A-Z a-z 0-9 - _`. */
export function checkName(name: unknown, operation: string): asserts name is string {
  if (typeof name === "string" && NAME.test(name)) return
  throw new KvError(
    "INVALID_ID",
    `A store's name is 1 to 64 characters of A-Z a-z 0-9 - _; got ${describe(name)}`,
    { operation },
  )
}

function invalidKey(what: "key" | "prefix", found: unknown, min: number, operation: string): KvError {
  const rule = `a ${what} is ${min} to ${MAX_KEY_BYTES} characters of ${ALPHABET}`
  if (typeof found !== "string") {
    return new KvError("INVALID_KEY", `The ${what} is not a string but ${describe(found)}; ${rule}`, {
      operation,
    })
  }
  const actual = Buffer.byteLength(found)
  const tooLong = actual > MAX_KEY_BYTES
  return new KvError(
    "INVALID_KEY",
    `The ${what} ${fault(found, actual, tooLong)}; ${rule}`,
    tooLong ? { operation, key: found, limit: MAX_KEY_BYTES, actual } : { operation, key: found },
  )
}

function fault(found: string, actual: number, tooLong: boolean): string {
  if (found === "") return "is empty"
  if (tooLong) return `has ${actual} bytes`
  const at = found.search(/[^A-Za-z0-9\-_:.]/)
  return `has an illegal character, U+${(found.codePointAt(at) ?? 0).toString(16).toUpperCase().padStart(4, "0")}, at index ${at}`
}

/** What a value is, without showing it. */
export function describe(value: unknown): string {
  if (value === null) return "null"
  if (typeof value === "string") return `a string of ${value.length} characters`
  if (typeof value === "object") return `an object (${value.constructor?.name ?? "no prototype"})`
  return typeof value === "undefined" ? "undefined" : `a ${typeof value}`
}
