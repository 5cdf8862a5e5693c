import { BroadcastChannel } from "node:worker_threads"
import type { Bus, Subscriber } from "./bus.ts"
import { type BusOptions, checkBusOptions } from "./options.ts"

/**
 * A bus between the worker threads of one process, and the main thread: `BroadcastChannel` of Node. There is no server, and nothing is sent over a
 * network. It does not keep the process alive.
 *
 * Every thread opens its stores over these rows with a bus of its own.
 *
 * @throws {KvError} `INVALID_OPTION`
 */
export function broadcastBus(options: BusOptions = {}): Bus {
  const { channel, heartbeatMs, leaseMs } = checkBusOptions(options)
  // A channel does not receive what it sends itself, so there is one for each direction.
  let outgoing: BroadcastChannel | undefined
  let incoming: BroadcastChannel | undefined
  return {
    kind: "broadcast",
    traits: { target: "the threads of this process", maxFrameBytes: 65_536, heartbeatMs, leaseMs },

    async open(subscriber: Subscriber) {
      const name = channel ?? subscriber.channel
      outgoing = new BroadcastChannel(name)
      incoming = new BroadcastChannel(name)
      incoming.onmessage = ({ data }: { data: unknown }) => {
        subscriber.message(data instanceof Uint8Array ? data : NOTHING)
      }
      // A store keeps no process alive.
      for (const one of [outgoing, incoming])
        if ("unref" in one && typeof one.unref === "function") one.unref()
      subscriber.alive()
    },

    async publish(frames) {
      for (const frame of frames) outgoing?.postMessage(frame)
    },

    async close() {
      outgoing?.close()
      incoming?.close()
      outgoing = undefined
      incoming = undefined
    },
  }
}

/** Stands for what somebody else has posted to the channel, and is no frame. */
const NOTHING = new Uint8Array(0)
