import { SharedResource } from "../tiers/util/shared-resource.ts"
import type { StoreStats } from "./counters.ts"
import type { OpenStore } from "./open-store.ts"

/** The stores opened by name alone, whose handles share them. */
export const sharedStores = new SharedResource<OpenStore>((store) => store.close())

/** Every store that is open in this process, however many handles it has. */
const stores = new Set<Pick<OpenStore, "stats">>()

/** Enters a store, until what this returns is called. */
export function register(store: Pick<OpenStore, "stats">): () => void {
  stores.add(store)
  return () => void stores.delete(store)
}

/** What `stats()` says of every store that is open in this process, in the order they were opened. */
export function snapshotAll(): StoreStats[] {
  return [...stores].map((store) => store.stats())
}
