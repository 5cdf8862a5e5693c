// A process with a cache on a bus over Redis. It sends invalidations when it is told to, and says what processor time it has used.
import { setTimeout as sleep } from "node:timers/promises"

const [kind, port] = process.argv.slice(2)

const MEMBERS = {
  async "tiered-kv"() {
    const { kv } = await import("tiered-kv")
    const { redisBus } = await import("tiered-kv/bus/redis")
    const bus = redisBus(`redis://127.0.0.1:${port}`)
    let keys = 0
    const counted = {
      ...bus,
      open: (subscriber) =>
        bus.open({
          ...subscriber,
          message(frame) {
            // A key takes 7 bytes more than its name in a frame, whose head has 27; heartbeats have 43.
            if (frame.length !== 43) keys += Math.round((frame.length - 27) / (7 + KEY_BYTES))
            subscriber.message(frame)
          },
        }),
    }
    const store = await kv("bench", { backend: "memory:", bus: counted })
    return { invalidate: (key) => store.invalidate(key), received: () => keys }
  },

  async bentocache() {
    const { BentoCache, bentostore } = await import("bentocache")
    const { memoryDriver } = await import("bentocache/drivers/memory")
    const { redisBusDriver } = await import("bentocache/drivers/redis")
    let keys = 0
    const store = bentostore()
      .useL1Layer(memoryDriver({ maxItems: 10_000 }))
      .useBus(redisBusDriver({ connection: { host: "127.0.0.1", port: Number(port) } }))
    const bento = new BentoCache({ default: "memory", stores: { memory: store } })
    bento.on("bus:message:received", () => keys++)
    // It subscribes with its first call.
    await bento.get({ key: "first" })
    return { invalidate: (key) => bento.delete({ key }), received: () => keys }
  },
}

const KEY_BYTES = 12
const member = await MEMBERS[kind]()

async function send({ ms, aSecond, burst }) {
  const begin = performance.now()
  for (let sent = 0; sent < (aSecond * ms) / 1e3; sent += burst) {
    for (let i = 0; i < burst; i++)
      void member.invalidate(`key:${String((sent + i) % 10_000).padStart(8, "0")}`)
    await sleep(Math.max(0, begin + ((sent + burst) / aSecond) * 1e3 - performance.now()))
  }
}

process.on("message", async ({ call, ...settings }) => {
  if (call === "send") await send(settings)
  const { user, system } = process.cpuUsage()
  process.send({ at: performance.now(), cpuMs: (user + system) / 1e3, received: member.received() })
})
process.on("disconnect", () => process.exit())
// The subscriptions of both libraries are in force by then.
await sleep(500)
process.send("ready")
