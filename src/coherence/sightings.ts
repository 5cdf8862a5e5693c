import type { Backend } from "../../tiers/backend.ts"
import type { Runtime } from "../../tiers/runtime.ts"

/** Keys whose last sighting is kept, at most. */
const MAX_SIGHTINGS = 10_000

/**
 * When this process last wrote, invalidated, or showed each key: a replica may answer a cached read only if it has everything from before that
 * moment, and from the moment itself. So no read goes behind what this process has written or shown, however far a replica lags. Nothing
 * is kept for a backend without replicas.
 */
export class Sightings {
  readonly #runtime: Runtime
  readonly #replicatedUntil: (() => number | undefined) | undefined
  /** Key → monotonic ms, the oldest first. */
  readonly #at = new Map<string, number>()
  /** The same for every other key: what was seen before is not known. */
  #others: number

  constructor(backend: Backend, runtime: Runtime) {
    this.#runtime = runtime
    this.#replicatedUntil = backend.replicatedUntil?.bind(backend)
    this.#others = runtime.monotonic()
  }

  /** The moment as of which a cached read of `key` that begins now may be answered; `undefined`: it has to be strongly consistent. */
  asOf(key: string): number | undefined {
    const until = this.#replicatedUntil?.()
    return until !== undefined && (this.#at.get(key) ?? this.#others) < until ? until : undefined
  }

  /** This process has written, invalidated or shown `key`. */
  saw(key: string): void {
    if (this.#replicatedUntil === undefined) return
    this.#at.delete(key)
    this.#at.set(key, this.#runtime.monotonic())
    if (this.#at.size <= MAX_SIGHTINGS) return
    for (const [oldest, at] of this.#at) {
      this.#at.delete(oldest)
      this.#others = Math.max(this.#others, at)
      return
    }
  }

  /** Everything was invalidated. */
  sawAll(): void {
    this.#at.clear()
    this.#others = this.#runtime.monotonic()
  }
}
