import { randomBytes } from "node:crypto"
import { median, table } from "./compare.js"

/** Calls whose allocation is measured: too few for the garbage collector to run. */
const COUNTED_CALLS = 5_000

/**
 * Times loops side by side: the processor time of the whole process, the garbage collector included. The rounds take turns,
 * so that a machine whose speed drifts moves all of them alike; what counts is the ratio of a loop's time to the first
 * one's of the same round, the median of the rounds. The quartiles of the ratio beside it say how noisy the machine was.
 *
 * Every loop is a function of its own, because loops in one function would share its type feedback. It returns a sum of its
 * answers. The sums have to agree, so that all loops do the same work.
 *
 * @param {string} title
 * @param {Record<string, (calls: number) => number | Promise<number>>} loops the first is the reference
 * @param {{ calls: number, rounds?: number, goals?: Record<string, number> }} options `goals`: the largest ratios aimed at
 * @returns {Promise<Record<string, { ns: number, ratio: number, quartiles: [number, number], bytes?: number }>>}
 */
export async function timeLoops(title, loops, { calls, rounds = 21, goals = {} }) {
  const names = Object.keys(loops)
  const times = Object.fromEntries(names.map((name) => [name, []]))
  const sums = new Set()
  for (let round = -3; round < rounds; round++) {
    for (const name of names) {
      const start = process.cpuUsage()
      const answer = loops[name](calls)
      sums.add(typeof answer === "number" ? answer : await answer)
      const { user, system } = process.cpuUsage(start)
      if (round >= 0) times[name].push(((user + system) * 1_000) / calls)
    }
  }
  if (sums.size > 1) throw new Error(`${title}: the loops answer differently: ${[...sums]}`)
  const bytes = Object.fromEntries(names.map((name) => [name, []]))
  for (let round = 0; round < 5; round++) {
    for (const name of names) bytes[name].push(await allocated(loops[name]))
  }

  const results = {}
  const rows = names.map((name) => {
    const ratios = times[name].map((time, round) => time / times[names[0]][round]).sort((a, b) => a - b)
    const quartiles = [ratios[ratios.length >> 2], ratios[(3 * ratios.length) >> 2]]
    const result = { ns: median(times[name]), ratio: median(ratios), quartiles, bytes: median(bytes[name]) }
    results[name] = result
    return [
      name,
      `${result.ns.toFixed(1)} ns`,
      `${result.ratio.toFixed(2)}×`,
      quartiles.map((ratio) => ratio.toFixed(2)).join("–"),
      result.bytes.toFixed(0),
      verdict(result.ratio, goals[name]),
    ]
  })
  table(title, ["", "processor time", "ratio", "quartiles", "bytes a call", "goal"], rows)
  return results
}

async function allocated(loop) {
  globalThis.gc()
  const before = process.memoryUsage().heapUsed
  const answer = loop(COUNTED_CALLS)
  if (typeof answer !== "number") await answer
  return (process.memoryUsage().heapUsed - before) / COUNTED_CALLS
}

function verdict(ratio, goal) {
  if (goal === undefined) return ""
  return `≤ ${goal}× ${ratio <= goal ? "met" : "MISSED"}`
}

/**
 * Keys with texts of 100 bytes, and a random order of look-ups. The keys of the look-ups (`asked`) are other strings of the
 * same content, as a program makes them for each call.
 */
export function randomKeys(count) {
  const keys = Array.from({ length: count }, (_, i) => flat(`user:${i}`))
  const asked = keys.map(flat)
  const texts = keys.map(() => flat(randomBytes(50).toString("hex")))
  const order = new Uint32Array(1 << 20).map(() => Math.random() * count)
  /** The order of the fills, unrelated to the order of the keys in memory. */
  const shuffled = [...keys.keys()].sort(() => Math.random() - 0.5)
  return { keys, asked, texts, order, shuffled, mask: order.length - 1 }
}

/** A flat copy of the string, as a backend would return it. */
export function flat(text) {
  return Buffer.from(text).toString("latin1")
}

/** A version as the backends with an order have it: 48 hex digits. */
export function versionOf(i) {
  return flat(i.toString(16).padStart(16, "0") + randomBytes(16).toString("hex"))
}

/** Bytes in use once the garbage collector has nothing left to do. */
export async function settled() {
  for (let i = 0; i < 4; i++) {
    globalThis.gc()
    await new Promise((resolve) => setImmediate(resolve))
  }
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}
