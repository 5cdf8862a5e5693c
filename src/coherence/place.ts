import type { Backend } from "../../tiers/backend.ts"
import type { Runtime } from "../../tiers/runtime.ts"
import { FillBarriers } from "./fill-barriers.ts"
import type { Load } from "./loads.ts"
import { VersionFloors } from "./version-floors.ts"

/** How a store is told what became of a key, by itself or by another store over the same rows. */
export interface Member {
  /** The key was written or invalidated. `own` is the load that the write is part of. */
  dirty(key: string, own?: Load): void
  /** Everything was invalidated. Whatever is read within the next `quarantineMs` may be replaced without a word. */
  dirtyAll(quarantineMs: number): void
  /** Another process wrote the key: `version`, if it is known. */
  written(key: string, version: string | undefined): void
  /** A read returned `version` of the key; `null`: absent; `undefined`: it is there, in an unknown version. */
  answered(key: string, version: string | null | undefined): void
}

/** Quarantines that other processes can impose, at most. Beyond them no key is trusted. */
const MAX_QUARANTINES = 10_000

/** The rows that some stores of this process have in common, and what these stores share. */
class Rows {
  readonly root: string | object
  readonly barriers = new FillBarriers()
  readonly floors: VersionFloors
  readonly places = new Set<Place>()

  constructor(root: string | object, backend: Backend) {
    this.root = root
    this.floors = new VersionFloors(backend)
  }

  /** When no store uses these rows any more, ends the quarantines; forgets the rows, once no write of a closed store is under way. */
  retire(): void {
    if (this.places.size > 0) return
    this.barriers.endQuarantines()
    if (this.barriers.size > 0) return
    if (rowsByRoot.get(this.root) === this) rowsByRoot.delete(this.root)
  }
}

const rowsByRoot = new Map<string | object, Rows>()

export interface PlaceOptions {
  backend: Backend
  /** As `BackendTraits.root`, of the backend without wrappers. */
  root: string | object
  runtime: Runtime
  /** How long L1 does not hold a key after a write of this store that the service may still apply, ms. */
  quarantineMs: number
  /** How long a version floor of this store lasts, ms. */
  floorMs: number
  /** Whether no other store shares anything with this one. */
  isolated: boolean
  member: Member
}

/**
 * Where the rows of a store are, and its part in what all stores of this process over these rows share. A store over keys with a prefix is
 * told of the keys that begin with it, and tells the others the whole keys.
 *
 * - **Fill barriers and version floors** are common: a write of one store keeps its key out of the L1 of each, also out of the L1 of a store
 *   that opens while the write is under way, and after the store that wrote has closed.
 * - **Each store is told** of the writes, the invalidations and the answers of the others, in the same turn.
 */
export class Place {
  readonly prefix: string
  readonly #rows: Rows
  readonly #options: PlaceOptions

  constructor(options: PlaceOptions) {
    const { backend, root, isolated } = options
    this.prefix = backend.traits.keyPrefix ?? ""
    this.#options = options
    this.#rows = (isolated ? undefined : rowsByRoot.get(root)) ?? new Rows(root, backend)
    if (!isolated) rowsByRoot.set(root, this.#rows)
    this.#rows.places.add(this)
  }

  /** Whether a fill barrier is up for the key. */
  isFenced(key: string): boolean {
    return this.#rows.barriers.has(this.prefix + key)
  }

  raise(key: string): void {
    this.#rows.barriers.raise(this.prefix + key)
  }

  lower(key: string): void {
    this.#rows.barriers.lower(this.prefix + key)
    this.#rows.retire()
  }

  /** Keeps the key out of L1 for the quarantine, at whose end it is dirtied. */
  quarantine(key: string, quarantineMs = this.quarantineMs): void {
    const { runtime } = this.#options
    this.#rows.barriers.quarantine(this.prefix + key, runtime, quarantineMs, () => this.dirty(key))
  }

  /** How long L1 does not hold a key after a write of this store that the service may still apply, ms. */
  get quarantineMs(): number {
    return this.#options.quarantineMs
  }

  /** Quarantines in force. */
  get quarantined(): number {
    return this.#rows.barriers.quarantined
  }

  /** The number of floors raised so far: a point in time for {@link reached}. */
  get now(): number {
    return this.#rows.floors.now
  }

  floorOf(key: string): string | undefined {
    return this.#rows.floors.of(this.prefix + key)
  }

  raiseFloor(key: string, version: string): void {
    const { runtime, floorMs } = this.#options
    this.#rows.floors.raise(this.prefix + key, version, runtime, floorMs)
  }

  forgetFloor(key: string): void {
    this.#rows.floors.forget(this.prefix + key)
  }

  isBelow(key: string, version: string): boolean {
    return this.#rows.floors.isBelow(this.prefix + key, version)
  }

  /** A strong read that began at `moment` returned `version`: see {@link VersionFloors.reached}. */
  reached(key: string, version: string, moment: number): void {
    this.#rows.floors.reached(this.prefix + key, version, moment)
  }

  /** Dirties the key in every store. */
  dirty(key: string, own?: Load): void {
    this.#options.member.dirty(key, own)
    if (!this.#isAlone()) this.#others(key, (member, key) => member.dirty(key, own))
  }

  /** Dirties every key of this store, in every store that may hold one of them. */
  dirtyAll(quarantineMs = 0): void {
    this.#options.member.dirtyAll(quarantineMs)
    for (const place of this.#rows.places) {
      const overlaps = place.prefix.startsWith(this.prefix) || this.prefix.startsWith(place.prefix)
      if (place !== this && overlaps) place.#options.member.dirtyAll(quarantineMs)
    }
  }

  /**
   * Another process wrote the key, or invalidated it: `version` is what it wrote, if that is known; `quarantineMs` as in
   * {@link Place.quarantine}, 0 for none.
   */
  written(key: string, version: string | undefined, quarantineMs: number): void {
    if (version !== undefined) this.raiseFloor(key, version)
    if (quarantineMs > 0) {
      if (this.quarantined >= MAX_QUARANTINES) this.dirtyAll(quarantineMs)
      else {
        this.quarantine(key, quarantineMs)
        this.dirty(key)
      }
    } else {
      this.#options.member.written(key, version)
      if (!this.#isAlone()) this.#others(key, (member, key) => member.written(key, version))
    }
  }

  /** Whether `version` is `other` or is known to be newer. */
  isAtLeast(version: string, other: string): boolean {
    return this.#rows.floors.isAtLeast(version, other)
  }

  /** Tells every store what a read of this store returned. */
  answered(key: string, version: string | null | undefined): void {
    this.#options.member.answered(key, version)
    this.tellOthers(key, version)
  }

  /** Tells every other store what a read of this store returned. */
  tellOthers(key: string, version: string | null | undefined): void {
    if (!this.#isAlone()) this.#others(key, (member, key) => member.answered(key, version))
  }

  /** Nearly every store is. Then a read makes no closure. */
  #isAlone(): boolean {
    const { places } = this.#rows
    return places.size === 1 && places.has(this)
  }

  #others(key: string, tell: (member: Member, key: string) => void): void {
    const whole = this.prefix + key
    for (const place of this.#rows.places) {
      if (place === this || !whole.startsWith(place.prefix) || whole === place.prefix) continue
      tell(place.#options.member, whole.slice(place.prefix.length))
    }
  }

  /** This store is told nothing more. Its writes under way, and its quarantines, remain in force for the others. */
  leave(): void {
    this.#rows.places.delete(this)
    this.#rows.retire()
  }
}
