import { fork } from "node:child_process"
import { once } from "node:events"
import { setTimeout as sleep } from "node:timers/promises"
import { kv } from "tiered-kv"
import { redisBus } from "tiered-kv/bus/redis"
import { median, table } from "./compare.js"
import { randomKeys, timeLoops } from "./rounds.js"
import { ServerMissing, startRedis } from "./servers.js"

const HOUR_MS = 3_600_000
const SIZE = 1_024
const HIT_GOAL = 1.05
/** Invalidations a second that a process receives, in bursts of {@link BURST}. */
const RECEIVED_A_SECOND = 10_000
const BURST = 100
const MEASURED_MS = 5_000
const FRAMES_A_PUBLICATION = 64
const PUBLICATIONS = 500

/**
 * What a bus over Redis costs: a hit with a bus beside one without, the frames that it carries, and the processor time of a process that
 * only receives invalidations, beside that of bentocache's bus.
 */
export async function bus() {
  let server
  try {
    server = await startRedis()
  } catch (error) {
    if (!(error instanceof ServerMissing)) throw error
    console.log(`The bus is not measured: ${error.message}`)
    return
  }
  const url = `redis://127.0.0.1:${server.port}`
  try {
    const hit = await hits(url)
    const carried = await frames(url)
    const receiving = await receivers(server.port)
    return { hit, carried, receiving }
  } finally {
    await server.stop()
  }
}

async function hits(url) {
  const { keys, asked, texts, order, shuffled, mask } = randomKeys(SIZE)
  const l1 = { maxEntries: SIZE, maxBytes: 1e12, ttlMs: HOUR_MS }
  const without = await kv("without", { backend: "memory:", l1 })
  const withBus = await kv("with", { backend: "memory:", l1, bus: url })
  for (const store of [without, withBus]) {
    for (const i of shuffled) {
      await store.set(keys[i], texts[i])
      await store.getText(keys[i])
    }
    await sleep(100)
    for (const i of shuffled) await store.getText(keys[i])
  }
  const loop = (store) => (calls) => {
    let sum = 0
    for (let i = 0; i < calls; i++) sum += store.peekText(asked[order[i & mask]]).length
    return sum
  }
  const loops = {
    "without a bus": loop(without),
    // A function of its own, so that neither loop has the type feedback of the other.
    "with a bus": (calls) => {
      let sum = 0
      for (let i = 0; i < calls; i++) sum += withBus.peekText(asked[order[i & mask]]).length
      return sum
    },
  }
  const results = await timeLoops(`${SIZE} random keys, text of 100 bytes: a synchronous L1 hit`, loops, {
    ...{ calls: 50_000, rounds: 31 },
    goals: { "with a bus": HIT_GOAL },
  })
  await Promise.all([without.close(), withBus.close()])
  return results
}

/** Publishes one publication after the other, as a store does, until the last frame has come back. */
async function frames(url) {
  const carrier = redisBus(url)
  let back = 0
  let arrived = () => {}
  await carrier.open({
    channel: "tiered-kv:bench",
    message() {
      back++
      arrived()
    },
    alive() {},
    lost() {},
  })
  const frame = (bytes) => new Uint8Array(bytes).fill(7)
  const many = Array.from({ length: FRAMES_A_PUBLICATION }, () => frame(80))
  const begin = performance.now()
  for (let i = 0; i < PUBLICATIONS; i++) await carrier.publish(many)
  const all = PUBLICATIONS * FRAMES_A_PUBLICATION
  while (back < all) await sleep(1)
  const aSecond = all / ((performance.now() - begin) / 1e3)

  const lags = []
  for (let i = 0; i < 1_000; i++) {
    const sentAt = performance.now()
    const comesBack = new Promise((resolve) => {
      arrived = resolve
    })
    void carrier.publish([frame(80)])
    await comesBack
    lags.push(performance.now() - sentAt)
    await new Promise((resolve) => setImmediate(resolve))
  }
  await carrier.close()
  lags.sort((a, b) => a - b)
  const result = { aSecond, p50: median(lags), p99: lags[Math.floor(lags.length * 0.99)] }
  table(
    `Frames of 80 bytes, ${FRAMES_A_PUBLICATION} a publication; the time until a lone one comes back`,
    ["", "frames a second", "lag p50", "lag p99"],
    [
      [
        "Redis",
        Math.round(aSecond).toLocaleString("en"),
        `${result.p50.toFixed(2)} ms`,
        `${result.p99.toFixed(2)} ms`,
      ],
    ],
  )
  return result
}

/** The processor time of a process that receives, and what it received. */
async function receivers(port) {
  const rows = []
  const results = {}
  for (const kind of ["tiered-kv", "bentocache"]) {
    const receiver = await member(kind, port)
    const sender = await member(kind, port)
    const idle = await measured(receiver, () => sleep(MEASURED_MS))
    const busy = await measured(receiver, () =>
      ask(sender, "send", { ms: MEASURED_MS, aSecond: RECEIVED_A_SECOND, burst: BURST }),
    )
    for (const child of [receiver, sender]) child.kill()
    results[kind] = { idle, busy }
    rows.push([kind, percent(idle.cpu), percent(busy.cpu), Math.round(busy.received).toLocaleString("en")])
  }
  table(
    `A process that receives ${RECEIVED_A_SECOND.toLocaleString("en")} invalidations a second, ${BURST} at once`,
    ["", "processor, idle", "receiving", "received a second"],
    rows,
  )
  return results
}

async function member(kind, port) {
  const child = fork(new URL("./bus-member.js", import.meta.url), [kind, String(port)])
  await once(child, "message")
  return child
}

async function ask(child, call, settings = {}) {
  const answer = once(child, "message")
  child.send({ call, ...settings })
  return (await answer)[0]
}

async function measured(child, meanwhile) {
  const before = await ask(child, "usage")
  await meanwhile()
  const after = await ask(child, "usage")
  const ms = after.at - before.at
  return { cpu: (after.cpuMs - before.cpuMs) / ms, received: ((after.received - before.received) * 1e3) / ms }
}

const percent = (share) => `${(share * 100).toFixed(1)} %`
