import { randomBytes } from "node:crypto"
import { BentoCache, bentostore } from "bentocache"
import { memoryDriver } from "bentocache/drivers/memory"
import { createCache } from "cache-manager"
import { Cacheable } from "cacheable"
import Keyv from "keyv"
import { Loader } from "layered-loader"
import { kv } from "tiered-kv"
import { compare } from "./compare.js"

const KEYS = 1_024
const HOUR_MS = 3_600_000

/** An asynchronous hit of text of 100 bytes, beside the caches that people use today, each as its manual sets it up. */
export async function peers() {
  const keys = Array.from({ length: KEYS }, (_, i) => `user:${i}`)
  const text = new Map(keys.map((key) => [key, randomBytes(50).toString("hex")]))
  const fromMap = async (key) => text.get(key)

  const store = await kv("peers", { backend: "memory:", l1: { ttlMs: HOUR_MS } })
  const loader = new Loader({
    inMemoryCache: { cacheType: "lru-object", maxItems: 10_000, ttlInMsecs: HOUR_MS },
    dataSources: [{ name: "map", get: fromMap, getMany: async (ids) => ids.map((id) => text.get(id)) }],
  })
  const keyv = new Keyv()
  const manager = createCache()
  const cacheable = new Cacheable()
  const bento = new BentoCache({
    default: "memory",
    stores: { memory: bentostore().useL1Layer(memoryDriver({ maxItems: 10_000 })) },
  })
  for (const [key, value] of text) {
    await store.set(key, value)
    await store.getText(key)
    await loader.get(key)
    await keyv.set(key, value, HOUR_MS)
    await manager.set(key, value, HOUR_MS)
    await cacheable.set(key, value, HOUR_MS)
    await bento.set({ key, value, ttl: HOUR_MS })
  }

  let at = 0
  const next = () => keys[at++ & (KEYS - 1)]
  await compare("An asynchronous hit, text of 100 bytes", {
    "await an async Map get": () => fromMap(next()),
    "tiered-kv getText": () => store.getText(next()),
    "layered-loader": () => loader.get(next()),
    keyv: () => keyv.get(next()),
    "cache-manager": () => manager.get(next()),
    cacheable: () => cacheable.get(next()),
    bentocache: () => bento.get({ key: next() }),
  })
  await store.close()
  await bento.disconnectAll()
  await cacheable.disconnect()
}
