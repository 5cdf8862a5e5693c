import { PerformanceObserver } from "node:perf_hooks"
import { setImmediate as nextTurn } from "node:timers/promises"
import { flat, settled, versionOf } from "./rounds.js"
import { candidate, fill, VALUE_BYTES } from "./storage-candidates.js"

/** Run as a process of its own: measures one candidate, and prints what it found as JSON. */
const [what, which] = process.argv.slice(2)
console.log(JSON.stringify(await { memory, growth }[what]()))

async function memory() {
  const { empty, beyond } = await memoryOf(200_000)
  if (which !== "l1") return { empty, beyond }
  return { empty, beyond, expiring: (await memoryOf(200_000, Date.now() + 1e9)).beyond }
}

/** Bytes of an empty candidate, and of an entry beyond its key and its value. */
async function memoryOf(count, expiresAt) {
  // Once before the measurement, so that the code is loaded.
  fill({ [which]: candidate(which, 10) }, "key", Buffer.alloc(VALUE_BYTES, "x"), versionOf(1), expiresAt)
  const before = await settled()
  const held = candidate(which, count)
  const empty = (await settled()) - before
  let payload = 0
  for (let i = 0; i < count; i++) {
    const key = flat(`user:${i.toString().padStart(6, "0")}`)
    payload += key.length + VALUE_BYTES
    fill(
      { [which]: held },
      key,
      Buffer.from(i.toString(36).padStart(VALUE_BYTES, "x")),
      versionOf(i),
      expiresAt,
    )
  }
  const beyond = ((await settled()) - before - payload) / count
  if ((held.size ?? held.entries) !== count) throw new Error(`${which} is not full`)
  return { empty, beyond }
}

/** Processor time of the slowest fills, ms, without those in which the garbage collector ran. */
async function growth() {
  const collections = []
  new PerformanceObserver((list) => collections.push(...list.getEntries())).observe({ entryTypes: ["gc"] })
  const count = 1_000_000
  const keys = Array.from({ length: count }, (_, i) => flat(`user:${i}`))
  const value = Buffer.alloc(VALUE_BYTES, "x")
  const version = versionOf(1)
  const held = { [which]: candidate(which, count) }
  await settled()
  const fills = []
  for (const [i, key] of keys.entries()) {
    const start = performance.now()
    const before = process.cpuUsage()
    fill(held, key, value, version)
    const { user, system } = process.cpuUsage(before)
    const ms = (user + system) / 1_000
    if (ms > 1) fills.push({ ms, start, end: performance.now() })
    if (i % 1_000 === 0) await nextTurn()
  }
  await nextTurn()
  return fills
    .filter(
      ({ start, end }) =>
        !collections.some(({ startTime, duration }) => startTime < end && startTime + duration > start),
    )
    .map(({ ms }) => ms)
    .sort((a, b) => b - a)
    .slice(0, 3)
}
