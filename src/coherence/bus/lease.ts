import type { Message } from "./messages.ts"

/** Publishers that a store follows, at most. What another one says makes everything suspect. */
const MAX_PUBLISHERS = 10_000
/** Heartbeats that are remembered of each publisher, this store included: one of them is the one that its next heartbeat calls accepted. */
const MAX_BEATS = 8
/** Stands for the publishers that this store has not heard since it subscribed. One of them may have died since. */
const UNHEARD = ""

/** A publisher that this store has heard. */
interface Publisher {
  /** The highest number heard of it. */
  number: number
  /** What is fresh in L1 lacks no message that it sent before this moment. Monotonic ms. */
  completeAt: number
  /** When the last of its messages arrived, monotonic ms. */
  heardAt: number
  /** Heartbeat → a moment before the bus accepted it. */
  readonly beats: Map<string, number>
}

/**
 * Says until when L1 may answer without the backend: no longer than the bound after the last moment as of which every message is known to
 * have arrived.
 *
 * - Frames arrive in the order in which the bus accepted them. So when a heartbeat of this store comes back, everything that was accepted before
 *   it was sent has arrived: that moment is *confirmed*. A delay shows as a confirmed moment that lies back.
 * - A publisher's heartbeat has the number of its last message, so that a missing message shows. It also names an earlier heartbeat that was
 *   accepted before this one left. The confirmed moment at the arrival of the earlier one is before the later one left: as of that
 *   moment, no message of the publisher is missing.
 * - A publisher that is not heard for the lease may have died between a write and its message: what L1 holds becomes *suspect*, after the lease
 *   and once more after two. Its writes are covered for a lease after the bus has answered it, and it does not wait longer than that for an
 *   answer; so after two leases it is forgotten.
 * - What L1 holds also becomes suspect when a message is missing, when a publisher is heard for the first time whose earlier messages are not
 *   known, and when the store has subscribed again.
 */
export class Lease {
  readonly #leaseMs: number
  readonly #boundMs: number
  readonly #now: () => number
  readonly #onSuspect: () => void
  readonly #publishers = new Map<string, Publisher>()
  /** Own heartbeats under way → when they were sent, monotonic ms. */
  readonly #ownBeats = new Map<string, number>()
  #confirmedAt = Number.NEGATIVE_INFINITY
  /** Messages found missing, and publishers that fell silent or were heard without a beginning. */
  gaps = 0

  /**
   * @param leaseMs after this time a publisher that is not heard counts as silent, ms
   * @param boundMs how old what L1 answers with may be, ms; longer than the lease, so that one silent publisher does not stop L1
   * @param now monotonic clock, ms
   * @param onSuspect is called when entries that were read before now may have been replaced unnoticed
   */
  constructor(leaseMs: number, boundMs: number, now: () => number, onSuspect: () => void) {
    this.#leaseMs = leaseMs
    this.#boundMs = boundMs
    this.#now = now
    this.#onSuspect = onSuspect
  }

  /** Until when L1 may answer, monotonic ms. */
  until(): number {
    let completeAt = this.#confirmedAt
    for (const publisher of this.#publishers.values()) {
      if (publisher.completeAt < completeAt) completeAt = publisher.completeAt
    }
    return completeAt + this.#boundMs
  }

  /** Publishers that this store follows. */
  get publishers(): number {
    return this.#publishers.size - (this.#publishers.has(UNHEARD) ? 1 : 0)
  }

  /** A subscription is in force. */
  subscribed(): void {
    const now = this.#now()
    this.#confirmedAt = now
    this.#ownBeats.clear()
    this.#publishers.set(UNHEARD, { number: 0, completeAt: now, heardAt: now, beats: new Map() })
    this.#onSuspect()
  }

  /** A heartbeat of this store is about to leave. */
  sent(beat: string): void {
    this.#ownBeats.set(beat, this.#now())
    if (this.#ownBeats.size > MAX_BEATS) dropFirst(this.#ownBeats)
  }

  /** A heartbeat of this store has come back. Returns how long it took, ms; `undefined` if it had come back before. */
  returned(beat: string): number | undefined {
    const sentAt = this.#ownBeats.get(beat)
    if (sentAt === undefined) return undefined
    // Those before it are not needed any more.
    for (const [earlier, at] of this.#ownBeats) if (at <= sentAt) this.#ownBeats.delete(earlier)
    this.#confirmedAt = Math.max(this.#confirmedAt, sentAt)
    this.#missSilent()
    return this.#now() - sentAt
  }

  /** Another publisher was heard. */
  heard(message: Message): void {
    const publisher = this.#publishers.get(message.publisher)
    if (publisher === undefined) {
      if (message.kind !== "farewell") this.#meet(message)
      return
    }
    publisher.heardAt = this.#now()
    const isLast = message.kind === "heartbeat" || message.kind === "farewell"
    const expected = isLast ? message.number : message.number - 1
    // The number of the last message does not go back, unless somebody else has used the name of this publisher.
    if (expected > publisher.number || (isLast && message.number < publisher.number)) {
      this.#miss()
      // What is filled from now on, and not suspect, was read after everything that is missing.
      publisher.completeAt = this.#now()
    }
    publisher.number = isLast ? message.number : Math.max(publisher.number, message.number)
    if (message.kind === "farewell") this.#publishers.delete(message.publisher)
    else if (message.kind === "heartbeat") this.#beat(publisher, message.beat, message.accepted)
  }

  #meet(message: Message): void {
    const isBeginning = message.kind === "heartbeat" && message.number === 0 && message.accepted === undefined
    if (!isBeginning) {
      // Right after a subscription every publisher is unknown.
      if (this.#publishers.has(UNHEARD)) this.#onSuspect()
      else this.#miss()
    }
    if (this.#publishers.size >= MAX_PUBLISHERS) return
    const now = this.#now()
    const completeAt = isBeginning ? this.#confirmedAt : now
    const publisher: Publisher = { number: message.number, completeAt, heardAt: now, beats: new Map() }
    this.#publishers.set(message.publisher, publisher)
    if (message.kind === "heartbeat") this.#beat(publisher, message.beat, undefined)
  }

  #beat(publisher: Publisher, beat: string, accepted: string | undefined): void {
    const { beats } = publisher
    const acceptedAt = accepted === undefined ? undefined : beats.get(accepted)
    if (acceptedAt !== undefined) publisher.completeAt = Math.max(publisher.completeAt, acceptedAt)
    if (beats.has(beat)) return
    beats.set(beat, this.#confirmedAt)
    if (beats.size > MAX_BEATS) dropFirst(beats)
  }

  /** Misses the publishers of which nothing is known for the lease before the confirmed moment, as of which all frames have arrived. */
  #missSilent(): void {
    const now = this.#now()
    for (const [name, publisher] of this.#publishers) {
      if (publisher.completeAt + this.#leaseMs > this.#confirmedAt) continue
      this.#onSuspect()
      publisher.completeAt = now
      if (publisher.heardAt + 2 * this.#leaseMs > this.#confirmedAt) continue
      this.#publishers.delete(name)
      if (name !== UNHEARD) this.gaps++
    }
  }

  #miss(): void {
    this.gaps++
    this.#onSuspect()
  }
}

function dropFirst(map: Map<string, unknown>): void {
  for (const first of map.keys()) {
    map.delete(first)
    break
  }
}
