import { isDeepStrictEqual } from "node:util"
import type { Clocks } from "./clocks.ts"

/** One value that a key had in the table, or its absence. */
export interface State {
  /** No two writes have the same; `undefined` is a deletion. */
  readonly text: string | undefined
  /** Unix ms. */
  readonly expiresAt: number | undefined
  /** When it was applied, in the time of the race. */
  readonly appliedAt: number
  /** The version of the row; `undefined` of a deletion. */
  readonly version: string | undefined
  /** Whether the attempt that left it had no condition. */
  readonly unconditional: boolean
}

/** The states of the keys of a table, in order. Each key begins absent. */
export class History {
  /** The time of the race, which is never stepped, ms. */
  readonly now: () => number
  /** The clocks of the table. */
  readonly clocks: Clocks
  readonly #states = new Map<string, State[]>()

  constructor(now: () => number, clocks: Clocks) {
    this.now = now
    this.clocks = clocks
  }

  /** Adds a write that any process applied to the table. Returns its index. */
  apply(key: string, state: Omit<State, "appliedAt">): number {
    return this.of(key).push({ ...state, appliedAt: this.now() }) - 1
  }

  current(key: string): number {
    return this.of(key).length - 1
  }

  /** The text that is live in the table, and by these clocks. */
  live(key: string, clocks: Clocks = this.clocks): string | undefined {
    const state = this.state(key, this.current(key))
    return this.isLive(state) && this.isLive(state, clocks.now()) ? state.text : undefined
  }

  /** @param at Unix ms. @default by the clock of the table */
  isLive({ text, expiresAt }: State, at = this.clocks.now()): boolean {
    return text !== undefined && (expiresAt === undefined || expiresAt > at)
  }

  /** When the state stopped being the current one, in the time of the race. */
  supersededAt(key: string, index: number): number {
    return this.of(key)[index + 1]?.appliedAt ?? Number.POSITIVE_INFINITY
  }

  /** The last state with this text: a write may arrive twice. */
  indexOf(key: string, text: string): number {
    const index = this.of(key).findLastIndex((state) => state.text === text)
    if (index < 0) throw this.violation(key, "a value that was never in the table", text)
    return index
  }

  state(key: string, index: number): State {
    const state = this.of(key)[index]
    if (state === undefined) throw new Error(`${key} has no state ${index}`)
    return state
  }

  of(key: string): State[] {
    const states = this.#states.get(key)
    if (states !== undefined) return states
    const absent = { text: undefined, expiresAt: undefined, version: undefined, unconditional: false }
    const first: State[] = [{ ...absent, appliedAt: Number.NEGATIVE_INFINITY }]
    this.#states.set(key, first)
    return first
  }

  keys(): Iterable<string> {
    return this.#states.keys()
  }

  violation(key: string, what: string, text: string | undefined): PromiseBroken {
    const states = this.of(key).map(({ text }, index) => `${index}:${text ?? "-"}`)
    return new PromiseBroken(`${key}=${text ?? "-"}: ${what}; it was ${states.join(" ")}`)
  }
}

/** What a read that starts now must not fall behind, kept until it returns. */
export interface Expectation {
  readonly key: string
  /** The oldest state that the read may show. */
  readonly floor: number
  /** The oldest state in which the read may find the key absent. */
  readonly absentFloor: number
  /** In the time of the race. */
  readonly startedAt: number
  /** What was superseded before this must not be shown, in the time of the race. */
  readonly freshSince: number
  /** Whether what it shows came from a load that it waited for, and may have expired while it was stored. */
  readonly loaded?: boolean
  /** Whether it brings more than one key, so that this one may expire on the way. */
  readonly waits?: boolean
  /** Whether the clock of the table alone decides what has expired. */
  readonly byTable?: boolean
}

/**
 * What one process may still see of a table: the promises of the two tiers about reads, as checks.
 *
 * The floor of a key is the state that the process has been shown, or has been told was written. Reads that start now
 * may show it or a later one. An absence counts as shown, too. `exists` shows that the key was there, and not with which value: after it no
 * read may find the key absent in an older state.
 */
export class Seen {
  readonly #history: History
  readonly #clocks: Clocks
  readonly #stalenessMs: number
  readonly #floors: Map<string, number>
  readonly #absentFloors: Map<string, number>

  /**
   * @param clocks those of the process
   * @param stalenessMs the time to live of L1; 0 without L1
   * @param other what another store of the process may see: the two have their floors in common
   */
  constructor(history: History, clocks: Clocks, stalenessMs: number, other?: Seen) {
    this.#history = history
    this.#clocks = clocks
    this.#stalenessMs = stalenessMs
    this.#floors = other === undefined ? new Map() : other.#floors
    this.#absentFloors = other === undefined ? new Map() : other.#absentFloors
  }

