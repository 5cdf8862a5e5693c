import type { Table } from "./table.ts"

/** A promise that did not hold. */
export class Broken extends Error {
  override name = "Broken"
}

/** What the callers of one process have been shown and told, by key: the least state that a cached read may return. */
export class Seen {
  readonly #table: Table
  readonly #floors = new Map<string, number>()

  constructor(table: Table) {
    this.#table = table
  }

  floorOf(key: string): number {
    return this.#floors.get(key) ?? 0
  }

  raise(key: string, state: number): void {
    if (state > this.floorOf(key)) this.#floors.set(key, state)
  }

  /**
   * Checks what a read returned that began at `begunAt`, virtual ms, when the floor of the key was `floor`: it is no older than that, than
   * what was acknowledged `boundMs` before the read, and than what was there `ttlMs` before.
   */
  check(
    key: string,
    text: string | undefined,
    { begunAt, floor, boundMs, ttlMs }: { begunAt: number; floor: number; boundMs: number; ttlMs: number },
  ): void {
    const states = this.#table.statesOf(key)
    const state = this.#table.lastWith(key, text)
    if (state === -1) throw new Broken(`${key} was never ${text}`)
    if (state < floor)
      throw new Broken(`${key}: ${text} is state ${state}, after state ${floor} was shown or written here`)
    const due = states.findLastIndex(({ boundSince }) => boundSince <= begunAt - boundMs)
    if (state < due) {
      const acknowledged = Math.round(begunAt - (states[due]?.boundSince ?? 0))
      throw new Broken(
        `${key}: ${text} is state ${state}, though state ${due} was acknowledged ${acknowledged} ms before the read`,
      )
    }
    const next = states[state + 1]
    if (next !== undefined && next.appliedAt < begunAt - ttlMs) {
      throw new Broken(
        `${key}: ${text} is state ${state}, which was replaced longer ago than L1 holds anything`,
      )
    }
    // Absence comes back, and a write may be applied twice: the read may have found the earliest state that it could return.
    this.raise(key, this.#table.firstWith(key, text, Math.max(floor, due)))
  }
}
