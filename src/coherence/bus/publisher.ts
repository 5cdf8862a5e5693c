import type { Runtime } from "../../../tiers/runtime.ts"
import { within } from "../../../tiers/util/deadline.ts"
import { frameBytesOf, type InvalidatedKey, type Message } from "./messages.ts"

/** Keys that wait for a publication, at most. Beyond them everything is invalidated instead. */
const MAX_WAITING = 10_000
/** Room of a frame that is left for its head, bytes. */
const HEAD_BYTES = 32

export interface PublisherOptions {
  runtime: Runtime
  /** One life of this store: 16 hexadecimal digits. */
  publisher: string
  maxFrameBytes: number
  /** After this time without an answer the store no longer waits for a publication, ms. */
  timeLimitMs: number
  publish: (messages: readonly Message[]) => Promise<void>
  /** Is called when a heartbeat is about to leave. */
  onBeat: (beat: string) => void
}

type Waiting = Omit<InvalidatedKey, "key">

/**
 * Numbers the messages of this store and publishes them: those of one turn of the event loop together, and one publication at a time.
 *
 * A message that is lost on the way, the last one included, shows in the number of the next heartbeat. Since a heartbeat leaves only when the
 * publication before it has been answered, or given up, it says of a publisher whose messages do not pass that it is silent.
 */
export class Publisher {
  readonly #options: PublisherOptions
  #number = 0
  #waiting = new Map<string, Waiting>()
  /** The quarantine of a flush that waits, ms. */
  #flush: number | undefined
  #beatIsDue = false
  /** The newest heartbeat that the bus has accepted. */
  #accepted: string | undefined
  #publishing: Promise<void> | undefined

  constructor(options: PublisherOptions) {
    this.#options = options
  }

  /** Tells the others that `key` was written or invalidated. */
  announce(key: string, version: string | undefined, quarantineMs: number): void {
    if (this.#waiting.size >= MAX_WAITING && !this.#waiting.has(key)) {
      let longest = quarantineMs
      for (const waiting of this.#waiting.values()) longest = Math.max(longest, waiting.quarantineMs)
      this.#waiting.clear()
      this.announceAll(longest)
      return
    }
    const earlier = this.#waiting.get(key)
    this.#waiting.set(key, { version, quarantineMs: Math.max(quarantineMs, earlier?.quarantineMs ?? 0) })
    this.#schedule()
  }

  /** Tells the others that every key was invalidated. */
  announceAll(quarantineMs = 0): void {
    this.#flush = Math.max(quarantineMs, this.#flush ?? 0)
    this.#schedule()
  }

  /** Sends a heartbeat, as soon as no publication is under way. */
  beat(): void {
    this.#beatIsDue = true
    this.#schedule()
  }

  /** Resolves once nothing waits and no publication is under way. */
  async idle(): Promise<void> {
    while (this.#publishing !== undefined) await this.#publishing
  }

  farewell(): Promise<void> {
    const { publisher } = this.#options
    return this.#publish([{ kind: "farewell", publisher, number: this.#number }])
  }

  #schedule(): void {
    // `nextTick` scheduled from a microtask runs after the microtask queue has drained.
    this.#publishing ??= Promise.resolve()
      .then(() => new Promise<void>((resolve) => process.nextTick(resolve)))
      .then(() => this.#run())
  }

  async #run(): Promise<void> {
    for (;;) {
      const messages = this.#take()
      if (messages.length === 0) break
      const beat = messages.at(-1)
      try {
        await this.#publish(messages)
        if (beat?.kind === "heartbeat") this.#accepted = beat.beat
      } catch {
        // The others see by the next number that arrives that messages are missing.
      }
    }
    this.#publishing = undefined
  }

  #publish(messages: readonly Message[]): Promise<void> {
    const { runtime, timeLimitMs, publish } = this.#options
    return within(runtime, publish(messages), timeLimitMs, () => new Error("The bus did not answer in time"))
  }

  /** What waits, as messages; a heartbeat comes last. */
  #take(): Message[] {
    const { publisher, runtime, onBeat } = this.#options
    const messages: Message[] = []
    if (this.#flush !== undefined) {
      messages.push({ kind: "flush", publisher, number: ++this.#number, quarantineMs: this.#flush })
      this.#flush = undefined
    }
    for (const keys of this.#frames()) {
      messages.push({ kind: "invalidation", publisher, number: ++this.#number, keys })
    }
    this.#waiting.clear()
    if (this.#beatIsDue) {
      this.#beatIsDue = false
      const beat = runtime.id().slice(-16)
      onBeat(beat)
      messages.push({ kind: "heartbeat", publisher, number: this.#number, beat, accepted: this.#accepted })
    }
    return messages
  }

  /** The keys that wait, as many in one frame as it has room for. */
  *#frames(): Generator<InvalidatedKey[]> {
    const room = this.#options.maxFrameBytes - HEAD_BYTES
    let frame: InvalidatedKey[] = []
    let bytes = 0
    for (const [key, { version, quarantineMs }] of this.#waiting) {
      const one = { key, version, quarantineMs }
      const size = frameBytesOf(one)
      if (bytes + size > room && frame.length > 0) {
        yield frame
        frame = []
        bytes = 0
      }
      frame.push(one)
      bytes += size
    }
    if (frame.length > 0) yield frame
  }
}
