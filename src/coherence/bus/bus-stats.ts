import { createHistogram } from "node:perf_hooks"

/** What `stats().bus` says: of one store in one process, since it was opened. */
export interface BusStats {
  /** `redis`, `broadcast`, or what a bus of one's own calls itself. */
  kind: string
  /** Whether the subscription is in force. */
  connected: boolean
  /** How old what L1 answers with can be, ms; the time to live of L1 where the store has `staleness: "ttl"`. */
  stalenessBoundMs: number
  /** Time from the sending of a heartbeat of this store until it came back, ms; 0 before the first. */
  lagMs: { p50: number; p99: number }
  messages: {
    /** Published and accepted by the bus. */
    sent: number
    /** Received from other processes. */
    received: number
    /** Received from this store itself. */
    own: number
    /** Received on this channel from stores over other rows. */
    foreign: number
    /** Received, and no message of this version of the format. */
    invalid: number
  }
  /** Messages found missing, publishers that fell silent, and publishers whose beginning is not known. */
  gaps: number
  /** Times that everything was invalidated by another process. */
  flushes: number
  /** Entries that became suspect. */
  suspects: number
  /** Suspect entries that were confirmed by their version. */
  revalidations: number
}

/** Counts what a bus does. */
export class BusCounters {
  sent = 0
  received = 0
  own = 0
  foreign = 0
  invalid = 0
  flushes = 0
  suspects = 0
  readonly #lag = createHistogram({ lowest: 1, highest: 600e6, figures: 2 })

  lagged(ms: number): void {
    this.#lag.record(Math.min(600e6, Math.max(1, Math.round(ms * 1e3))))
  }

  lagMs(): BusStats["lagMs"] {
    const at = (percentile: number) => (this.#lag.count === 0 ? 0 : this.#lag.percentile(percentile) / 1e3)
    return { p50: at(50), p99: at(99) }
  }
}
