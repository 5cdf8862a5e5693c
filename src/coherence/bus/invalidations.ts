import type { Bus, Subscriber } from "../../../tiers/buses/bus.ts"
import type { L1 } from "../../../tiers/l1/l1.ts"
import type { Runtime, Timer } from "../../../tiers/runtime.ts"
import type { Place } from "../place.ts"
import { BusCounters, type BusStats } from "./bus-stats.ts"
import { Lease } from "./lease.ts"
import { type Message, Wire } from "./messages.ts"
import { Publisher } from "./publisher.ts"

/** Longest quarantine that another process can impose, ms. */
const MAX_QUARANTINE_MS = 3_600_000

/** How a store uses its bus. */
export interface BusSettings {
  readonly bus: Bus
  /**
   * `"bounded"`: L1 answers only while the bus confirms that no message is missing. `"ttl"`: it answers for the time to live, whatever
   * the bus does.
   */
  readonly staleness: "bounded" | "ttl"
}

export interface InvalidationsOptions extends BusSettings {
  /** Names the rows, the same in every process. */
  channel: string
  l1: L1
  place: Place
  runtime: Runtime
  /** Makes everything suspect, and returns how many entries that concerned. */
  suspect: () => number
}

/** The age that an answer of L1 can have, ms: that of the last moment as of which L1 was confirmed, and the time until a silent publisher is missed. */
export function stalenessBoundOf({ traits }: Bus): number {
  return traits.leaseMs + traits.heartbeatMs
}

/**
 * What a store and the other processes tell each other of the keys that they write and invalidate: see {@link Publisher} for what
 * leaves, {@link Lease} for what is missed. A message dirties its key, raises its version floor, and imposes its quarantine.
 */
export class Invalidations {
  readonly #options: InvalidationsOptions
  readonly #wire: Wire
  readonly #publisher: Publisher
  readonly #name: string
  readonly #lease: Lease
  readonly counters = new BusCounters()
  #heartbeat: Timer | undefined
  #connected = false

  constructor(options: InvalidationsOptions) {
    const { bus, channel, runtime } = options
    const { maxFrameBytes, leaseMs } = bus.traits
    this.#options = options
    this.#wire = new Wire(channel)
    this.#name = runtime.id().slice(-16)
    this.#lease = new Lease(
      leaseMs,
      stalenessBoundOf(bus),
      () => runtime.monotonic(),
      () => this.#suspect(),
    )
    this.#publisher = new Publisher({
      runtime,
      publisher: this.#name,
      maxFrameBytes,
      timeLimitMs: leaseMs,
      publish: (messages) => this.#publish(messages),
      onBeat: (beat) => this.#lease.sent(beat),
    })
    this.#answerUntil(Number.NEGATIVE_INFINITY)
  }

  /**
   * Subscribes, and makes this store known to the others, before its first write. Resolves, too, if the bus cannot be reached for now.
   * Rejects as {@link Bus.open}.
   */
  async open(): Promise<void> {
    await this.#options.bus.open(this.#subscriber())
    this.#beat()
    await this.#publisher.idle()
  }

  /** `key` was written, or invalidated: `version` is what was written, if it is known; `quarantineMs` as in {@link Place.quarantine}. */
  announce(key: string, version: string | undefined, quarantineMs: number): void {
    this.#publisher.announce(key, version, quarantineMs)
  }

  /** Everything was invalidated. */
  announceAll(): void {
    this.#publisher.announceAll()
  }

  /** Publishes what waits, and says farewell. */
  async close(): Promise<void> {
    this.#heartbeat?.cancel()
    await this.#publisher.idle()
    if (this.#connected) await this.#publisher.farewell().catch(() => {})
    await this.#options.bus.close()
  }

  stats(): Omit<BusStats, "revalidations"> {
    const { bus, staleness, l1 } = this.#options
    const { sent, received, own, foreign, invalid, flushes, suspects } = this.counters
    return {
      kind: bus.kind,
      connected: this.#connected,
      stalenessBoundMs: staleness === "ttl" ? l1.settings.ttlMs : stalenessBoundOf(bus),
      lagMs: this.counters.lagMs(),
      messages: { sent, received, own, foreign, invalid },
      gaps: this.#lease.gaps,
      flushes,
      suspects,
    }
  }

  #beat(): void {
    const { runtime, bus } = this.#options
    this.#publisher.beat()
    this.#heartbeat = runtime.setTimer(() => this.#beat(), bus.traits.heartbeatMs)
  }

  async #publish(messages: readonly Message[]): Promise<void> {
    await this.#options.bus.publish(messages.map((message) => this.#wire.encode(message)))
    this.counters.sent += messages.length
  }

  #subscriber(): Subscriber {
    return {
      channel: this.#options.channel,
      message: (frame) => this.#receive(frame),
      alive: () => {
        this.#connected = true
        this.#lease.subscribed()
        this.#answerUntil(this.#lease.until())
        this.#publisher.beat()
      },
      lost: () => {
        this.#connected = false
      },
    }
  }

  #receive(frame: Uint8Array): void {
    const { maxFrameBytes } = this.#options.bus.traits
    const message = frame.length > maxFrameBytes ? undefined : this.#wire.decode(frame)
    if (message === undefined) this.counters.invalid++
    else if (message === "foreign") this.counters.foreign++
    else if (message.publisher === this.#name) this.#receiveOwn(message)
    else {
      this.counters.received++
      this.#lease.heard(message)
      this.#apply(message)
    }
  }

  /** What this store has published concerns it no more, but for the time that it took. */
  #receiveOwn(message: Message): void {
    this.counters.own++
    if (message.kind !== "heartbeat") return
    const tookMs = this.#lease.returned(message.beat)
    if (tookMs === undefined) return
    this.counters.lagged(tookMs)
    this.#answerUntil(this.#lease.until())
  }

  #apply(message: Message): void {
    const { place } = this.#options
    if (message.kind === "flush") {
      this.counters.flushes++
      place.dirtyAll(limited(message.quarantineMs))
    }
    if (message.kind !== "invalidation") return
    for (const { key, version, quarantineMs } of message.keys) {
      place.written(key, version, limited(quarantineMs))
    }
  }

  #suspect(): void {
    const { staleness, suspect } = this.#options
    if (staleness === "bounded") this.counters.suspects += suspect()
  }

  #answerUntil(until: number): void {
    if (this.#options.staleness === "bounded") this.#options.l1.answerUntil(until)
  }
}

function limited(quarantineMs: number): number {
  return Math.min(MAX_QUARANTINE_MS, quarantineMs)
}
