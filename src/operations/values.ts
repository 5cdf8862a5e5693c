import { KvError } from "../../tiers/errors.ts"
import { MAX_VALUE_BYTES } from "../../tiers/limits.ts"
import { describe } from "../../tiers/util/checks.ts"
import { lossInJson } from "./json.ts"

/**
 * The bytes of a value: text as UTF-8, a copy of a `Uint8Array`, anything else as JSON. Throws `INVALID_VALUE` if the bytes would not
 * decode to the same value, or are more than {@link MAX_VALUE_BYTES}.
 */
export function encodeValue(value: unknown, operation: string, key: string): Uint8Array {
  const refuse = (message: string, cause?: unknown) =>
    new KvError("INVALID_VALUE", message, { operation, key, cause })
  return bounded(encode(value, refuse), operation, key)
}

/** The bytes of a value as JSON; a string becomes a JSON string. */
export function encodeJson(value: unknown, operation: string, key: string): Uint8Array {
  const refuse = (message: string, cause?: unknown) =>
    new KvError("INVALID_VALUE", message, { operation, key, cause })
  return bounded(encodeAsJson(value, refuse), operation, key)
}

type Refuse = (message: string, cause?: unknown) => KvError

function encode(value: unknown, refuse: Refuse): Uint8Array {
  if (typeof value === "string") {
    if (!value.isWellFormed()) {
      throw refuse(
        "The text holds a lone surrogate, which UTF-8 cannot represent; pass a Uint8Array to store it as it is",
      )
    }
    return Buffer.from(value)
  }
  return value instanceof Uint8Array ? copyOf(value, refuse) : encodeAsJson(value, refuse)
}

/** Throws for a detached array and for a Proxy of an array, which are `Uint8Array`s whose bytes cannot be read. */
function copyOf(value: Uint8Array, refuse: Refuse): Uint8Array {
  try {
    return Uint8Array.prototype.slice.call(value)
  } catch (cause) {
    throw refuse(
      "The bytes cannot be read: their buffer was transferred, or a Proxy stands before them",
      cause,
    )
  }
}

function encodeAsJson(value: unknown, refuse: Refuse): Uint8Array {
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer || value instanceof SharedArrayBuffer) {
    throw refuse(`The value is ${describe(value)}; bytes are stored from a Uint8Array`)
  }
  let text: string | undefined
  try {
    text = JSON.stringify(value)
  } catch (cause) {
    throw refuse(
      cause instanceof RangeError
        ? "The value is nested too deeply for JSON.stringify; store it flatter, or as text"
        : "JSON cannot represent the value: it holds a cycle, a BigInt, or a toJSON that throws",
      cause,
    )
  }
  if (text === undefined) {
    throw refuse(
      `The value is ${describe(value)}, which JSON cannot represent; a value is text, a Uint8Array or JSON`,
    )
  }
  // The size is checked later, and a value that is too large need not be walked.
  const loss = text.length > MAX_VALUE_BYTES ? undefined : lossInJson(value)
  if (loss !== undefined) {
    const what = loss.path === "" ? "The value" : `The value at ${loss.path}`
    const advice = loss.becomes === "{}" ? "store its contents instead" : "store what it stands for instead"
    const fate = loss.becomes === "nothing" ? "leave out" : `turn into ${loss.becomes}`
    throw refuse(`${what} is ${loss.found}, which JSON would ${fate}; ${advice}`)
  }
  return Buffer.from(text)
}

function bounded(bytes: Uint8Array, operation: string, key: string): Uint8Array {
  const actual = bytes.byteLength
  if (actual <= MAX_VALUE_BYTES) return bytes
  throw new KvError(
    "INVALID_VALUE",
    `The value has ${actual} bytes encoded; at most ${MAX_VALUE_BYTES} (${MAX_VALUE_BYTES / 1_024} KiB) are allowed. ` +
      "Keep large objects in object storage and store their address here",
    { operation, key, limit: MAX_VALUE_BYTES, actual },
  )
}
