import { KvError } from "../../tiers/errors.ts"

/**
 * Version tokens and cursors: opaque strings around the version or the cursor of the backend. A version token is bound to its key, a
 * cursor to its store and prefix. Both are valid in every process that opens the same store.
 */

const VERSION_FORMAT = "v1"
const CURSOR_FORMAT = "c1"

/** The token of `version`, for `ifVersion` on the same key. */
export function versionToken(key: string, version: string): string {
  return `${VERSION_FORMAT}.${keyTag(key)}.${version}`
}

/** The backend's version in a token. Throws `INVALID_VERSION` if `token` is no version token, or one of another key. */
export function versionFrom(token: unknown, key: string, operation: string): string {
  const refuse = (message: string) => new KvError("INVALID_VERSION", message, { operation, key })
  if (typeof token !== "string") {
    throw refuse("ifVersion takes the version string that getEntry() or put() gave")
  }
  const [format, tag, ...rest] = token.split(".")
  const version = rest.join(".")
  if (
    format !== VERSION_FORMAT ||
    version === "" ||
    version.length > 200 ||
    !/^[\x21-\x7e]+$/.test(version)
  ) {
    throw refuse("This is not a version that getEntry() or put() gave; pass theirs unchanged")
  }
  if (tag !== keyTag(key)) throw refuse("This version belongs to another key")
  return version
}

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"))

/** 32 bits of FNV-1a: enough to detect a version of another key by mistake, and computed in a few nanoseconds. */
function keyTag(key: string): string {
  let hash = 0x811c9dc5
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193)
  // By a table: `toString(16)` of a number beyond 31 bits takes ten times as long as the rest.
  return `${HEX[hash >>> 24]}${HEX[(hash >>> 16) & 0xff]}${HEX[(hash >>> 8) & 0xff]}${HEX[hash & 0xff]}`
}

/** The cursor token of `position`, the backend's cursor, in a scan of `prefix` in `store`. */
export function cursorToken(store: string, prefix: string, position: string): string {
  return `${CURSOR_FORMAT}.${scanTag(store, prefix, position)}.${Buffer.from(position).toString("base64url")}`
}

/** The backend's cursor in a token. Throws `INVALID_CURSOR` if the token is damaged or of another scan. */
export function positionFrom(cursor: unknown, store: string, prefix: string, operation: string): string {
  if (typeof cursor === "string") {
    const [format, tag, encoded, ...rest] = cursor.split(".")
    const position = Buffer.from(encoded ?? "", "base64url").toString()
    if (format === CURSOR_FORMAT && rest.length === 0 && tag === scanTag(store, prefix, position))
      return position
  }
  throw new KvError(
    "INVALID_CURSOR",
    "The cursor is damaged, or of another store or prefix; pass the nextCursor of the same scan, or none to start over",
    { operation },
  )
}

function scanTag(store: string, prefix: string, position: string): string {
  return process
    .getBuiltinModule("node:crypto")
    .createHash("sha256")
    .update(JSON.stringify([store, prefix, position]))
    .digest("base64url")
    .slice(0, 16)
}
