import { type Checks, checkOptions, invalidOption, optional, text, wholeNumber } from "../util/checks.ts"

/** The options that all buses have. */
export interface BusOptions {
  /**
   * Name of the channel. Stores with the same rows and the same channel hear each other.
   * @default one for each table, database or prefix
   */
  channel?: string
  /** Interval of the heartbeats, by which the others see that no message is missing, ms. @default 500 */
  heartbeatMs?: number
  /**
   * How long L1 goes on answering without a sign of life from the bus, ms; at least four heartbeats. The staleness bound is this and one heartbeat.
   * @default four heartbeats: 2_000
   */
  leaseMs?: number
}

const BUS_CHECKS: Checks = {
  channel: optional(text("channel")),
  heartbeatMs: optional(wholeNumber("heartbeatMs", 10)),
  leaseMs: optional(wholeNumber("leaseMs", 40)),
}

const DEFAULT_HEARTBEAT_MS = 500
/** Heartbeats in a lease, at least: the confirmed moment of a publisher lies up to three of them back. */
const BEATS_A_LEASE = 4

/** The options of a bus with their defaults. */
export function checkBusOptions(
  options: BusOptions,
  checks: Checks = BUS_CHECKS,
): { channel: string | undefined; heartbeatMs: number; leaseMs: number } {
  checkOptions(options, checks, "open")
  const { channel, heartbeatMs = DEFAULT_HEARTBEAT_MS, leaseMs = BEATS_A_LEASE * heartbeatMs } = options
  if (leaseMs < BEATS_A_LEASE * heartbeatMs) {
    throw invalidOption(
      `leaseMs is at least ${BEATS_A_LEASE} times heartbeatMs (${heartbeatMs}); got ${leaseMs}`,
      "open",
    )
  }
  return { channel, heartbeatMs, leaseMs }
}
