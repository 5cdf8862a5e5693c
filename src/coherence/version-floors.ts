import { LRUCache } from "lru-cache"
import type { Backend } from "../../tiers/backend.ts"

/** Keys whose newest known version is kept. */
const MAX_FLOORS = 10_000

/**
 * The newest version known of a key from this process's own acknowledged writes, so that an older one is not filled.
 * Outlives the key's eviction from L1. Knows nothing where the backend does not order its versions.
 */
export class VersionFloors {
  readonly #compare: ((a: string, b: string) => number) | undefined
  readonly #newest = new LRUCache<string, string>({ max: MAX_FLOORS })

  constructor(backend: Backend) {
    if (backend.traits.ordered) this.#compare = backend.compareVersions?.bind(backend)
  }

  raise(key: string, version: string): void {
    if (this.#compare === undefined) return
    const floor = this.#newest.get(key)
    if (floor === undefined || this.#compare(version, floor) > 0) this.#newest.set(key, version)
  }

  forget(key: string): void {
    this.#newest.delete(key)
  }

  isBelow(key: string, version: string): boolean {
    if (this.#compare === undefined) return false
    const floor = this.#newest.get(key)
    return floor !== undefined && this.#compare(version, floor) < 0
  }
}
