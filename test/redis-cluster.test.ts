import { randomUUID } from "node:crypto"
import { redis } from "../tiers/redis.ts"
import { describeConformance } from "./conformance/run.ts"
import { startRedisCluster } from "./servers/redis.ts"
import { requireServer } from "./servers/server.ts"

await requireServer("redis cluster", startRedisCluster, ({ url }) => {
  describeConformance("redis cluster", {
    createStore(runtime) {
      const prefix = `test:${randomUUID()}:`
      return { connect: () => redis(url, { prefix, runtime }) }
    },
  })

  describeConformance("redis cluster, all keys in one slot", {
    createStore(runtime) {
      const prefix = `test:{${randomUUID()}}:`
      return { connect: () => redis(url, { prefix, runtime }) }
    },
  })
})
