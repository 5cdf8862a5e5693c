import { randomUUID } from "node:crypto"
import { Redis } from "ioredis"
import { redis } from "../tiers/redis.ts"
import { describeConformance } from "./conformance/run.ts"
import { startRedis } from "./servers/redis.ts"
import { requireServer } from "./servers/server.ts"

await requireServer("redis", startRedis, ({ url }) => {
  describeConformance("redis", {
    createStore(runtime) {
      const prefix = `test:${randomUUID()}:`
      return {
        connect: () => redis(url, { prefix, runtime }),
        dispose: () => removeAll(url, prefix),
      }
    },
  })
})

async function removeAll(url: string, prefix: string): Promise<void> {
  const client = new Redis(url)
  for await (const keys of client.scanStream({ match: `${prefix}*`, count: 1_000 })) {
    if (keys.length > 0) await client.unlink(...keys)
  }
  client.disconnect()
}
