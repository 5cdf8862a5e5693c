import type { L1 } from "../tiers/l1/l1.ts"
import type { Runtime } from "../tiers/runtime.ts"
import type { TwoTier } from "./coherence/two-tier.ts"
import type { Listener } from "./listener.ts"
import type { KvStats } from "./stats.ts"

/** An open store, as its handles and their operations use it. */
export interface OpenStore {
  readonly name: string
  /** A hit reads it directly; everything else goes through `tiers`. */
  readonly l1: L1
  readonly tiers: TwoTier
  readonly listener: Listener
  readonly runtime: Runtime
  stats(): KvStats
  /** Waits for the calls under way, and closes the backend if it was opened for this store. */
  close(): Promise<void>
}
