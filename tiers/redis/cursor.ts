import { createHash } from "node:crypto"
import { KvError } from "../errors.ts"
import { KIND } from "./errors.ts"

/** The state of a scan between two pages. */
export interface ScanState {
  /** Which of the primaries, in the order of their ids. */
  primary: number
  /** The cursor returned by its `SCAN`; "0" at the start. */
  position: string
  /** Fingerprints of the last keys, oldest first. */
  recent: readonly string[]
  /** Keys that `SCAN` returned for the previous page and that did not fit into it. */
  pending: readonly string[]
}

/** What a cursor is bound to. */
export interface ScanScope {
  /** Prefix of the store and prefix of the scan, together. */
  prefix: string
  /** The run ids of the primaries, in order: a cursor of `SCAN` is not valid on another server or after a restart. */
  servers: readonly string[]
}

const FORMAT = 1
const FINGERPRINT_CHARS = 8

/**
 * 48 bits of the SHA-1 of a key: a new key has the fingerprint of one of the last 128 keys once in 2 × 10^12 keys.
 */
export function fingerprint(text: string): string {
  return createHash("sha1").update(text).digest("base64url").slice(0, FINGERPRINT_CHARS)
}

export function encodeCursor({ primary, position, recent, pending }: ScanState, scope: ScanScope): string {
  const { prefix, servers } = digestOf(scope)
  const fields = [FORMAT, prefix, servers, primary, position, recent.join(""), pending]
  return Buffer.from(JSON.stringify(fields)).toString("base64url")
}

/** Throws `INVALID_CURSOR`. */
export function decodeCursor(cursor: string, scope: ScanScope): ScanState {
  const [format, prefix, servers, primary, position, recent, pending] = fieldsOf(cursor)
  const digest = digestOf(scope)
  if (format !== FORMAT) throw invalid("the cursor is none of a scan of Redis")
  if (prefix !== digest.prefix) throw invalid("the cursor is of a scan of another prefix")
  if (servers !== digest.servers) {
    throw invalid(
      "the server was restarted, or the cluster has other primaries, since the scan began; start it anew",
    )
  }
  if (
    typeof primary !== "number" ||
    !(Number.isSafeInteger(primary) && primary >= 0 && primary <= scope.servers.length) ||
    typeof position !== "string" ||
    !/^\d{1,20}$/.test(position) ||
    typeof recent !== "string" ||
    recent.length % FINGERPRINT_CHARS !== 0 ||
    !isListOfTexts(pending)
  ) {
    throw invalid("the cursor is damaged")
  }
  return { primary, position, recent: recent.match(/.{8}/gs) ?? [], pending }
}

function fieldsOf(cursor: string): readonly unknown[] {
  try {
    const fields: unknown = JSON.parse(Buffer.from(cursor, "base64url").toString())
    if (Array.isArray(fields)) return fields
  } catch {
    // Text that is not JSON is refused like any other foreign cursor.
  }
  return []
}

function isListOfTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === "string")
}

function digestOf({ prefix, servers }: ScanScope): { prefix: string; servers: string } {
  return { prefix: fingerprint(prefix), servers: fingerprint(servers.join()) }
}

function invalid(message: string): KvError {
  return new KvError("INVALID_CURSOR", message, { operation: "scan", backend: KIND })
}
