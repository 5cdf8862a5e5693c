import type { Random } from "./events.ts"

/** What a run is made of; drawn from its seed. */
export interface Setting {
  readonly processes: number
  readonly keys: number
  /** Whether the service orders its versions. */
  readonly isOrdered: boolean
  /** Whether the store treats the backend as one over a network: with retries, and with versions alone for suspects. */
  readonly isNetworked: boolean
  readonly fillOnWrite: boolean
  /** Share of the calls that write. */
  readonly writes: number
  /** Time between two calls of a process on average, ms. */
  readonly pauseMs: number
  /** How often each fault of {@link FAULTS} happens, per second. */
  readonly faults: Readonly<Record<Fault, number>>
  /** Share of the frames that one receiver does not get, or gets twice. */
  readonly lossy: number
  /** Share of the requests to the backend with a fault. */
  readonly failing: number
  readonly maxEntries: number
}

/** What happens to processes and connections. */
export const FAULTS = ["crash", "stop", "close", "cut", "lag", "mute"] as const
export type Fault = (typeof FAULTS)[number]

export function settingOf(random: Random): Setting {
  const oneOf = <T>(...choices: readonly T[]): T => choices[Math.floor(random() * choices.length)] as T
  return {
    processes: oneOf(2, 2, 3, 4),
    keys: oneOf(2, 4, 8, 16),
    isOrdered: random() < 0.5,
    isNetworked: random() < 0.6,
    fillOnWrite: random() < 0.5,
    writes: oneOf(0.02, 0.05, 0.1),
    pauseMs: oneOf(5, 20, 60),
    faults: {
      crash: oneOf(0, 0.05, 0.2),
      stop: oneOf(0, 0.05, 0.2),
      close: oneOf(0, 0.05),
      cut: oneOf(0, 0.05, 0.3),
      lag: oneOf(0, 0.05, 0.2),
      mute: oneOf(0, 0.05, 0.2),
    },
    lossy: oneOf(0, 0.01, 0.1),
    failing: oneOf(0, 0, 0.01, 0.05),
    maxEntries: oneOf(1_000, 1_000, 3),
  }
}
