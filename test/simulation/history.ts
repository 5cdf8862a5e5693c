import { isDeepStrictEqual } from "node:util"

/** One value that a key had in the table, or its absence. */
export interface State {
  /** No two writes have the same; `undefined` is a deletion. */
  readonly text: string | undefined
  /** Unix ms. */
  readonly expiresAt: number | undefined
  /** When it was applied, Unix ms. */
  readonly appliedAt: number
}

/** What a read that starts now must not fall behind, kept until it returns. */
export interface Expectation {
  readonly key: string
  /** The oldest state that the read may show. */
  readonly floor: number
  readonly startedAt: number
  /** What was superseded before this must not be shown, Unix ms. */
  readonly freshSince: number
  /** Whether what it shows came from a load that it waited for, and may have expired while it was stored. */
  readonly loaded?: boolean
}

/**
 * The history of the keys of a table, and what one process may still see of it: the promises of the two tiers, as checks.
 *
 * The floor of a key is the state that the process has been shown, or has been told was written. Reads that start now may
 * show it or a later one.
 */
export class History {
  readonly #now: () => number
  readonly #stalenessMs: number
  readonly #states = new Map<string, State[]>()
  readonly #floors = new Map<string, number>()

  constructor(now: () => number, stalenessMs: number) {
    this.#now = now
    this.#stalenessMs = stalenessMs
  }

  /** Adds a write that any process applied to the table. */
  apply(key: string, text: string | undefined, expiresAt?: number): void {
    this.#of(key).push({ text, expiresAt, appliedAt: this.#now() })
  }

  current(key: string): number {
    return this.#of(key).length - 1
  }

  /** The text that is live in the table. */
  live(key: string): string | undefined {
    const state = this.#of(key).at(-1)
    return state !== undefined && this.#isLive(state, this.#now()) ? state.text : undefined
  }

  /** From now on no read that starts may show anything older than `index`, by default the current state. */
  raise(key: string, index = this.current(key)): void {
    this.#floors.set(key, Math.max(index, this.floor(key)))
  }

  raiseAll(): void {
    for (const key of this.#states.keys()) this.raise(key)
  }

  floor(key: string): number {
    return this.#floors.get(key) ?? 0
  }

  /** A strong read shows the current state or a later one. */
  expectStrong(key: string): Expectation {
    const startedAt = this.#now()
    return { key, floor: this.current(key), startedAt, freshSince: startedAt }
  }

  /**
   * @param readingSince Unix ms at which the oldest read of the key under way was sent, which this one may join
   * @param fenced whether L1 keeps away from the key, so that nothing older than that is shown
   */
  expectCached(key: string, readingSince = Number.POSITIVE_INFINITY, fenced: boolean): Expectation {
    const startedAt = this.#now()
    const heldSince = fenced ? startedAt : startedAt - this.#stalenessMs
    return { key, floor: this.floor(key), startedAt, freshSince: Math.min(heldSince, readingSince) }
  }

  /** Checks the answer of a read, and raises the floor for later reads. */
  returned(expectation: Expectation, text: string | undefined): void {
    const shown = this.#check(expectation, text)
    if (shown !== undefined) this.raise(expectation.key, shown)
  }

  /** Checks what L1 holds at this moment. */
  held(key: string, text: string): void {
    const index = this.indexOf(key, text)
    if (index < this.floor(key))
      throw this.#violation(key, "L1 holds an older value than was shown or written", text)
    const { expiresAt } = this.#state(key, index)
    if (expiresAt !== undefined && expiresAt <= this.#now()) {
      throw this.#violation(key, "L1 holds what has expired", text)
    }
  }

  /** The last state with this text: a write may arrive twice. */
  indexOf(key: string, text: string): number {
    const index = this.#of(key).findLastIndex((state) => state.text === text)
    if (index < 0) throw this.#violation(key, "a value that was never in the table", text)
    return index
  }

  /** The first deletion after state `index`. */
  deletedAfter(key: string, index: number): number {
    const found = this.#of(key).findIndex((state, at) => at > index && state.text === undefined)
    if (found < 0) throw this.#violation(key, "a deletion said it was applied, and none was", undefined)
    return found
  }

  /** Whether a text of this key was ever applied. */
  knows(key: string, text: string): boolean {
    return this.#of(key).some((state) => state.text === text)
  }

  #check(expectation: Expectation, text: string | undefined): number | undefined {
    const { key, floor, startedAt, freshSince } = expectation
    if (text === undefined) {
      const absent = this.#of(key).some(
        (_, index) => index >= floor && this.#wasAbsent(key, index, freshSince),
      )
      if (!absent) throw this.#violation(key, `absent, though it was there from state ${floor} on`, text)
      return undefined
    }
    const index = this.indexOf(key, text)
    if (index < floor)
      throw this.#violation(key, `state ${index}, though a read from state ${floor} on was due`, text)
    const { expiresAt } = this.#state(key, index)
    if (expiresAt !== undefined && expiresAt <= startedAt && !expectation.loaded)
      throw this.#violation(key, "a value that had expired", text)
    const next = this.#of(key)[index + 1]
    if (next !== undefined && next.appliedAt < freshSince) {
      throw this.#violation(key, `a value superseded ${startedAt - next.appliedAt} ms before the read`, text)
    }
    return index
  }

  /**
   * Whether a read may say that the key was absent in this state, if that was still the current one at `since`: what
   * expires while its read is under way counts as absent, too.
   */
  #wasAbsent(key: string, index: number, since: number): boolean {
    const next = this.#of(key)[index + 1]
    if (next !== undefined && next.appliedAt < since) return false
    return !this.#isLive(this.#state(key, index), this.#now())
  }

  #isLive({ text, expiresAt }: State, at: number): boolean {
    return text !== undefined && (expiresAt === undefined || expiresAt > at)
  }

  #state(key: string, index: number): State {
    const state = this.#of(key)[index]
    if (state === undefined) throw new Error(`${key} has no state ${index}`)
    return state
  }

  #of(key: string): State[] {
    const states = this.#states.get(key)
    if (states !== undefined) return states
    const first: State[] = [{ text: undefined, expiresAt: undefined, appliedAt: Number.NEGATIVE_INFINITY }]
    this.#states.set(key, first)
    return first
  }

  #violation(key: string, what: string, text: string | undefined): PromiseBroken {
    const states = this.#of(key).map(({ text }, index) => `${index}:${text ?? "-"}`)
    return new PromiseBroken(
      `${key}=${text ?? "-"}: ${what}; it was ${states.join(" ")} at floor ${this.floor(key)}`,
    )
  }
}

/** A promise of the two tiers that was not kept. */
export class PromiseBroken extends Error {}

export function mustBe(what: string, found: unknown, wanted: unknown): void {
  if (isDeepStrictEqual(found, wanted)) return
  throw new PromiseBroken(`${what}: ${JSON.stringify(found)} instead of ${JSON.stringify(wanted)}`)
}
