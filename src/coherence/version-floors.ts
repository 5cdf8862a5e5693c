import { LRUCache } from "lru-cache"
import type { Backend } from "../../tiers/backend.ts"
import type { Runtime } from "../../tiers/runtime.ts"

/** Keys whose newest known version is kept, at most. */
const MAX_FLOORS = 10_000

interface Floor {
  version: string
  /** Ordinal number of this floor among all that were raised. */
  readonly raised: number
  /** When it ends, monotonic ms of its runtime. */
  readonly endsAt: number
  readonly runtime: Runtime
}

/**
 * The newest known version of each key that this process has written, or that the bus has told of: no older version enters L1. A floor remains when its key is
 * evicted from L1. There are no floors if the backend does not order its versions.
 *
 * A floor is valid for one life of the backend. The order of versions may restart lower when a server is flushed or restored, or loses
 * writes in a failover. So a floor expires after the longest time for which a read may lag behind a write. If a strong read that
 * began after a floor was raised returns an older version, all floors are dropped.
 */
export class VersionFloors {
  readonly #compare: ((a: string, b: string) => number) | undefined
  /** Made with the first floor: it allocates for all of them at once. */
  #newest: LRUCache<string, Floor> | undefined
  #raised = 0

  constructor(backend: Backend) {
    if (backend.traits.ordered) this.#compare = backend.compareVersions?.bind(backend)
  }

  /** A point in time for {@link reached}: the number of floors raised so far. */
  get now(): number {
    return this.#raised
  }

  /** @param lastsMs longest time for which a read may lag behind a write, ms: the floor ends after it */
  raise(key: string, version: string, runtime: Runtime, lastsMs: number): void {
    if (this.#compare === undefined) return
    const floor = this.#floorOf(key)
    if (floor !== undefined && this.#compare(version, floor.version) <= 0) return
    this.#newest ??= new LRUCache({ max: MAX_FLOORS })
    this.#newest.set(key, { version, raised: ++this.#raised, endsAt: runtime.monotonic() + lastsMs, runtime })
  }

  /** The floor of `key`. */
  of(key: string): string | undefined {
    return this.#floorOf(key)?.version
  }

  forget(key: string): void {
    this.#newest?.delete(key)
  }

  isBelow(key: string, version: string): boolean {
    if (this.#compare === undefined) return false
    const floor = this.#floorOf(key)
    return floor !== undefined && this.#compare(version, floor.version) < 0
  }

  /** Whether `version` is `other` or is known to be newer. */
  isAtLeast(version: string, other: string): boolean {
    return version === other || (this.#compare !== undefined && this.#compare(version, other) > 0)
  }

  /** A strong read that began at `moment` returned `version`. Drops all floors if that of `key` is higher and was raised before `moment`. */
  reached(key: string, version: string, moment: number): void {
    const floor = this.#newest?.get(key)
    if (floor !== undefined && floor.raised <= moment && this.isBelow(key, version)) this.#newest?.clear()
  }

  #floorOf(key: string): Floor | undefined {
    const floor = this.#newest?.get(key)
    if (floor === undefined || floor.endsAt > floor.runtime.monotonic()) return floor
    this.#newest?.delete(key)
    return undefined
  }
}
