import { randomBytes } from "node:crypto"
import { LRUCache } from "lru-cache"
import { kv } from "tiered-kv"
import { compare } from "./compare.js"

const KEYS = 1_024
/** No entry expires while it is measured. */
const HOUR_MS = 3_600_000

/** An L1 hit: beside the bare LRU for the synchronous reads, beside `await` of a `Map` for the asynchronous ones. */
export async function hits() {
  const keys = Array.from({ length: KEYS }, (_, i) => `user:${i}`)
  const texts = keys.map(() => randomBytes(50).toString("hex"))
  const documents = keys.map((key, i) => ({ key, name: "Alice", plan: "pro", seats: i, tags: ["a", "b"] }))

  const map = new Map(keys.map((key, i) => [key, texts[i]]))
  const lru = new LRUCache({ max: 10_000, ttl: HOUR_MS })
  const store = await kv("hits", { backend: "memory:", l1: { ttlMs: HOUR_MS } })
  const json = await kv("json", { backend: "memory:", l1: { ttlMs: HOUR_MS } })
  for (const [i, key] of keys.entries()) {
    lru.set(key, texts[i])
    await store.set(key, texts[i])
    await store.getText(key)
    await json.set(key, documents[i])
    await json.getJson(key)
  }

  let at = 0
  const next = () => keys[at++ & (KEYS - 1)]
  const fromMap = async (key) => map.get(key)

  await compare(
    "A synchronous L1 hit, text of 100 bytes",
    {
      "lru-cache get with TTL": () => lru.get(next()),
      "Map get": () => map.get(next()),
      peekText: () => store.peekText(next()),
      "peek (a copy of the bytes)": () => store.peek(next()),
    },
    { goals: { peekText: 1.5 } },
  )
  await compare(
    "An asynchronous L1 hit",
    {
      "await an async Map get": () => fromMap(next()),
      getText: () => store.getText(next()),
      "get (a copy of the bytes)": () => store.get(next()),
      getJson: () => json.getJson(next()),
      "getJson, mutable (parses)": () => json.getJson(next(), { mutable: true }),
    },
    { goals: { getText: 1.5, getJson: 1.5 } },
  )
  await store.close()
  await json.close()
}
