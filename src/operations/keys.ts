import { KvError } from "../../tiers/errors.ts"
import {
  ILLEGAL_IN_KEY,
  KEY_FORM,
  MAX_KEY_BYTES,
  MAX_NAME_LENGTH,
  NAME_FORM,
  PREFIX_FORM,
} from "../../tiers/limits.ts"
import { describe } from "../../tiers/util/checks.ts"

const ALPHABET = "A-Z a-z 0-9 - _ : ."

export function checkKey(key: unknown, operation: string): asserts key is string {
  if (typeof key !== "string" || !KEY_FORM.test(key)) throw invalidKey("key", key, 1, operation)
}

export function checkPrefix(prefix: unknown, operation: string): asserts prefix is string {
  if (typeof prefix !== "string" || !PREFIX_FORM.test(prefix))
    throw invalidKey("prefix", prefix, 0, operation)
}

/** Checks an iterable of keys or entries. Refuses a string, which would iterate as keys of one character. */
export function checkIterable(what: "keys" | "entries", found: unknown, operation: string): void {
  if (typeof found === "object" && found !== null && Symbol.iterator in found) return
  throw new KvError("INVALID_KEY", `${operation} takes an iterable of ${what}; got ${describe(found)}`, {
    operation,
  })
}

/** Checks the name of a store. */
export function checkName(name: unknown, operation: string): asserts name is string {
  if (typeof name === "string" && NAME_FORM.test(name)) return
  throw new KvError(
    "INVALID_ID",
    `A store's name is 1 to ${MAX_NAME_LENGTH} characters of A-Z a-z 0-9 - _; got ${describe(name)}`,
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
  const at = found.search(ILLEGAL_IN_KEY)
  return `has an illegal character, U+${(found.codePointAt(at) ?? 0).toString(16).toUpperCase().padStart(4, "0")}, at index ${at}`
}
