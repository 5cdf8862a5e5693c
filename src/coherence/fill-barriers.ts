import type { Runtime, Timer } from "../../tiers/runtime.ts"

/**
 * The keys that no read may fill into L1: keys with a write under way, and keys in quarantine, because the service may still apply
 * an attempt that was given up without an answer.
 */
export class FillBarriers {
  readonly #runtime: Runtime
  readonly #quarantineMs: number
  /** Key → number of writes under way and quarantines. */
  readonly #held = new Map<string, number>()
  readonly #quarantines = new Set<Timer>()

  constructor(runtime: Runtime, quarantineMs: number) {
    this.#runtime = runtime
    this.#quarantineMs = quarantineMs
  }

  has(key: string): boolean {
    return this.#held.has(key)
  }

  raise(key: string): void {
    this.#held.set(key, (this.#held.get(key) ?? 0) + 1)
  }

  lower(key: string): void {
    const held = (this.#held.get(key) ?? 1) - 1
    if (held === 0) this.#held.delete(key)
    else this.#held.set(key, held)
  }

  /** Raises a barrier for `key` that is lowered after the quarantine; `before` runs just before that. */
  quarantine(key: string, before: () => void): void {
    this.raise(key)
    const timer = this.#runtime.setTimer(() => {
      this.#quarantines.delete(timer)
      before()
      this.lower(key)
    }, this.#quarantineMs)
    this.#quarantines.add(timer)
  }

  /** Quarantines in force. */
  get quarantined(): number {
    return this.#quarantines.size
  }

  close(): void {
    for (const timer of this.#quarantines) timer.cancel()
    this.#quarantines.clear()
  }
}
