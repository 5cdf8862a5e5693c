/** One access of the log. */
export interface Access {
  /** The key in the log, one character for each byte. It may be illegal in a store. */
  key: string
  /** `add` is a create: a write that applies only if the key is absent. */
  operation: "read" | "write" | "add" | "delete"
  /** Log time, ms; absent in logs without times. */
  atMs?: number
  /** Size of the value, bytes; absent if the log does not have it. */
  valueBytes?: number
  /** Time to live of a write, ms; absent if it has none. */
  ttlMs?: number
}

/**
 * - `keys`: one key a line, each a read.
 * - `twitter`: the CSV of Twitter's public cache traces, `time,key,key size,value size,client,operation,ttl`, with times
 *   and TTLs in seconds.
 */
export type LogFormat = "keys" | "twitter"

export const LOG_FORMATS: readonly LogFormat[] = ["keys", "twitter"]

/** The access on a line; the reason why the line is not one, as text; or `undefined` for a line to skip, such as a header. */
export type LineParser = (text: string, line: number) => Access | string | undefined

export function parserOf(format: LogFormat): LineParser {
  return format === "keys" ? parseKey : parseTwitter
}

/** The format of the lines: that of more than half of them. `undefined` if they are neither CSV of Twitter's nor look like keys. */
export function detectFormat(sample: readonly string[]): LogFormat | undefined {
  const csv = sample.filter((text) => typeof parseTwitter(text, 1) === "object").length
  if (csv * 2 > sample.length) return "twitter"
  const foreign = sample.filter((text) => FOREIGN.test(text)).length
  return foreign * 2 > sample.length ? undefined : "keys"
}

/** A line of several fields, which are separated by blanks or commas, or a JSON object: the line of a web server's log, for one. */
const FOREIGN = /\S\s+\S|^\s*[{[]|,.*,/

function parseKey(text: string, line: number): Access | string {
  const key = line === 1 ? text.replace(/^\xef\xbb\xbf/, "") : text
  return key.includes("\0") ? "binary data" : { key, operation: "read" }
}

/** The operations of memcached. An append or an increment is a write of the value on the line. */
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
    // A miss is logged with size 0, which is not the size of the value.
    ...(valueBytes === 0 && operation !== "write" ? {} : { valueBytes }),
    ...(ttlMs === 0 ? {} : { ttlMs }),
  }
}

function isDecimal(field: string | undefined): boolean {
  return field !== undefined && /^\s*\d+(\.\d+)?\s*$/.test(field)
}
