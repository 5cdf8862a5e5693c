import { LRUCache } from "lru-cache"
import type { Runtime } from "../../tiers/runtime.ts"

/** Longest wait after the first failed refresh of a key, ms. Each further failure doubles it. */
const REFRESH_BACKOFF_MS = 1_000
const REFRESH_BACKOFF_MAX_MS = 30_000
/** Keys whose failures are remembered, at most. */
const MAX_KEYS = 10_000

interface Failures {
  count: number
  /** Monotonic ms before which the key is not refreshed again. */
  until: number
}

/** Delays the refreshes of a key after failures: otherwise each hit of a hot entry would call the failing origin. */
export class RefreshBackoff {
  readonly #runtime: Runtime
  #failures: LRUCache<string, Failures> | undefined

  constructor(runtime: Runtime) {
    this.#runtime = runtime
  }

  isDue(key: string): boolean {
    const failures = this.#failures?.get(key)
    return failures === undefined || failures.until <= this.#runtime.monotonic()
  }

  failed(key: string): void {
    this.#failures ??= new LRUCache({ max: MAX_KEYS })
    const count = (this.#failures.get(key)?.count ?? 0) + 1
    const backoffMs = Math.min(REFRESH_BACKOFF_MAX_MS, REFRESH_BACKOFF_MS * 2 ** (count - 1))
    // Uniform between half of the bound and the bound, so that keys that failed together are not refreshed together.
    const waitMs = backoffMs * (1 - this.#runtime.random() / 2)
    this.#failures.set(key, { count, until: this.#runtime.monotonic() + waitMs })
  }

  succeeded(key: string): void {
    this.#failures?.delete(key)
  }
}
