import type { Kv } from "../../src/api.ts"
import type { TestRuntime } from "../support/runtime.ts"
import type { Clocks } from "./clocks.ts"
import type { Seen } from "./history.ts"
import type { Link } from "./link.ts"
import type { Table } from "./table.ts"

/** What the processes of one race share. */
export interface World {
  readonly table: Table
  /** The time of the race, which all processes share, as they share a machine that freezes. */
  readonly runtime: TestRuntime
  readonly pause: (label: string) => Promise<unknown>
  /** A text that was never given before. */
  readonly texts: () => string
  /** The versions of a key that a caller was shown. */
  readonly tokens: Map<string, string[]>
  /** Longest time of a call that is one call of the backend, ms; `undefined`: it has none. */
  readonly timeoutMs: number | undefined
  readonly quarantineMs: number
  /** The time to live of L1, ms. */
  readonly ttlMs: number
  /** Whether nothing but loads writes, in one process: then one loader of a key runs at a time. */
  readonly onlyLoads: boolean
  /** The stores of all processes. */
  readonly stores: Process[]
  /** How long the machine was frozen so far, ms. */
  frozenMs: number
  /** Time that is being moved. */
  moving: Promise<void>
}

/** A store of a process: a client with an L1 of its own. Two stores of one process have their link and their clocks in common. */
export interface Process {
  readonly client: Kv
  readonly link: Link
  readonly seen: Seen
  readonly clocks: Clocks
  /** Whether its L1 has room for all keys. */
  readonly isRoomy: boolean
  /** Look-ups in one turn that may be late: L1 takes its shortcuts only over the runtime of the system. */
  readonly lateAllowed: number
  /** What L1 held when the wall clock was stepped back: it must drop that when it would have without the step. */
  readonly deadlines: Map<string, Deadline>
  /** How many writes and invalidations of the key had ended when a load of this text began. */
  readonly loads: Map<string, number>
  readonly ended: Map<string, number>
  readonly loading: Map<string, number>
  closing: Promise<void> | undefined
}

interface Deadline {
  readonly text: string
  /** In the monotonic time of the race, ms. */
  readonly until: number
  /** The fills of its L1 so far: none since means that what it holds is what it held. */
  readonly fills: number
}
