// A process of a fleet: writes keys of its own, reads all keys, and reports what it has seen. Times are of the monotonic clock of the machine, ms.
import { kv } from "tiered-kv"
import { redisBus } from "tiered-kv/bus/redis"
import { redis } from "tiered-kv/redis"

const { backend, bus, own, keys, firstSequence, times, readsATurn } = JSON.parse(process.argv[2])
const now = () => Number(process.hrtime.bigint() / 1_000n) / 1_000

/** Whether the latest publication was answered within the lease. */
let answered = true
let publishedAt
const carrier = redisBus(bus, times)
const watched = {
  ...carrier,
  async publish(frames) {
    publishedAt = now()
    try {
      await carrier.publish(frames)
      answered = now() - publishedAt <= times.leaseMs
    } catch (error) {
      answered = false
      throw error
    } finally {
      publishedAt = undefined
    }
  },
}
/** Shorter than L1 trusts a reading of its clock, ms. */
const LONGEST_TURN_MS = 100
const isCovered = () => answered && (publishedAt === undefined || now() - publishedAt <= times.leaseMs)

// Each process reaches the server at an address of its own, and all are on one channel.
const tier = redis(backend, { requestTimeoutMs: 1_000, openLazily: true })
const store = await kv("fleet", { backend: tier, bus: watched, timeoutMs: 1_000, l1: { ttlMs: 600_000 } })
let sequence = firstSequence
let failures = 0
let seen = new Map()
let report = []

async function write(key) {
  const written = ++sequence
  try {
    await store.set(key, String(written))
    report.push({ kind: "written", key, sequence: written, at: now(), covered: isCovered() })
  } catch {
    failures++
  }
}

let turnedAt = now()

/**
 * A hit reads no clock: of a process that was stopped in the middle of a turn of its event loop, the next few hits of that turn are answered by
 * the clock from before. They are not judged.
 */
async function turnAfterPause() {
  while (now() - turnedAt > LONGEST_TURN_MS) {
    await new Promise((resolve) => setTimeout(resolve, 1))
    await new Promise((resolve) => setImmediate(resolve))
    turnedAt = now()
  }
}

async function read() {
  // A few keys are read often.
  const key = keys[Math.floor(keys.length * Math.random() ** 3)]
  await turnAfterPause()
  const begin = now()
  try {
    const found = Number((await store.getText(key)) ?? 0)
    const last = seen.get(key)
    if (last !== undefined && last.sequence !== found) report.push(last)
    // Of the reads that saw the same, the last one is the one that can be too late.
    seen.set(key, { kind: "read", key, sequence: found, at: begin, end: now() })
  } catch {
    failures++
  }
}

function flush() {
  report.push(...seen.values())
  process.send({ report, failures, stats: store.stats() })
  report = []
  seen = new Map()
  failures = 0
}
setInterval(flush, 50)

let stopping = false
process.on("message", () => {
  stopping = true
})
process.on("disconnect", () => process.exit())
while (!stopping) {
  await Promise.all(own.map(write))
  for (let i = 0; i < readsATurn; i += 10) await Promise.all(Array.from({ length: 10 }, read))
  // Lets timers and the bus run.
  await new Promise((resolve) => setTimeout(resolve, 1))
  turnedAt = now()
}
flush()
await store.close()
process.disconnect()
