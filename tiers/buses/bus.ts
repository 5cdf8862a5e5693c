/**
 * The contract of a bus: it carries opaque frames between the stores over the same rows, in this process and in others.
 *
 * What a bus promises, and the conformance suite checks:
 *
 * - **Frames arrive in order, or not at all.** A receiver gets the frames in the order in which the bus accepted them, those of all
 *   publishers together. A frame that arrives twice or is lost does no harm: the store numbers its messages and sees what is missing. A
 *   frame that arrives out of order lengthens the staleness bound by its delay.
 * - **A publisher receives its own frames**, in the same order as everybody else does. The store learns from that how late the frames are.
 * - **A connection that may have lost frames says so**: `lost`, and `alive` once a new subscription is in force.
 * - **A bus that cannot be reached is no failure of the store.** The bus connects again by itself, with back-off.
 *
 * One bus carries the messages of one store.
 */
export interface Bus {
  /** Name of the bus: `redis`, `broadcast`, … */
  readonly kind: string
  readonly traits: BusTraits

  /**
   * Subscribes. Resolves once the subscription is in force, or once it is known that the bus cannot be reached for now; then it goes on
   * trying. Called once.
   * Rejects with what no waiting repairs: `BINDING_INVALID`, `DEPENDENCY_MISSING`, `ACCESS_DENIED`.
   */
  open(subscriber: Subscriber): Promise<void>

  /**
   * Publishes frames in their order. Resolves once the bus has accepted all of them, and rejects if it did not answer or refused. The
   * store waits for one publication before it begins the next.
   */
  publish(frames: readonly Uint8Array[]): Promise<void>

  /** Ends the subscription, and releases what the bus made. A client that the caller passed in stays open. Idempotent. */
  close(): Promise<void>
}

export interface BusTraits {
  /** Where the frames go, for messages: never a credential. */
  readonly target: string
  /** Largest frame, bytes. */
  readonly maxFrameBytes: number
  /** Interval of the heartbeats of a store, ms. */
  readonly heartbeatMs: number
  /** How long L1 goes on answering without a sign of life from the bus, ms; at least twice `heartbeatMs`. */
  readonly leaseMs: number
}

/** What a store does with what the bus delivers. No method throws. */
export interface Subscriber {
  /** Names the rows. A bus separates channels, unless it was given a channel of its own. */
  readonly channel: string
  /** A frame of any publisher on the channel. The bus does not change the bytes afterwards. */
  message(frame: Uint8Array): void
  /** A subscription is in force from now on, the first one or another after a loss. */
  alive(): void
  /** Frames may be lost from now on. */
  lost(): void
}
