import { SharedResource } from "../tiers/util/shared-resource.ts"
import type { OpenStore } from "./open-store.ts"
import type { Durations } from "./stats.ts"

/** An open store, as those see it who watch it. */
export interface WatchedStore extends Pick<OpenStore, "stats"> {
  durations(): Durations
}

/** The stores that were opened by name alone. Handles of the same name share one store. */
export const sharedStores = new SharedResource<OpenStore>((store) => store.close())

/** Every store that is open in this process, however many handles it has. */
const stores = new Set<WatchedStore>()

/** Registers a store; the returned function removes it. */
export function register(store: WatchedStore): () => void {
  stores.add(store)
  return () => void stores.delete(store)
}

/** Every open store of this process, in the order of their opening. */
export function watchedStores(): Iterable<WatchedStore> {
  return stores
}
