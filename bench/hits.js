import { LRUCache } from "lru-cache"
import { kv } from "tiered-kv"
import { randomKeys, timeLoops } from "./rounds.js"

/** No entry expires while it is measured. */
const HOUR_MS = 3_600_000
const SIZES = [1_024, 10_000, 100_000]
const SYNC_GOALS = { 1024: 1, 10000: 1, 100000: 0.8 }
const ASYNC_GOALS = { 1024: 1.25, 10000: 1.45 }
/** Keys of one call of `getMany`. */
const KEYS_A_CALL = 10

/**
 * An L1 hit of random keys, from as many as fit in the processor's caches to more: the synchronous reads beside `lru-cache`
 * alone, the asynchronous ones beside an async function around `Map.get`.
 */
export async function hits() {
  const results = {}
  for (const size of SIZES) {
    const { sync, async, close } = await hitsOf(size)
    const options = { calls: Math.max(50_000, size), rounds: 31 }
    const title = `${size.toLocaleString("en")} random keys, text of 100 bytes`
    results[`sync, ${size}`] = await timeLoops(`${title}: a synchronous L1 hit`, sync, {
      ...options,
      goals: { peekText: SYNC_GOALS[size] },
    })
    results[`async, ${size}`] = await timeLoops(`${title}: an awaited L1 hit`, async, {
      ...options,
      goals: { getText: ASYNC_GOALS[size] },
    })
    await close()
  }
  return results
}

async function hitsOf(size) {
  const { keys, asked, texts, order, shuffled, mask } = randomKeys(size)
  const l1 = { maxEntries: size, maxBytes: 1e12, ttlMs: HOUR_MS }
  const store = await kv("hits", { backend: "memory:", l1 })
  const json = await kv("json", { backend: "memory:", l1 })
  const lru = new LRUCache({ max: size, ttl: HOUR_MS })
  const map = new Map()
  for (const i of shuffled) {
    lru.set(keys[i], texts[i])
    map.set(keys[i], texts[i])
    await store.set(keys[i], texts[i])
    await store.getText(keys[i])
    await json.set(keys[i], { name: "Alice", plan: "pro", seats: i, tags: ["a", "b"] })
    await json.getJson(keys[i])
  }
  for (const [i, key] of asked.entries()) {
    const answers = [lru.get(key), map.get(key), store.peekText(key), json.peekJson(key)?.seats]
    if (answers.join() !== [texts[i], texts[i], texts[i], i].join()) throw new Error(`${key} is ${answers}`)
    if (Buffer.from(store.peek(key)).toString() !== texts[i]) throw new Error(`${key} has other bytes`)
  }
  const fromMap = async (key) => map.get(key)
  const unreachable = () => {
    throw new Error("every key is held")
  }
  const batches = Array.from({ length: 1_024 }, (_, batch) =>
    Array.from({ length: KEYS_A_CALL }, (_, i) => asked[shuffled[(batch * KEYS_A_CALL + i) % size]]),
  )

  // Every loop adds 100 a key: the length of the text, or of its bytes.
  const sync = {
    "lru-cache get with TTL": (calls) => {
      let sum = 0
      for (let i = 0; i < calls; i++) sum += lru.get(asked[order[i & mask]]).length
      return sum
    },
    "Map get": (calls) => {
      let sum = 0
      for (let i = 0; i < calls; i++) sum += map.get(asked[order[i & mask]]).length
      return sum
    },
    peekText: (calls) => {
      let sum = 0
      for (let i = 0; i < calls; i++) sum += store.peekText(asked[order[i & mask]]).length
      return sum
    },
    "peekJson (shared)": (calls) => {
      let sum = 0
      for (let i = 0; i < calls; i++) sum += json.peekJson(asked[order[i & mask]]).name.length * 20
      return sum
    },
    "peek (a copy of the bytes)": (calls) => {
      let sum = 0
      for (let i = 0; i < calls; i++) sum += store.peek(asked[order[i & mask]]).length
      return sum
    },
  }
  const async = {
    "an async Map get": async (calls) => {
      let sum = 0
      for (let i = 0; i < calls; i++) sum += (await fromMap(asked[order[i & mask]])).length
      return sum
    },
    getText: async (calls) => {
      let sum = 0
      for (let i = 0; i < calls; i++) sum += (await store.getText(asked[order[i & mask]])).length
      return sum
    },
    "getJson (shared)": async (calls) => {
      let sum = 0
      for (let i = 0; i < calls; i++) sum += (await json.getJson(asked[order[i & mask]])).name.length * 20
      return sum
    },
    "get (a copy of the bytes)": async (calls) => {
      let sum = 0
      for (let i = 0; i < calls; i++) sum += (await store.get(asked[order[i & mask]])).length
      return sum
    },
    "getEntry (with the version)": async (calls) => {
      let sum = 0
      for (let i = 0; i < calls; i++) sum += (await store.getEntry(asked[order[i & mask]])).value.length
      return sum
    },
    "getOrSet (shared JSON)": async (calls) => {
      let sum = 0
      for (let i = 0; i < calls; i++) {
        sum += (await json.getOrSet(asked[order[i & mask]], unreachable)).name.length * 20
      }
      return sum
    },
    [`getManyText of ${KEYS_A_CALL} keys, a key`]: async (calls) => {
      let sum = 0
      for (let i = 0; i < calls; i += KEYS_A_CALL) {
        sum += (await store.getManyText(batches[(i / KEYS_A_CALL) & 1_023])).size * 100
      }
      return sum
    },
  }
  return { sync, async, close: () => Promise.all([store.close(), json.close()]) }
}
