import type { StoredEntry } from "../../tiers/backend.ts"
import type { Table } from "./table.ts"

/** The replicas of a table, as one process reaches them: each read finds a key in any state that is not older than asked for. */
export class Replica {
  readonly #table: Table
  #lagMs: number
  #until = Number.NEGATIVE_INFINITY

  constructor(table: Table, lagMs: number) {
    this.#table = table
    this.#lagMs = lagMs
  }

  /** From now on it does not lag. */
  catchUp(): void {
    this.#lagMs = 0
  }

  /** As `Backend.replicatedUntil`. */
  until(): number {
    const { runtime } = this.#table
    this.#until = Math.max(this.#until, runtime.monotonic() - Math.floor(runtime.random() * this.#lagMs))
    return this.#until
  }

  /** The time of the race at a moment of the monotonic clock. */
  timeOf(asOf: number): number {
    const { runtime } = this.#table
    return runtime.now() - (runtime.monotonic() - asOf)
  }

  get(key: string, asOf: number): StoredEntry | undefined {
    const { history, runtime } = this.#table
    const at = this.timeOf(asOf)
    const current = history.current(key)
    const oldest = history.of(key).findIndex((_, index) => history.supersededAt(key, index) >= at)
    const behind = this.#lagMs === 0 ? 0 : Math.floor(runtime.random() * (current - oldest + 1))
    const state = history.state(key, current - behind)
    const { text, version, expiresAt } = state
    if (text === undefined || version === undefined || !history.isLive(state)) return undefined
    return { value: Buffer.from(text), version, ...(expiresAt === undefined ? {} : { expiresAt }) }
  }

  getMany(keys: readonly string[], asOf: number): Map<string, StoredEntry> {
    const found = new Map<string, StoredEntry>()
    for (const key of keys) {
      const entry = this.get(key, asOf)
      if (entry !== undefined) found.set(key, entry)
    }
    return found
  }
}
