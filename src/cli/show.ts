import { isUtf8 } from "node:buffer"
import type { Entry } from "../api.ts"

/** An entry in the JSON of the command line: the value as text if its bytes are UTF-8, else in base64. */
export interface ShownEntry {
  key: string
  encoding: "utf8" | "base64"
  value: string
  bytes: number
  version: string
  /** Unix ms. */
  expiresAt?: number
}

export function toJson({ key, value, version, expiresAt }: Entry): ShownEntry {
  const text = textOf(value)
  return {
    key,
    encoding: text === undefined ? "base64" : "utf8",
    value: text ?? Buffer.from(value).toString("base64"),
    bytes: value.byteLength,
    version,
    ...(expiresAt === undefined ? {} : { expiresAt }),
  }
}

/** The value on one line: control characters and backslashes escaped, bytes that are not text as `base64:…`. */
export function toLine(value: Uint8Array): string {
  const text = textOf(value)
  if (text === undefined) return `base64:${Buffer.from(value).toString("base64")}`
  return text.replace(
    ESCAPED,
    (char) => ESCAPES[char] ?? `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  )
}

/** The value as text if a terminal can show it unchanged: UTF-8 without control characters. */
export function toPrintable(value: Uint8Array): string | undefined {
  const text = textOf(value)
  return text === undefined || COMMANDING.test(text) ? undefined : text
}

function textOf(value: Uint8Array): string | undefined {
  return isUtf8(value) ? new TextDecoder("utf-8", { ignoreBOM: true }).decode(value) : undefined
}

/** Control characters, the line separators included, and the backslash. */
const ESCAPED = /[\p{Cc}\u2028\u2029\\]/gu
const ESCAPES: Readonly<Record<string, string>> = { "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t" }
/** Control characters other than tab and line ends. */
const COMMANDING = /(?![\t\n\r])\p{Cc}/u
