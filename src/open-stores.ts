import { SharedResource } from "../tiers/util/shared-resource.ts"
import type { StoreStats } from "./counters.ts"
import type { OpenStore } from "./open-store.ts"

/** The stores that were opened by name alone. Handles of the same name share one store. */
export const sharedStores = new SharedResource<OpenStore>((store) => store.close())

/** Every store that is open in this process, however many handles it has. */
const stores = new Set<Pick<OpenStore, "stats">>()

/** Registers a store; the returned function removes it. */
export function register(store: Pick<OpenStore, "stats">): () => void {
  stores.add(store)
  return () => void stores.delete(store)
}

/** The `stats()` of every open store of this process, in the order of their opening. */
export function snapshotAll(): StoreStats[] {
  return [...stores].map((store) => store.stats())
}
