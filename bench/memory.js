import { LRUCache } from "lru-cache"
import { kv } from "tiered-kv"
import { table } from "./compare.js"
import { flat, settled, versionOf } from "./rounds.js"

const ENTRIES = 200_000
const VALUE_BYTES = 100

/** Heap and other memory that one entry takes beyond its key and value. */
export async function memory() {
  if (globalThis.gc === undefined) throw new Error("run with node --expose-gc")
  const rows = []
  const row = async (name, fill) => {
    const before = await settled()
    const keys = Array.from({ length: ENTRIES }, (_, i) => flat(`user:${i.toString().padStart(6, "0")}`))
    const payload = keys[0].length + VALUE_BYTES
    const [kept, reported] = await fill(keys)
    keys.length = 0
    const bytes = (await settled()) - before
    rows.push([name, (bytes / ENTRIES).toFixed(0), (bytes / ENTRIES - payload).toFixed(0), reported ?? ""])
    return kept
  }
  const textOf = (i) => flat(i.toString(36).padStart(VALUE_BYTES, "x"))

  await row("Map, text", async (keys) => [new Map(keys.map((key, i) => [key, textOf(i)]))])
  await row("lru-cache, text", async (keys) => {
    const lru = new LRUCache({ max: ENTRIES })
    for (const [i, key] of keys.entries()) lru.set(key, textOf(i))
    return [lru]
  })
  await row("lru-cache with TTL and sizes, text", async (keys) => {
    const lru = new LRUCache({ max: ENTRIES, maxSize: 1e9, ttl: 3_600_000 })
    for (const [i, key] of keys.entries()) lru.set(key, textOf(i), { size: VALUE_BYTES })
    return [lru]
  })
  await row("lru-cache with TTL and sizes, bytes", async (keys) => {
    const lru = new LRUCache({ max: ENTRIES, maxSize: 1e9, ttl: 3_600_000 })
    for (const [i, key] of keys.entries())
      lru.set(key, new Uint8Array(Buffer.from(textOf(i))), { size: VALUE_BYTES })
    return [lru]
  })
  await row("L1 of tiered-kv", async (keys) => {
    const l1 = { maxEntries: ENTRIES, maxBytes: 1e9, ttlMs: 3_600_000 }
    const store = await kv("memory", { backend: onTheFly(textOf), l1 })
    for (const key of keys) await store.getText(key)
    const { entries, bytes } = store.stats().l1
    if (entries !== ENTRIES) throw new Error(`L1 holds ${entries} entries`)
    return [store, `stats() says ${(bytes / entries).toFixed(0)} an entry`]
  })
  table(
    `Memory of ${ENTRIES.toLocaleString("en")} entries of ${VALUE_BYTES} bytes`,
    ["", "bytes an entry", "beyond key and value", "reported"],
    rows,
  )
}

/** A backend that makes its rows up as they are read, so that L1 alone takes memory. */
function onTheFly(textOf) {
  return {
    traits: {
      kind: "made-up",
      target: "memory",
      system: "made-up",
      inProcess: true,
      ordered: false,
      calls: {},
    },
    open: async () => {},
    get(key) {
      const i = Number(key.slice("user:".length))
      return { value: Buffer.from(textOf(i)), version: versionOf(i) }
    },
    close: async () => {},
  }
}
