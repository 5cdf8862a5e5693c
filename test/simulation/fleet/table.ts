/** A state of a key: what one application of a write left. */
interface State {
  /** Absent after a delete. */
  readonly text: string | undefined
  readonly version: string
  /** Virtual ms. */
  readonly appliedAt: number
  /** Since when every covered process has to show this state or a later one: its acknowledgement. */
  boundSince: number
}

/** A row, as the table holds it. */
export interface Row {
  readonly text: string
  readonly version: string
  readonly id: string
}

/** The rows of the simulated service, and every state that each key has had. */
export class Table {
  readonly rows = new Map<string, Row>()
  readonly #states = new Map<string, State[]>()
  readonly #isOrdered: boolean
  readonly #now: () => number
  #versions = 0

  constructor(isOrdered: boolean, now: () => number) {
    this.#isOrdered = isOrdered
    this.#now = now
  }

  /** Writes, or with `text` undefined deletes. Returns the version, and the index of the new state. */
  apply(key: string, text: string | undefined, id: string): { version: string; state: number } {
    const count = (++this.#versions).toString(16).padStart(12, "0")
    const version = this.#isOrdered ? count.padStart(16, "0") : `${scrambled(this.#versions)}${count}`
    if (text === undefined) this.rows.delete(key)
    else this.rows.set(key, { text, version, id })
    const states = this.statesOf(key)
    states.push({ text, version, appliedAt: this.#now(), boundSince: Number.POSITIVE_INFINITY })
    return { version, state: states.length - 1 }
  }

  /** The states of a key. The first is that it was never written. */
  statesOf(key: string): State[] {
    let states = this.#states.get(key)
    if (states === undefined) {
      states = [{ text: undefined, version: "", appliedAt: 0, boundSince: 0 }]
      this.#states.set(key, states)
    }
    return states
  }

  /** The last state of `key` with this text. Texts are unique, but a write may be applied again, and absence comes back. */
  lastWith(key: string, text: string | undefined): number {
    return this.statesOf(key).findLastIndex((state) => state.text === text)
  }

  /** The first state of `key` with this text that is not before `from`. */
  firstWith(key: string, text: string | undefined, from: number): number {
    return this.statesOf(key).findIndex((state, index) => index >= from && state.text === text)
  }
}

/** Hexadecimal digits without an order. */
function scrambled(count: number): string {
  return (Math.imul(count, 0x9e3779b1) >>> 0).toString(16).padStart(8, "0")
}
