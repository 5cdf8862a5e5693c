import { createHash } from "node:crypto"
import { KvError } from "../errors.ts"
import type { Runtime } from "../runtime.ts"
import type { RedisConnection } from "./connection.ts"
import type { RedisRequest } from "./errors.ts"

/** A script. It is sent by its digest; the text is sent only if the server does not have it. */
export interface Script {
  readonly text: string
  readonly sha: string
}

/**
 * The beginning of every script: reads the header of the row under `KEYS[1]`, at the time `ARGV[1]`, Unix ms. The layout is that of
 * `tiers/util/binary-row.ts`; Lua counts from 1. It does not read the value, because Lua copies every string that it gets.
 */
const READ_HEADER = `
-- Redis hands Lua a string; ioredis-mock hands it a JavaScript buffer, which counts from 0.
local function text(bytes, size)
  if type(bytes) == "string" then return bytes end
  local chars = {}
  for i = 1, size do chars[i] = string.char(bytes[i - 1]) end
  return table.concat(chars)
end

local function number(bytes, first)
  local a, b, c, d, e, f, g, h = bytes:byte(first, first + 7)
  return ((((((a * 256.0 + b) * 256 + c) * 256 + d) * 256 + e) * 256 + f) * 256 + g) * 256 + h
end

local key, now = KEYS[1], tonumber(ARGV[1])
local size = redis.call("STRLEN", key)
local exists = size > 0 or redis.call("EXISTS", key) == 1
local sound, version, id, live = false, "", "", false
if size >= 40 then
  local header = text(redis.call("GETRANGE", key, 0, 39), 40)
  local flags = header:byte(4)
  if header:sub(1, 3) == "\\254k\\1" and flags < 2 then
    sound = true
    version = header:sub(5, 28)
    id = header:sub(13, 28)
    live = flags == 0 or number(header, 29) > now
  end
end
`

/**
 * Writes the row `ARGV[2]`, which the server removes after `ARGV[3]` ms (empty: never), under the condition `ARGV[4]`: `any`, `absent`, or
 * the 24 bytes of a version. `ARGV[5]` is the tag of the server, or 0, see `clock.ts`.
 *
 * Replies with 0 if the condition did not hold, with -1 if the condition cannot be decided because the key holds no row, else with four
 * times the ticks of the row that the key has afterwards, plus 1 if they are the server's time now, plus 2 if the row has a tag. If the
 * row has the id of this write already, the write was delivered before.
 *
 * The sequence of a row is 6 bytes of ticks and 2 bytes of tag. The ticks are the server's time in units of 16 µs, or those of the previous
 * row plus one if that is higher; then there is no tag. So the versions of a key are in the order of its writes, without a counter for
 * all keys, which on a cluster would be on another node.
 */
export const WRITE = script(`${READ_HEADER}
local row, ttl, condition, tag = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local previous, tagged = 0, false
if sound then
  local a, b, c, d, e, f, g, h = version:byte(1, 8)
  previous = ((((a * 256.0 + b) * 256 + c) * 256 + d) * 256 + e) * 256 + f
  tagged = g + h > 0
  if id == text(row, 28):sub(13, 28) then return previous * 4 + (tagged and 2 or 0) end
end
if condition ~= "any" then
  if exists and not sound then return -1 end
  if condition == "absent" then
    if live then return 0 end
  elseif not live or version ~= text(condition, 24) then
    return 0
  end
end

local time = redis.call("TIME")
local ticks = math.floor((time[1] * 1000000.0 + time[2]) / 16)
local isTime = ticks > previous
if not isTime then ticks, tag = previous + 1, 0 end
if type(row) ~= "string" then
  row[10], row[11] = math.floor(tag / 256), tag % 256
  local rest = ticks
  for i = 9, 4, -1 do
    row[i] = rest % 256
    rest = math.floor(rest / 256)
  end
end
if ttl == "" then redis.call("SET", key, row) else redis.call("SET", key, row, "PX", ttl) end
if type(row) == "string" then redis.call("SETRANGE", key, 4, struct.pack(">I6I2", ticks, tag)) end
return ticks * 4 + (isTime and 1 or 0) + (tag > 0 and 2 or 0)
`)

/** Reads only the header. Replies with 1 if the row is live, 0 if there is none or it has expired, -1 if the key holds no row. */
export const EXISTS = script(`${READ_HEADER}
if exists and not sound then return -1 end
if live then return 1 end
return 0
`)

function script(text: string): Script {
  return { text, sha: createHash("sha1").update(text).digest("hex") }
}

/** Runs a script on one key, at the present time of `runtime`; all of them reply with a whole number. */
export async function runScript(
  connection: RedisConnection,
  runtime: Runtime,
  request: RedisRequest,
  { sha, text }: Script,
  key: string | Buffer,
  args: readonly (string | Buffer)[],
): Promise<number> {
  const startedAt = runtime.monotonic()
  const now = String(runtime.now())
  try {
    const answer = connection.client(request).evalsha(sha, 1, key, now, ...args)
    return Number(await connection.answered(request, answer))
  } catch (error) {
    // A server that was restarted, or a new node, does not have the script. `EVAL` stores it.
    if (!isNoScript(error)) throw error
    const timeoutMs = request.timeoutMs - (runtime.monotonic() - startedAt)
    const rest = { ...request, timeoutMs }
    return Number(await connection.answered(rest, connection.client(rest).eval(text, 1, key, now, ...args)))
  }
}

function isNoScript(error: unknown): boolean {
  return error instanceof KvError && error.cause instanceof Error && error.cause.message.includes("NOSCRIPT")
}
