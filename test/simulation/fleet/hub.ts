import type { Bus, Subscriber } from "../../../tiers/buses/bus.ts"
import type { Random } from "./events.ts"

export const HEARTBEAT_MS = 500
export const LEASE_MS = 2_000

/** The way between one process and the middle of the bus. */
export interface Wire {
  /** Whether the connection stands. What is on its way when it breaks is lost. */
  connected: boolean
  /** Whether publications reach the bus: `"hang"`: they get no answer; `"unanswered"`: they arrive, and get none. */
  publishing: "passes" | "hangs" | "unanswered" | "fails"
  /** How late every frame arrives, ms. */
  lagMs: number
  /** When the last publication was answered, virtual ms. */
  answeredAt: number
}

interface Member {
  readonly wire: Wire
  readonly process: Place
  subscriber: Subscriber
  /** Frames and connections in order: the virtual time of the last one. */
  lastArrival: number
  /** Moves on with each connection, so that what was under way before does not arrive. */
  life: number
  /** Frames of each publisher in a row that were lost on the way to this member. */
  readonly lostInRow: Map<Wire, number>
}

/** A process as the hub sees it: it runs what reaches it when it is not stopped, and nothing once it is dead. */
export interface Place {
  deliver(afterMs: number, run: () => void): void
  readonly isDead: boolean
}

/** Frames in a row of one publisher to one receiver that may be lost, though the connection stands. */
const MAX_LOST_IN_ROW = 2

/** The simulated bus: it accepts frames in one order, and delivers them to each member in that order, late, twice or not at all. */
export class Hub {
  readonly #members = new Set<Member>()
  readonly #random: Random
  readonly #now: () => number
  readonly #lossy: number
  /** Frames delivered. */
  delivered = 0

  constructor(random: Random, now: () => number, lossy: number) {
    this.#random = random
    this.#now = now
    this.#lossy = lossy
  }

  /** A bus for one life of a process. */
  join(process: Place): {
    bus: Bus
    wire: Wire
    connect: () => void
    cut: (toldAfterMs: number) => void
    /** Resolves when the process opens its bus. */
    joined: Promise<void>
  } {
    const wire: Wire = {
      connected: true,
      publishing: "passes",
      lagMs: 0,
      answeredAt: Number.NEGATIVE_INFINITY,
    }
    let member: Member | undefined
    let hasJoined = () => {}
    const joined = new Promise<void>((resolve) => {
      hasJoined = resolve
    })
    const arrive = (afterMs: number, run: () => void) => {
      if (member === undefined) return
      const { life } = member
      const at = Math.max(member.lastArrival, this.#now() + afterMs)
      member.lastArrival = at
      process.deliver(at - this.#now(), () => {
        if (member?.life === life) run()
      })
    }
    const bus: Bus = {
      kind: "simulated",
      traits: { target: "hub", maxFrameBytes: 4_096, heartbeatMs: HEARTBEAT_MS, leaseMs: LEASE_MS },
      open: (subscriber) =>
        new Promise((resolve) => {
          hasJoined()
          member = { wire, process, subscriber, lastArrival: 0, life: 0, lostInRow: new Map() }
          const subscribed = member
          process.deliver(1, () => {
            this.#members.add(subscribed)
            subscriber.alive()
            resolve()
          })
        }),
      publish: (frames) =>
        new Promise((resolve, reject) => {
          const { publishing } = wire
          const toBus = 1 + this.#random() * 3
          if (publishing === "hangs") return
          if (publishing === "fails" || !wire.connected) {
            process.deliver(toBus, () => reject(new Error("The bus cannot be reached")))
            return
          }
          // A request that has left arrives, whatever becomes of its process.
          this.plan(toBus, () => {
            for (const frame of frames) this.#accept(frame, wire)
            if (publishing === "unanswered") return
            process.deliver(1 + this.#random() * 3, () => {
              wire.answeredAt = this.#now()
              resolve()
            })
          })
        }),
      close: async () => {
        if (member !== undefined) this.#members.delete(member)
      },
    }
    return {
      bus,
      wire,
      joined,
      cut: (toldAfterMs) => {
        if (member === undefined || !wire.connected) return
        wire.connected = false
        member.life++
        const { life, subscriber } = member
        process.deliver(toldAfterMs, () => {
          if (member?.life === life) subscriber.lost()
        })
      },
      connect: () => {
        if (member === undefined || wire.connected) return
        wire.connected = true
        member.life++
        const { subscriber } = member
        arrive(1, () => subscriber.alive())
      },
    }
  }

  /** Plans an event of the bus itself. */
  plan: (afterMs: number, run: () => void) => void = () => {}

  #accept(frame: Uint8Array, from: Wire): void {
    for (const member of this.#members) {
      const { wire, process, subscriber } = member
      if (process.isDead || !wire.connected) continue
      const inRow = member.lostInRow.get(from) ?? 0
      if (wire !== from && inRow < MAX_LOST_IN_ROW && this.#random() < this.#lossy) {
        member.lostInRow.set(from, inRow + 1)
        continue
      }
      member.lostInRow.set(from, 0)
      const times = this.#random() < this.#lossy / 2 ? 2 : 1
      for (let time = 0; time < times; time++) this.#deliver(member, frame, subscriber)
    }
  }

  #deliver(member: Member, frame: Uint8Array, subscriber: Subscriber): void {
    const { life, wire, process } = member
    const at = Math.max(member.lastArrival, this.#now() + 1 + this.#random() * 3 + wire.lagMs)
    member.lastArrival = at
    process.deliver(at - this.#now(), () => {
      if (member.life !== life) return
      this.delivered++
      subscriber.message(frame)
    })
  }
}
