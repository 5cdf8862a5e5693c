// A small shop, written for the embedded store: it opens "shop" and does not know what is behind it. It checks what it
// gets as it goes along, and prints what a customer would have seen.
import assert from "node:assert/strict"
import { randomUUID } from "node:crypto"
import { setTimeout as sleep } from "node:timers/promises"
import { kv } from "tiered-kv"

const shop = await kv("shop")
const seen = {}

// Sessions: signed in, and looked up again and again.
const session = { user: "alice", roles: ["buyer"], cart: { "sku:7": 2 } }
const signedIn = await shop.put("session:abc", session, { ttlMs: 3_600_000 })
seen.session = await shop.getJson("session:abc")
seen.roles = (await shop.getJson("session:abc", { consistency: "strong" })).roles
assert.equal((await shop.getEntry("session:abc")).expiresAt, signedIn.expiresAt)
assert.equal(shop.peekJson("session:abc").user, "alice")

// A lock: eight workers want it, one has it; released under its version, so that nobody else's is.
const lock = (owner) => shop.put("lock:stock", { owner }, { ifNotExists: true, ttlMs: 30_000 })
const attempts = await Promise.all(["w1", "w2", "w3", "w4", "w5", "w6", "w7", "w8"].map(lock))
const held = attempts.filter(({ applied }) => applied)
assert.equal(held.length, 1)
seen.released = await shop.delete("lock:stock", { ifVersion: held[0].version })
seen.releasedTwice = await shop.delete("lock:stock", { ifVersion: held[0].version })
seen.lockedAgain = (await lock("w9")).applied

// A payment that arrives three times is made once.
let charges = 0
const pay = async (id) => {
  if (!(await shop.set(`paid:${id}`, "", { ifNotExists: true, ttlMs: 86_400_000 }))) return "already paid"
  charges++
  return "paid"
}
seen.payments = [await pay("p-1"), await pay("p-1"), await pay("p-2")]
assert.equal(charges, 2)
assert.deepEqual(await shop.get("paid:p-1"), new Uint8Array(0))

// An order number: read, add one, write if nobody else did; five tills at once, four orders each.
await shop.set("counter:order", "0")
const nextOrder = async () => {
  for (;;) {
    const { value, version } = await shop.getEntry("counter:order", { consistency: "strong" })
    const next = Number(Buffer.from(value).toString()) + 1
    if (await shop.set("counter:order", String(next), { ifVersion: version })) return next
  }
}
const till = async () => [await nextOrder(), await nextOrder(), await nextOrder(), await nextOrder()]
const orders = (await Promise.all([till(), till(), till(), till(), till()])).flat()
assert.deepEqual(
  orders.toSorted((a, b) => a - b),
  Array.from({ length: 20 }, (_, index) => index + 1),
)
seen.orders = await shop.getText("counter:order")

// A catalogue: written in one call, read in one call, listed page by page, and thinned out.
const skus = Array.from({ length: 250 }, (_, index) => `sku:${String(index).padStart(3, "0")}`)
await shop.setMany(skus.map((sku, index) => [sku, { sku, price: index * 10 }]))
await shop.set("skunk:1", "no article")
const asked = ["sku:none", ...skus, ...skus.slice(0, 5), "lock:none"]
const prices = await shop.getManyJson(asked)
assert.equal(prices.size, 250)
for (const [index, sku] of skus.entries()) assert.deepEqual(prices.get(sku), { sku, price: index * 10 })

const listed = []
for await (const { key } of shop.scan("sku:", { limit: 40 })) listed.push(key)
assert.deepEqual(listed.toSorted(), skus)
const page = await shop.scanPage("sku:", { limit: 40 })
assert.ok(page.entries.length <= 40 && page.nextCursor !== undefined)
let { nextCursor } = page
let rest = page.entries.length
while (nextCursor !== undefined) {
  const next = await shop.scanPage("sku:", { limit: 200, cursor: nextCursor })
  rest += next.entries.length
  nextCursor = next.nextCursor
}
seen.listed = [listed.length, rest]

await shop.deleteMany([...skus.slice(50), "sku:none"])
seen.left = (await shop.getMany(skus)).size
let counted = 0
for await (const entry of shop.scan("sku:")) counted += entry.value.length > 0 ? 1 : 0
seen.scanned = counted

// A flag from somewhere slow, loaded once for forty callers.
let loads = 0
const flag = () =>
  shop.getOrSet("flag:new-checkout", async () => {
    loads++
    return { on: true, share: 0.25 }
  })
const flags = await Promise.all(Array.from({ length: 40 }, flag))
assert.equal(loads, 1)
seen.flag = flags[39]

// Every legal key and value, exactly.
const odd = {
  ".": "dot",
  "..": "dots",
  __reserved__: "underscores",
  "a:b-c_d.e": "mixed",
  ["k".repeat(512)]: "long",
  "A:case": "upper",
  "a:case": "lower",
}
for (const [key, value] of Object.entries(odd)) await shop.set(key, value)
for (const [key, value] of Object.entries(odd)) {
  assert.equal(await shop.getText(key, { consistency: "strong" }), value)
}
const values = { bytes: Uint8Array.from({ length: 24_576 }, (_, index) => (index * 31) % 256), none: "" }
await shop.set("value:bytes", values.bytes)
assert.deepEqual(await shop.get("value:bytes"), values.bytes)
await shop.set("value:text", "häuser, 家, 🏠")
seen.text = await shop.getText("value:text")
for (const value of [0, false, null, "", [], "12"]) {
  const key = `value:${randomUUID()}`
  await shop.set(key, value)
  if (typeof value === "string") assert.equal(await shop.getText(key), value)
  else assert.deepEqual(await shop.getJson(key), value)
  assert.equal(await shop.exists(key), true)
}
await assert.rejects(shop.set("value:large", "x".repeat(24_577)), { code: "INVALID_VALUE", limit: 24_576 })
await assert.rejects(shop.set("no spaces", "x"), { code: "INVALID_KEY" })
const foreign = await shop.put("value:text", "other")
await assert.rejects(shop.set("value:bytes", "x", { ifVersion: foreign.version }), { code: "INVALID_VERSION" })

// A code whose time is up, to the millisecond: for reads, for conditions and in a scan; the next one takes its place.
const code = await shop.put("code:alice", "271828", { ttlMs: 1_000 })
seen.code = await shop.getText("code:alice")
// A timer may end up to a millisecond early by the wall clock.
while (Date.now() < code.expiresAt) await sleep(Math.max(1, code.expiresAt - Date.now()))
seen.over = [await shop.getText("code:alice"), await shop.exists("code:alice")].map(String)
seen.refused = await shop.set("code:alice", "late", { ifVersion: code.version })
for await (const { key } of shop.scan("code:")) assert.fail(`${key} should have expired`)
seen.takenOver = await shop.set("code:alice", "314159", { ifNotExists: true })
seen.next = await shop.getText("code:alice")

const keys = []
for await (const { key } of shop.scan("")) keys.push(key.startsWith("value:") ? "value:*" : key)
seen.keys = keys.toSorted()
await shop.close()
await assert.rejects(shop.get("session:abc"), { code: "CLOSED" })
console.log(JSON.stringify(seen))
