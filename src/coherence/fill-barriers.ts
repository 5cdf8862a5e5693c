import type { Runtime, Timer } from "../../tiers/runtime.ts"

/**
 * The keys that no read may fill into L1: keys with a write under way, and keys in quarantine, because the service may still apply
 * an attempt that was given up without an answer.
 */
export class FillBarriers {
  /** Key → number of writes under way and quarantines. */
  readonly #held = new Map<string, number>()
  /** The timers of the quarantines, with their keys. */
  readonly #quarantines = new Map<Timer, string>()

  has(key: string): boolean {
    return this.#held.has(key)
  }

  /** Keys with a barrier. */
  get size(): number {
    return this.#held.size
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
  quarantine(key: string, runtime: Runtime, quarantineMs: number, before: () => void): void {
    this.raise(key)
    const timer = runtime.setTimer(() => {
      this.#quarantines.delete(timer)
      before()
      this.lower(key)
    }, quarantineMs)
    this.#quarantines.set(timer, key)
  }

  /** Quarantines in force. */
  get quarantined(): number {
    return this.#quarantines.size
  }

  /** Ends the quarantines. Writes under way keep their barriers. */
  endQuarantines(): void {
    for (const [timer, key] of this.#quarantines) {
      timer.cancel()
      this.lower(key)
    }
    this.#quarantines.clear()
  }
}
