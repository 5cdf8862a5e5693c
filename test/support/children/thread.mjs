// A worker thread with a store, which makes the calls that the test posts.
import { parentPort, workerData } from "node:worker_threads"
import { kv } from "tiered-kv"
import { broadcastBus } from "tiered-kv/bus/broadcast"

const store = await kv("threads", { backend: workerData, bus: broadcastBus({ heartbeatMs: 20, leaseMs: 10_000 }) })
parentPort.on("message", async ([call, ...given]) => {
  const answer = call === "bus" ? store.stats().bus : await store[call](...given)
  parentPort.postMessage(answer ?? null)
  if (call === "close") parentPort.close()
})
parentPort.postMessage("open")
