import type { Bus, Subscriber } from "../../tiers/buses/bus.ts"

/** A member of a hub: a bus whose connection a test cuts and holds. */
export interface HubBus extends Bus {
  /** The frames that wait for delivery, while the member is held. */
  readonly waiting: Uint8Array[]
  /** Whether deliveries wait for {@link HubBus.release}. */
  held: boolean
  /** Is asked about each frame of another member: `false` loses it. */
  passes: (frame: Uint8Array) => boolean
  /** What `publish` does before it passes frames on. */
  onPublish: () => Promise<void> | void
  release(): void
  cut(): void
  connect(): void
}

/** The middle of a bus: passes each frame on to all members, in order, in the same turn. */
export class BusHub {
  readonly #members = new Set<{ bus: HubBus; subscriber: Subscriber; connected: boolean }>()

  /** A new member, which delivers everything at once. */
  member(): HubBus {
    let own: { bus: HubBus; subscriber: Subscriber; connected: boolean } | undefined
    const bus: HubBus = {
      kind: "hub",
      traits: { target: "hub", maxFrameBytes: 1_024, heartbeatMs: 500, leaseMs: 2_000 },
      waiting: [],
      held: false,
      passes: () => true,
      onPublish: () => {},
      open: async (subscriber) => {
        own = { bus, subscriber, connected: true }
        this.#members.add(own)
        subscriber.alive()
      },
      publish: async (frames) => {
        await bus.onPublish()
        if (!own?.connected) throw new Error("The bus cannot be reached")
        for (const frame of frames) this.#send(frame, bus)
      },
      close: async () => {
        if (own !== undefined) this.#members.delete(own)
      },
      release: () => {
        bus.held = false
        for (const frame of bus.waiting.splice(0)) own?.subscriber.message(frame)
      },
      cut: () => {
        if (own === undefined) return
        own.connected = false
        own.subscriber.lost()
      },
      connect: () => {
        if (own === undefined) return
        own.connected = true
        own.subscriber.alive()
      },
    }
    return bus
  }

  /** Passes a frame of nobody on, as a hostile publisher would. */
  inject(frame: Uint8Array): void {
    this.#send(frame)
  }

  #send(frame: Uint8Array, from?: HubBus): void {
    for (const { bus, subscriber, connected } of this.#members) {
      if (!connected || (bus !== from && !bus.passes(frame))) continue
      if (bus.held) bus.waiting.push(frame)
      else subscriber.message(frame)
    }
  }
}
