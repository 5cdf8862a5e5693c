import { KvError } from "../../tiers/errors.ts"
import type { L1Entry } from "../../tiers/l1/entry.ts"
import type { L1 } from "../../tiers/l1/l1.ts"
import type { Entry } from "../api.ts"
import type { Parsed } from "../json.ts"
import { versionToken } from "./tokens.ts"

/** A form in which a stored value is returned. */
export interface Form<T> {
  /** Of the entry under `key`. What is decoded is kept in `l1`, unless it belongs to the caller. */
  of(l1: L1, entry: L1Entry, operation: string, key: string): T
  /** Of the slot of a hit. */
  at(l1: L1, slot: number, operation: string, key: string): T
}

/** The bytes, as a copy that belongs to the caller. */
export const bytes: Form<Uint8Array> = {
  of: (_l1, entry) => entry.copyBytes(),
  at: (l1, slot) => l1.copyBytesAt(slot),
}

/** The text. Throws `INVALID_VALUE` if the bytes are not UTF-8. */
export const text: Form<string> = {
  of(l1, entry, operation, key) {
    if (entry.text !== undefined) return entry.text
    const text = decodeText(entry, operation, key)
    l1.keepText(key, entry)
    return text
  },
  at: (l1, slot, operation, key) => l1.textAt(slot) ?? text.of(l1, l1.entryAt(slot), operation, key),
}

/** The JSON, deep-frozen and shared. Throws `INVALID_VALUE` if the bytes are not JSON. */
export const json: Form<Parsed> = {
  of(l1, entry, operation, key) {
    if (entry.json !== undefined) return entry.json as Parsed
    const text = decodeText(entry, operation, key)
    try {
      entry.decodeJson(text)
    } catch {
      throw notJson(operation, key)
    }
    l1.keepJson(key, entry)
    return entry.json as Parsed
  },
  at: (l1, slot, operation, key) =>
    (l1.jsonAt(slot) as Parsed | undefined) ?? json.of(l1, l1.entryAt(slot), operation, key),
}

/** The JSON, parsed anew for one caller. Throws `INVALID_VALUE` if the bytes are not JSON. */
export const mutableJson: Form<Parsed> = {
  of(l1, entry, operation, key) {
    const source = text.of(l1, entry, operation, key)
    try {
      return JSON.parse(source) as Parsed
    } catch {
      throw notJson(operation, key)
    }
  },
  at: (l1, slot, operation, key) => mutableJson.of(l1, l1.entryAt(slot), operation, key),
}

/** The entry as `getEntry` returns it. */
export const whole: Form<Entry> = {
  of: (_l1, entry, _operation, key) => entryOf(key, entry.copyBytes(), entry.version, entry.expiresAt),
  at: (l1, slot, _operation, key) =>
    entryOf(key, l1.copyBytesAt(slot), l1.versionAt(slot), l1.expiresAt(slot)),
}

export function entryOf(key: string, value: Uint8Array, version: string, expiresAt?: number): Entry {
  const entry = { key, value, version: versionToken(key, version) }
  return expiresAt === undefined ? entry : { ...entry, expiresAt }
}

function decodeText(entry: L1Entry, operation: string, key: string): string {
  const text = entry.decodeText()
  if (text !== undefined) return text
  const remedy = choosesForm(operation) ? 'pass as: "bytes"' : "read them with get()"
  throw new KvError("INVALID_VALUE", `The stored bytes are not UTF-8 text; ${remedy}`, { operation, key })
}

// The SyntaxError is not the cause, because its message quotes the value.
function notJson(operation: string, key: string): KvError {
  const remedy = choosesForm(operation)
    ? 'pass as: "text", as its writer did, or as: "bytes"'
    : "read it with getText() or get()"
  return new KvError("INVALID_VALUE", `The stored value is not JSON; ${remedy}`, { operation, key })
}

/** Whether the operation has the option `as`. */
function choosesForm(operation: string): boolean {
  return operation === "getOrSet" || operation === "update"
}
