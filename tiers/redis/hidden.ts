import { inspect } from "node:util"
import { isClient, type RedisClient } from "./client.ts"
import type { RedisSettings } from "./settings.ts"

const shown = () => "?"

/** Whatever turns the bytes into text gets `?`. As properties of their own: another prototype costs more than the rest of a command. */
const HIDDEN = { toString: shown, toLocaleString: shown, toJSON: shown, [inspect.custom]: shown }

/**
 * The bytes of a key or a value for ioredis, which sends them as they are. Instrumentations of ioredis and its errors have them too, and join
 * arguments to a text: there each of them is `?`.
 */
export function hidden(value: string | Buffer): Buffer {
  return Object.assign(typeof value === "string" ? Buffer.from(value) : value, HIDDEN)
}

/** What hides keys and values from a client. ioredis-mock, which has no status, is its own server, and would take bytes for their text. */
export function hidingFor(source: RedisClient | RedisSettings): (value: string | Buffer) => string | Buffer {
  return isClient(source) && source.status === undefined ? (value) => value : hidden
}
