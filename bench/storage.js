import { execFile } from "node:child_process"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { median, table } from "./compare.js"
import { L1Entry } from "./internals.js"
import { flat, randomKeys, timeLoops, versionOf } from "./rounds.js"
import { candidates, fill, NAMES, VALUE_BYTES } from "./storage-candidates.js"

/** L1's storage beside `lru-cache` alone and beside an L1 on `lru-cache`: the figures of decision 0011. */
export async function storage() {
  const results = {}
  for (const count of [1_024, 10_000, 100_000]) {
    const { sync, async } = hitLoops(count)
    const calls = Math.max(50_000, count)
    const title = `${count.toLocaleString("en")} random keys`
    results[`sync hit, ${count}`] = await timeLoops(`${title}, a synchronous hit`, sync, {
      calls,
      rounds: 41,
    })
    results[`async hit, ${count}`] = await timeLoops(`${title}, an awaited hit`, async, { calls, rounds: 41 })
  }
  for (const count of [10_000, 1_000_000]) {
    const loops = fillLoops(count)
    const title = `${count.toLocaleString("en")} entries held, each fill evicts one`
    results[`fill, ${count}`] = await timeLoops(title, loops, {
      calls: Math.max(50_000, count / 8),
      rounds: 21,
    })
  }
  results.memory = await memory()
  results.growth = await growth()
  return results
}

function hitLoops(count) {
  const { keys, asked, texts, order, shuffled, mask } = randomKeys(count)
  const { lru, lruL1, l1 } = candidates(count)
  const map = new Map()
  for (const i of shuffled) {
    fill({ lru, lruL1, l1 }, keys[i], Buffer.from(texts[i]), versionOf(i))
    map.set(keys[i], texts[i])
  }
  for (const [i, key] of asked.entries()) {
    const answers = [lru.get(key), lruL1.get(key)?.text, l1.textAt(l1.find(key)), map.get(key)]
    if (answers.some((answer) => answer !== texts[i])) throw new Error(`${key} is ${answers}`)
  }
  const sync = {
    "lru-cache with TTL and sizes": (calls) => {
      let sum = 0
      for (let i = 0; i < calls; i++) sum += lru.get(asked[order[i & mask]]).length
      return sum
    },
    "an L1 on lru-cache": (calls) => {
      let sum = 0
      for (let i = 0; i < calls; i++) sum += lruL1.get(asked[order[i & mask]]).text.length
      return sum
    },
    "L1, in slots": (calls) => {
      let sum = 0
      for (let i = 0; i < calls; i++) sum += l1.textAt(l1.find(asked[order[i & mask]])).length
      return sum
    },
  }
  const fromMap = async (key) => map.get(key)
  const fromLruL1 = async (key) => lruL1.get(key)?.text
  const fromL1 = async (key) => l1.textAt(l1.find(key))
  const async = {
    "an async Map get": async (calls) => {
      let sum = 0
      for (let i = 0; i < calls; i++) sum += (await fromMap(asked[order[i & mask]])).length
      return sum
    },
    "an L1 on lru-cache": async (calls) => {
      let sum = 0
      for (let i = 0; i < calls; i++) sum += (await fromLruL1(asked[order[i & mask]])).length
      return sum
    },
    "L1, in slots": async (calls) => {
      let sum = 0
      for (let i = 0; i < calls; i++) sum += (await fromL1(asked[order[i & mask]])).length
      return sum
    },
  }
  return { sync, async }
}

/** Every fill is of a key that is not held, with a row as a backend returns it: bytes and a version. */
function fillLoops(count) {
  const { lru, lruL1, l1 } = candidates(count)
  const keys = Array.from({ length: Math.min(4 * count, 2 * count + 100_000) }, (_, i) => flat(`user:${i}`))
  const versions = Array.from({ length: 1_024 }, (_, i) => versionOf(i))
  const value = Buffer.from("x".repeat(VALUE_BYTES))
  const at = { lru: 0, lruL1: 0, l1: 0 }
  const loops = {
    "lru-cache with TTL and sizes": (calls) => {
      for (let i = 0; i < calls; i++) {
        lru.set(keys[at.lru++ % keys.length], value.toString("latin1"), { size: VALUE_BYTES })
      }
      return calls
    },
    "an L1 on lru-cache": (calls) => {
      for (let i = 0; i < calls; i++) {
        lruL1.fill(keys[at.lruL1++ % keys.length], value, versions[i & 1_023])
      }
      return calls
    },
    "L1, in slots": (calls) => {
      for (let i = 0; i < calls; i++) {
        l1.fill(keys[at.l1++ % keys.length], new L1Entry(value, versions[i & 1_023], undefined))
      }
      return calls
    },
  }
  for (const loop of Object.values(loops)) loop(count)
  if ([lru.size, lruL1.size, l1.entries].some((size) => size !== count)) throw new Error("not all are full")
  return loops
}

/** Measures one candidate in a process of its own, where nothing else is on the heap. */
async function alone(what, which) {
  const script = fileURLToPath(new URL("./storage-alone.js", import.meta.url))
  const { stdout } = await promisify(execFile)(process.execPath, ["--expose-gc", script, what, which])
  return JSON.parse(stdout)
}

async function memory() {
  const results = {}
  for (const [which, name] of Object.entries(NAMES)) results[name] = await alone("memory", which)
  table(
    `Memory of 200,000 entries of ${VALUE_BYTES} bytes, versions of 48 digits`,
    ["", "empty, bytes", "bytes an entry beyond key and value", "with an expiry"],
    Object.entries(results).map(([name, { empty, beyond, expiring }]) => [
      name,
      empty,
      beyond.toFixed(1),
      expiring?.toFixed(1) ?? "",
    ]),
  )
  return results
}

/** The slowest fills until L1 is full: a map that grows moves all of its keys. Medians of five runs. */
async function growth() {
  const results = {}
  for (let run = 0; run < 5; run++) {
    for (const [which, name] of Object.entries(NAMES)) {
      results[name] ??= []
      results[name].push(await alone("growth", which))
    }
  }
  const dearest = Object.fromEntries(
    Object.entries(results).map(([name, runs]) => [
      name,
      [0, 1, 2].map((place) => median(runs.map((times) => times[place]))),
    ]),
  )
  table(
    "The three dearest fills of 1,000,000, ms of processor time, without garbage collection",
    ["", "first", "second", "third"],
    Object.entries(dearest).map(([name, times]) => [name, ...times.map((ms) => ms.toFixed(1))]),
  )
  return dearest
}
