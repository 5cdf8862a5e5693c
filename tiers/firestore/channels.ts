import type { Runtime } from "../runtime.ts"
import type { CallOptions, FirestoreStub } from "./channel.ts"
import { isOwnDeadline, NotSent } from "./errors.ts"
import type { Limits } from "./requests.ts"

/** Maximum number of concurrent calls on one channel: the streams that the service allows on one HTTP/2 connection. */
export const CALLS_PER_CHANNEL = 100
/** A channel is replaced after so many consecutive calls without an answer … */
const SILENT_CALLS = 2
/** … if it has been silent for so long, ms. Otherwise short limits of calls would open connections faster than they can be used. */
const SILENT_MS = 1_000

/** A channel and its calls. */
interface Member {
  readonly stub: FirestoreStub
  inFlight: number
  /** When the last answer came, on the monotonic clock. */
  heardAt: number
  /** Number of calls that have reached their deadlines since then. */
  silentCalls: number
  /** When the first of them was sent, or {@link heardAt} if that was later. */
  silentFrom: number
  /** Replaced: it gets no more calls, and is closed with the end of its last one. */
  retired: boolean
}

/** Room for one call on a channel. */
export interface Slot {
  readonly stub: FirestoreStub
  readonly options: CallOptions
  /** Called once, when the call has ended: with its error, or without if it was answered. */
  end(error?: unknown): void
}

interface Waiting {
  grant(member: Member): void
  refuse(error: Error): void
}

/**
 * The channels to one endpoint. Each has at most {@link CALLS_PER_CHANNEL} concurrent calls. Calls beyond that wait here, where it is known
 * that they were not sent; inside gRPC it would not be.
 *
 * gRPC notices a connection without a reset, such as one that a NAT has dropped, after up to 35 s. A channel that has left
 * {@link SILENT_CALLS} consecutive calls without an answer is therefore replaced by a new one. Its calls continue until they end.
 */
export class Channels {
  readonly #dial: () => Promise<FirestoreStub>
  readonly #runtime: Runtime
  readonly #members: Member[]
  /** In the order in which they came. */
  readonly #waiting = new Set<Waiting>()
  readonly #replacing = new Set<Member>()
  #closed = false

  /**
   * @param stubs the channels, one or more
   * @param dial opens the replacement of a channel; rejects in bounded time
   */
  constructor(stubs: readonly FirestoreStub[], dial: () => Promise<FirestoreStub>, runtime: Runtime) {
    this.#dial = dial
    this.#runtime = runtime
    this.#members = stubs.map(newMember)
  }

  /**
   * Takes room for a call on the first channel that has it, so that few connections are used as long as few calls are made at once. The
   * caller makes the call at once, with the deadline of the slot. Throws or rejects with {@link NotSent} if no channel has room within the
   * limit.
   */
  enter(limits: Limits): Slot | Promise<Slot> {
    const { limitMs, signal } = limits
    if (limitMs <= 0) throw new NotSent("late")
    const member = this.#vacant()
    return member === undefined ? this.#wait(limits) : this.#slot(member, limitMs, signal)
  }

  /** Calls that wait are refused; calls that were sent continue. */
  close(): void {
    this.#closed = true
    for (const { stub } of this.#members) stub.close()
    for (const waiting of this.#waiting) waiting.refuse(new NotSent("closed"))
  }

  #vacant(): Member | undefined {
    const member = this.#members.find(
      (member) => member.inFlight < CALLS_PER_CHANNEL && !this.#replacing.has(member),
    )
    if (member !== undefined) member.inFlight++
    return member
  }

  #slot(member: Member, leftMs: number, signal: AbortSignal | undefined): Slot {
    const sentAt = this.#runtime.monotonic()
    return {
      stub: member.stub,
      options: { deadline: Date.now() + leftMs },
      end: (error) => {
        if (isOwnDeadline(error)) this.#missed(member, sentAt)
        else if (!signal?.aborted) this.#heard(member)
        this.#leave(member)
      },
    }
  }

  async #wait({ limitMs, signal }: Limits): Promise<Slot> {
    const began = this.#runtime.monotonic()
    const member = await this.#room(limitMs, signal)
    const leftMs = limitMs - (this.#runtime.monotonic() - began)
    if (leftMs > 0) return this.#slot(member, leftMs, signal)
    this.#leave(member)
    throw new NotSent("late")
  }

  #leave(member: Member): void {
    member.inFlight--
    if (!member.retired) this.#admit()
    else if (member.inFlight === 0) member.stub.close()
  }

  #admit(): void {
    for (const waiting of this.#waiting) {
      const member = this.#vacant()
      if (member === undefined) return
      waiting.grant(member)
    }
  }

  #room(limitMs: number, signal: AbortSignal | undefined): Promise<Member> {
    return new Promise((resolve, reject) => {
      const settle = () => {
        this.#waiting.delete(waiting)
        timer.cancel()
        signal?.removeEventListener("abort", abort)
      }
      const waiting: Waiting = {
        grant(member) {
          settle()
          resolve(member)
        },
        refuse(error) {
          settle()
          reject(error)
        },
      }
      const abort = () => waiting.refuse(signal?.reason)
      const timer = this.#runtime.setTimer(() => waiting.refuse(new NotSent("late")), limitMs)
      signal?.addEventListener("abort", abort)
      this.#waiting.add(waiting)
    })
  }

  #heard(member: Member): void {
    member.heardAt = this.#runtime.monotonic()
    member.silentCalls = 0
  }

  /** A call has reached its deadline. */
  #missed(member: Member, sentAt: number): void {
    if (member.retired || this.#replacing.has(member) || this.#closed) return
    if (member.silentCalls++ === 0) member.silentFrom = Math.max(sentAt, member.heardAt)
    const silentMs = this.#runtime.monotonic() - member.silentFrom
    if (member.silentCalls >= SILENT_CALLS && silentMs >= SILENT_MS) void this.#replace(member)
  }

  /** Meanwhile the old channel gets no calls. If no new one can be opened, the old one stays. */
  async #replace(old: Member): Promise<void> {
    this.#replacing.add(old)
    const stub = await this.#dial().catch(() => undefined)
    this.#replacing.delete(old)
    if (this.#closed) return stub?.close()
    if (stub === undefined) {
      old.silentCalls = 0
    } else {
      this.#members[this.#members.indexOf(old)] = newMember(stub)
      old.retired = true
      if (old.inFlight === 0) old.stub.close()
    }
    this.#admit()
  }
}

function newMember(stub: FirestoreStub): Member {
  return { stub, inFlight: 0, heardAt: 0, silentCalls: 0, silentFrom: 0, retired: false }
}
