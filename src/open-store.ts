import type { L1 } from "../tiers/l1/l1.ts"
import type { Runtime } from "../tiers/runtime.ts"
import type { TwoTier } from "./coherence/two-tier.ts"
import type { StoreStats } from "./counters.ts"
import type { Listener } from "./listener.ts"

/** A store that is open: what its handles and their operations work with. */
export interface OpenStore {
  readonly name: string
  /** Asked by a hit itself; everything else goes through the tiers. */
  readonly l1: L1
  readonly tiers: TwoTier
  readonly listener: Listener
  readonly runtime: Runtime
  stats(): StoreStats
  /** Waits for what is in flight, and closes the backend if it was opened for this store. */
  close(): Promise<void>
}