  /** What a second store of the process may see. */
  beside(stalenessMs: number): Seen {
    return new Seen(this.#history, this.#clocks, stalenessMs, this)
  }

  /** From now on no read that starts may show anything older than `index`, by default the current state. */
  raise(key: string, index = this.#history.current(key)): void {
    this.#floors.set(key, Math.max(index, this.floor(key)))
  }

  raiseAll(): void {
    for (const key of this.#history.keys()) this.raise(key)
  }

  floor(key: string): number {
    return this.#floors.get(key) ?? 0
  }

  /** A strong read shows the current state or a later one. */
  expectStrong(key: string): Expectation {
    const startedAt = this.#history.now()
    const floor = this.#history.current(key)
    return { key, floor, absentFloor: floor, startedAt, freshSince: startedAt }
  }

  /**
   * A cached read is never staler than L1's time to live, whether L1 answers or a read under way.
   *
   * @param fencedSince if L1 keeps away from the key: when the oldest read of it under way was sent, in the time of the race
   */
  expectCached(key: string, fencedSince: number | undefined): Expectation {
    const startedAt = this.#history.now()
    const freshSince = Math.max(startedAt - this.#stalenessMs, fencedSince ?? Number.NEGATIVE_INFINITY)
    const floor = this.floor(key)
    const absentFloor = Math.max(floor, this.#absentFloors.get(key) ?? 0)
    return { key, floor, absentFloor, startedAt, freshSince }
  }

  /** Checks the answer of a read, and raises the floor for later reads. */
  returned(expectation: Expectation, text: string | undefined): void {
    if (text === undefined) {
      this.existed(expectation, false)
      return
    }
    const { key, floor, startedAt, freshSince } = expectation
    const index = this.#history.indexOf(key, text)
    if (index < floor) throw this.#violation(key, `state ${index}, though one from ${floor} on was due`, text)
    const { expiresAt } = this.#history.state(key, index)
    const clocks = expectation.byTable ? this.#history.clocks : this.#clocks
    const returnedAt = expectation.waits ? clocks.earliest(startedAt) : clocks.now()
    if (expiresAt !== undefined && expiresAt <= returnedAt && !expectation.loaded)
      throw this.#violation(key, "a value that had expired", text)
    const age = startedAt - this.#history.supersededAt(key, index)
    if (freshSince > this.#history.supersededAt(key, index))
      throw this.#violation(key, `a value superseded ${age} ms before the read`, text)
    this.raise(key, index)
  }

  /** Checks whether the key had, or had not, a value that a read said that it had. */
  existed({ key, floor, absentFloor, startedAt, freshSince }: Expectation, there: boolean): void {
    const history = this.#history
    const oldest = there ? floor : absentFloor
    const clocks = [this.#clocks, history.clocks]
    const earliest = Math.min(...clocks.map((each) => each.earliest(startedAt)))
    const latest = Math.max(...clocks.map((each) => each.latest(startedAt)))
    const index = history.of(key).findIndex((state, index) => {
      if (index < oldest || history.supersededAt(key, index) < freshSince) return false
      // What expires while its read is under way counts as absent, too.
      return there ? history.isLive(state, earliest) : !history.isLive(state, latest)
    })
    if (index < 0) {
      const what = there ? "said to be there, and was absent" : "absent, though it was there"
      throw this.#violation(key, `${what} from state ${oldest} on`, undefined)
    }
    if (!there) this.raise(key, index)
    else this.#absentFloors.set(key, Math.max(index, this.#absentFloors.get(key) ?? 0))
  }

  /** Checks what L1 holds at this moment. */
  held(key: string, text: string): void {
    const late = this.late(key, text)
    if (late !== undefined) throw this.#violation(key, late, text)
  }

  /** Checks what L1 holds, except how old it is: says how it is late, if it is. */
  late(key: string, text: string): string | undefined {
    const history = this.#history
    const index = history.indexOf(key, text)
    if (index < this.floor(key))
      throw this.#violation(key, "L1 holds an older value than was shown or written", text)
    if (!history.isLive(history.state(key, index), this.#clocks.now())) return "L1 holds what has expired"
    if (history.supersededAt(key, index) < history.now() - this.#stalenessMs)
      return "L1 holds what was superseded longer ago than its time to live"
    return undefined
  }

  #violation(key: string, what: string, text: string | undefined): PromiseBroken {
    return this.#history.violation(key, `${what}, at floor ${this.floor(key)}`, text)
  }
}

/** A promise of the two tiers that was not kept. */
export class PromiseBroken extends Error {}

export function mustBe(what: string, found: unknown, wanted: unknown): void {
  if (isDeepStrictEqual(found, wanted)) return
  throw new PromiseBroken(`${what}: ${JSON.stringify(found)} instead of ${JSON.stringify(wanted)}`)
}
