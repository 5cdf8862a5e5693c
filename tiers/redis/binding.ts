import type { BackendDescription, Refuse } from "../binding.ts"
import { KvError } from "../errors.ts"
import type { RedisSettings } from "./settings.ts"
import { parseRedisUrl } from "./url.ts"

interface RedisPlace extends RedisSettings {
  prefix?: string
}

export const redisDescription: BackendDescription<RedisPlace> = {
  kind: "redis",
  url: {
    forms: {
      redis: "redis://HOST:PORT/DATABASE",
      rediss: "rediss://…",
      valkey: "valkey://…",
      valkeys: "valkeys://…",
      "redis-sentinel": "redis-sentinel://HOST:PORT/DATABASE?name=NAME",
      "rediss-sentinel": "rediss-sentinel://…",
      unix: "unix:///PATH",
      "redis+unix": "redis+unix:///PATH",
    },
    read: ({ text, refuse }) => readUrl(text, refuse),
    ofStore: (settings, name) => ({ prefix: `${name}:`, ...settings }),
  },
  alien: {
    service: "redis",
    read(fields) {
      const { url } = fields.texts({ connectionUrl: "url" })
      return {
        ...readUrl(url, (message) => fields.refuse(`has a "connectionUrl" that ${message}`)),
        ...fields.texts({}, { keyPrefix: "prefix" }),
        ...fields.wholeNumbers({ database: "database" }),
      }
    },
  },
  async make({ prefix, ...settings }, { runtime, timeoutMs, openLazily = false }) {
    const { redis } = await import("./backend.ts")
    return redis(settings, {
      ...(prefix === undefined ? {} : { prefix }),
      runtime,
      requestTimeoutMs: timeoutMs,
      connectTimeoutMs: timeoutMs,
      openLazily,
    })
  },
}

/** Not by way of `URL`, which cannot hold several hosts. */
function readUrl(text: string, refuse: Refuse): RedisPlace {
  try {
    const { settings, prefix } = parseRedisUrl(text)
    return { ...settings, ...(prefix === undefined ? {} : { prefix }) }
  } catch (error) {
    throw error instanceof KvError ? refuse(`is wrong: ${error.message}`) : error
  }
}
