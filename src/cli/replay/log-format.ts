/** One access of the log. */
export interface Access {
  /** The key as the log has it, one character a byte: legal or not. */
  key: string
  /** `add` is a create: a write that applies only if the key is absent. */
  operation: "read" | "write" | "add" | "delete"
  /** Log time, ms; absent in logs without times. */
  atMs?: number
  /** Size of the value; absent where the log does not say. */
  valueBytes?: number
  /** Time to live of a write; absent means none. */
  ttlMs?: number
}

/**
 * - `keys`: one key a line, each a read.
 * - `twitter`: the CSV of Twitter's public cache traces, `time,key,key size,value size,client,operation,ttl`, with times
 *   and TTLs in seconds.
 */
export type LogFormat = "keys" | "twitter"

export const LOG_FORMATS: readonly LogFormat[] = ["keys", "twitter"]

/** The access on a line; what is wrong with the line; or `undefined` for a line that is no access, such as a header. */
export type LineParser = (text: string, line: number) => Access | string | undefined

export function parserOf(format: LogFormat): LineParser {
  return format === "keys" ? parseKey : parseTwitter
}

/** The format that the lines are in: that of the CSV if more than half of them read as such. */
export function detectFormat(sample: readonly string[]): LogFormat {
  const csv = sample.filter((text) => typeof parseTwitter(text, 1) === "object").length
  return csv * 2 > sample.length ? "twitter" : "keys"
}

function parseKey(text: string, line: number): Access | string {
  const key = line === 1 ? text.replace(/^\xef\xbb\xbf/, "") : text
  return key.includes("\0") ? "binary data" : { key, operation: "read" }
}

/** Operations of memcached. What adds to a value or counts up is a write of the value that the line states. */
const OPERATIONS: Readonly<Record<string, Access["operation"]>> = {
  get: "read",
  gets: "read",
  set: "write",
  add: "add",
  replace: "write",
  cas: "write",
  append: "write",
  prepend: "write",
  incr: "write",
  decr: "write",
  delete: "delete",
}

const HEADER = /^[a-z_ ]+,[^\d]*\bttl\b/i

function parseTwitter(text: string, line: number): Access | string | undefined {
  const fields = text.split(",")
  if (fields.length < 7) {
    return `${fields.length} fields, 7 expected: time,key,key size,value size,client,operation,ttl`
  }
  // A key may hold commas; the fields around it do not.
  const [, valueSize = "", , operationName = "", ttl = ""] = fields.slice(-5)
  const key = fields.slice(1, -5).join(",")
  const atMs = Number(fields[0]) * 1_000
  if (!isDecimal(fields[0]) || !Number.isFinite(atMs)) {
    return line === 1 && HEADER.test(text) ? undefined : "the time is not a number of seconds"
  }
  if (key === "") return "the key is empty"
  const operation = OPERATIONS[operationName.trim().toLowerCase()]
  if (operation === undefined)
    return "the operation is none of get, gets, set, add, replace, cas, append, prepend, delete, incr, decr"
  if (!isDecimal(valueSize)) return "the value size is not a number of bytes"
  if (!isDecimal(ttl)) return "the ttl is not a number of seconds"
  const valueBytes = Math.round(Number(valueSize))
  const ttlMs = Math.round(Number(ttl) * 1_000)
  return {
    key,
    operation,
    atMs,
    // A miss is logged with a size of 0, which says nothing about the value.
    ...(valueBytes === 0 && operation !== "write" ? {} : { valueBytes }),
    ...(ttlMs === 0 ? {} : { ttlMs }),
  }
}

function isDecimal(field: string | undefined): boolean {
  return field !== undefined && /^\s*\d+(\.\d+)?\s*$/.test(field)
}
