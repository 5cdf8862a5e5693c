import { LRUCache } from "lru-cache"
import type { Backend } from "../../tiers/backend.ts"
import type { Runtime } from "../../tiers/runtime.ts"

/** Keys whose newest known version is kept. */
const MAX_FLOORS = 10_000

interface Floor {
  version: string
  /** How many floors had been raised by then, this one included. */
  readonly raised: number
  /** Monotonic ms. */
  readonly raisedAt: number
}

/**
 * The newest version known of a key from this process's own acknowledged writes, so that an older one is not filled.
 * Outlives the key's eviction from L1. Knows nothing where the backend does not order its versions.
 *
 * A floor belongs to one life of the backend. Its order may restart lower: a flushed or restored server, a failover that
 * loses writes. So a floor lasts no longer than a read may lag behind a write, and a strong read that began after it was
 * raised and shows an older version ends it.
 */
export class VersionFloors {
  readonly #compare: ((a: string, b: string) => number) | undefined
  readonly #runtime: Runtime
  readonly #lastsMs: number
  readonly #newest = new LRUCache<string, Floor>({ max: MAX_FLOORS })
  #raised = 0

  /** @param lastsMs how long after a write a read that began before it may still answer */
  constructor(backend: Backend, runtime: Runtime, lastsMs: number) {
    if (backend.traits.ordered) this.#compare = backend.compareVersions?.bind(backend)
    this.#runtime = runtime
    this.#lastsMs = lastsMs
  }

  /** A moment, for {@link reached}: the floors raised so far. */
  get now(): number {
    return this.#raised
  }

  raise(key: string, version: string): void {
    if (this.#compare === undefined) return
    const floor = this.#floorOf(key)
    if (floor !== undefined && this.#compare(version, floor.version) <= 0) return
    this.#newest.set(key, { version, raised: ++this.#raised, raisedAt: this.#runtime.monotonic() })
  }

  forget(key: string): void {
    this.#newest.delete(key)
  }

  isBelow(key: string, version: string): boolean {
    if (this.#compare === undefined) return false
    const floor = this.#floorOf(key)
    return floor !== undefined && this.#compare(version, floor.version) < 0
  }

  /** A strong read that began at `moment` showed `version`: a floor from before that lies above it is of an earlier life. */
  reached(key: string, version: string, moment: number): void {
    const floor = this.#newest.get(key)
    if (floor !== undefined && floor.raised <= moment && this.isBelow(key, version)) this.#newest.clear()
  }

  #floorOf(key: string): Floor | undefined {
    const floor = this.#newest.get(key)
    if (floor === undefined || floor.raisedAt + this.#lastsMs > this.#runtime.monotonic()) return floor
    this.#newest.delete(key)
    return undefined
  }
}
