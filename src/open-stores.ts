import type { StoreStats } from "./stats.ts"

/** A store that is open in this process, however many handles it has. */
interface OpenStore {
  stats(): StoreStats
}

const stores = new Set<OpenStore>()

/** Enters a store, until what this returns is called. */
export function register(store: OpenStore): () => void {
  stores.add(store)
  return () => void stores.delete(store)
}

/** What `stats()` says of every store that is open in this process, in the order they were opened. */
export function snapshotAll(): StoreStats[] {
  return [...stores].map((store) => store.stats())
}
