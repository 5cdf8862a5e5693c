import { readFileSync } from "node:fs"
import { setTimeout as sleep } from "node:timers/promises"
import { BentoCache, bentostore } from "bentocache"
import { memoryDriver } from "bentocache/drivers/memory"
import { Cacheable, Keyv as KeyvOfCacheable } from "cacheable"
import { Keyv } from "keyv"
import { kv } from "tiered-kv"
import { memory } from "tiered-kv/memory"
import { createStorage } from "unstorage"
import { table } from "./compare.js"

const HOUR_MS = 3_600_000
/** More entries than any default bound of a cache in memory, and few enough to write in a second. */
const MANY = 50_000

/** What each library of the README's table does by default, over a store that can be held up and can fail. */
export async function libraries() {
  const makers = { "tiered-kv": ours, bentocache: bento, cacheable, keyv, unstorage }
  const columns = []
  for (const make of Object.values(makers)) columns.push(await examine(make))
  const rows = Object.keys(columns[0]).map((question) => [
    question,
    ...columns.map((column) => column[question]),
  ])
  const head = ["", ...Object.keys(makers).map((name) => `${name} ${versionOf(name)}`)]
  table("Two tiers over a store that is slow or fails, by default", head, rows)
}

async function examine(make) {
  const store = slowStore()
  const warm = await make(store)
  await warm.set("key", "old")
  const { hasTwoTiers = true } = warm
  const cache = await make(store)
  const letGo = store.hold()
  const reading = cache.get("key")
  await sleep(20)
  const writing = cache.set("key", "new")
  await sleep(20)
  letGo()
  await Promise.all([reading, writing])
  const after = await cache.get("key")
  await cache.set("text", "12")
  const text = await (await make(store)).get("text")
  await cache.set("null", "null")
  const nothing = await (await make(store)).get("null")
  store.fails = true
  const column = {
    "a get after a set, beside a slow read": hasTwoTiers ? after : "one tier",
    "a set that the store refuses": await outcome(() => cache.set("refused", "1")),
    "a get in an outage": await outcome(async () => (await make(store)).get("key")),
    'the texts "12" and "null" come back as': `${JSON.stringify(text)}, ${JSON.stringify(nothing)}`,
  }
  if (!hasTwoTiers) return { ...column, "the first of 50,000 entries is in L1": "one tier" }
  return { ...column, "the first of 50,000 entries is in L1": String(await keepsTheFirst(make)) }
}

/** Whether L1 answers for the first of many entries, once the store has forgotten it. */
async function keepsTheFirst(make) {
  const store = slowStore()
  const cache = await make(store)
  for (let i = 0; i < MANY; i++) {
    await cache.set(`key:${i}`, "1")
    await cache.get(`key:${i}`)
  }
  store.rows.clear()
  return ((await cache.get("key:0")) ?? undefined) !== undefined
}

async function outcome(call) {
  try {
    return `resolves ${JSON.stringify(await call())}`
  } catch {
    return "rejects"
  }
}

/** A store in memory whose reads can be held up after they have found their answer, and all of whose calls can fail. */
function slowStore() {
  const rows = new Map()
  let held
  const answer = (call) => {
    if (store.fails) throw new Error("outage")
    return call()
  }
  const store = {
    rows,
    fails: false,
    hold() {
      let letGo
      held = new Promise((resolve) => {
        letGo = resolve
      })
      return () => {
        held = undefined
        letGo()
      }
    },
    async get(key) {
      const found = answer(() => rows.get(key))
      await held
      return found
    },
    set: async (key, value) => answer(() => void rows.set(key, value)),
    delete: async (key) => answer(() => rows.delete(key)),
    has: async (key) => answer(() => rows.has(key)),
  }
  return store
}

async function ours(store) {
  const rows = memory()
  const backend = {
    ...rows,
    traits: { ...rows.traits, inProcess: false, root: store },
    get: async (key) => store.get(key),
    put: async (key, write) => {
      const result = await rows.put(key, write)
      await store.set(key, { ...write, version: result.version })
      return result
    },
  }
  const opened = await kv("cache", { backend, l1: { ttlMs: HOUR_MS }, isolated: true, timeoutMs: 500 })
  return { get: (key) => opened.getText(key), set: (key, value) => opened.set(key, value) }
}

async function bento(store) {
  const driver = {
    type: "l2",
    getKey: (key) => key,
    setPrefix() {},
    namespace: () => driver,
    get: (key) => store.get(key),
    async set(key, value) {
      await store.set(key, value)
      return true
    },
    delete: (key) => store.delete(key),
    has: (key) => store.has(key),
    async disconnect() {},
  }
  const layers = bentostore()
    .useL1Layer(memoryDriver())
    .useL2Layer({ options: {}, factory: () => driver })
  const cache = new BentoCache({ default: "cache", stores: { cache: layers } })
  return { get: (key) => cache.get({ key }), set: (key, value) => cache.set({ key, value, ttl: HOUR_MS }) }
}

async function cacheable(store) {
  return new Cacheable({ secondary: silent(new KeyvOfCacheable({ store: keyvStore(store) })) })
}

async function keyv(store) {
  const cache = silent(new Keyv({ store: keyvStore(store) }))
  return { hasTwoTiers: false, get: (key) => cache.get(key), set: (key, value) => cache.set(key, value) }
}

async function unstorage(store) {
  const storage = createStorage({
    driver: {
      getItem: (key) => store.get(key),
      setItem: (key, value) => store.set(key, value),
      removeItem: (key) => store.delete(key),
      hasItem: (key) => store.has(key),
      getKeys: () => [],
    },
  })
  return {
    hasTwoTiers: false,
    get: (key) => storage.getItem(key),
    set: (key, value) => storage.setItem(key, value),
  }
}

/** keyv advises to listen for its failures: without a listener it rejects, and a failure between two calls ends the process. */
function silent(cache) {
  cache.on("error", () => {})
  return cache
}

function keyvStore({ get, set, delete: remove, has, rows }) {
  return {
    opts: {},
    on() {},
    get,
    async set(key, value) {
      await set(key, value)
      return true
    },
    delete: remove,
    has,
    clear: async () => rows.clear(),
  }
}

function versionOf(name) {
  const file = new URL(
    name === "tiered-kv" ? "../package.json" : `node_modules/${name}/package.json`,
    import.meta.url,
  )
  return JSON.parse(readFileSync(file, "utf8")).version
}
