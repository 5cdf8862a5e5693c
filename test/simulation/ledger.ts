import { AsyncLocalStorage } from "node:async_hooks"
import type { Condition } from "../../tiers/backend.ts"
import { type History, PromiseBroken } from "./history.ts"

/** `load`: what `getOrSet` stores; it has a condition. */
export type WriteKind = "put" | "create" | "swap" | "delete" | "deleteIf" | "load"

/** `failed`: with an error that says that it was not applied and will not be. `unknown`: nobody was told. */
export type Told = "applied" | "refused" | "failed" | "unknown"

/** One write of one key that a caller asked for, over all its attempts. */
export interface WriteCall {
  readonly key: string
  readonly kind: WriteKind
  readonly text: string | undefined
  /** The state that was current when it began. */
  readonly startedAt: number
  /** The states that it left in the table. */
  readonly effects: number[]
  told: Told | undefined
  /** Whether its caller was told that it may land late; `undefined`: its call does not tell. */
  mayLandLate: boolean | undefined
}

/** What one attempt did to the table. */
export interface Effect {
  readonly index: number
  readonly version: string | undefined
  readonly condition: Condition | undefined
  /** Whether it came after the attempt had ended for its sender. */
  readonly late: boolean
}

/** The writes under way where a delete is sent, by key: a put is known by its text. */
export const writing = new AsyncLocalStorage<ReadonlyMap<string, WriteCall>>()

/**
 * Every write that was asked for, what it did and what its caller was told: exactness under lost replies, as checks.
 *
 * - A write takes effect at most once. Excused are a late landing, and a put that is sent again while its key is absent.
 * - A caller is told `applied` only if the write took effect, or if it has none because another one without a condition came after it, or
 *   because the key was absent, which a delete makes it; `refused` or an error other than `OUTCOME_UNKNOWN` only if it never does.
 * - What lands after its caller was told of it had been announced as `mayLandLate`.
 * - No version is used twice, and of the compare-and-sets on one version at most one is applied.
 */
export class Ledger {
  /** The first broken promise that was found where nothing awaits the answer. */
  broken: PromiseBroken | undefined
  readonly #history: History
  readonly #byText = new Map<string, WriteCall>()
  readonly #versions = new Set<string>()
  /** Versions that came back with a late landing. */
  readonly #landedAgain = new Set<string>()
  readonly #swapped = new Set<string>()

  constructor(history: History) {
    this.#history = history
  }

  begin(kind: WriteKind, key: string, text?: string): WriteCall {
    const startedAt = this.#history.current(key)
    const call: WriteCall = {
      key,
      kind,
      text,
      startedAt,
      effects: [],
      told: undefined,
      mayLandLate: undefined,
    }
    if (text !== undefined) this.#byText.set(text, call)
    return call
  }

  /** The call that sends a put of this text, or the delete of `key` that is sent now. */
  callOf(key: string, text: string | undefined): WriteCall | undefined {
    return text === undefined ? writing.getStore()?.get(key) : this.#byText.get(text)
  }

  /** An attempt of the call took effect. */
  took(call: WriteCall | undefined, { index, version, condition, late }: Effect): void {
    if (version !== undefined) {
      if (this.#versions.has(version)) {
        if (late) this.#landedAgain.add(version)
        else this.breaks(call, `its version ${version} was used before`)
      }
      this.#versions.add(version)
    }
    if (call === undefined) return
    const isAgain = call.effects.length > 0
    call.effects.push(index)
    if (call.told === "refused" || call.told === "failed")
      this.breaks(call, `it took effect, and its caller was told that it was ${call.told}`)
    if (late && call.told === "applied" && call.mayLandLate === false)
      this.breaks(call, "it landed late, and its caller was not told that it may")
    const isExcused = late || (call.kind === "put" && condition !== undefined && "absent" in condition)
    if (isAgain && !isExcused) this.breaks(call, "it took effect twice")
  }

  /** The caller of a write is told what became of it. */
  ended(call: WriteCall, told: Told): void {
    call.told = told
    const { effects, kind } = call
    if ((told === "refused" || told === "failed") && effects.length > 0)
      this.breaks(call, `its caller was told that it was ${told}, and it took effect`)
    if (told === "refused" && (kind === "put" || kind === "delete"))
      this.breaks(call, "it has no condition, and its caller was told that one did not hold")
    if (told !== "applied" || effects.length > 0) return
    if (kind === "delete" ? !this.#wasAbsent(call) && !this.#wasOvertaken(call) : kind !== "put")
      this.breaks(call, "its caller was told that it was applied, and it was not")
    if (kind === "put" && !this.#wasOvertaken(call))
      this.breaks(call, "its caller was told that it was applied, and nothing overtook it")
  }

  /** A write on the condition of this version was applied, its caller was told. */
  swapped(key: string, version: string): void {
    if (this.#swapped.has(version) && !this.#landedAgain.has(version))
      this.broken ??= this.#history.violation(
        key,
        `two compare-and-sets on ${version} were applied`,
        undefined,
      )
    this.#swapped.add(version)
  }

  breaks(call: WriteCall | undefined, what: string): void {
    const { kind, key, text, startedAt } = call ?? { kind: "write", key: "?", text: undefined, startedAt: 0 }
    this.broken ??= new PromiseBroken(
      this.#history.violation(key, `a ${kind} after state ${startedAt}: ${what}`, text).message,
    )
  }

  #wasOvertaken({ key, startedAt, text }: WriteCall): boolean {
    return this.#history
      .of(key)
      .some((state, index) => index > startedAt && state.unconditional && state.text !== text)
  }

  #wasAbsent({ key, startedAt }: WriteCall): boolean {
    const latest = this.#history.clocks.latest(Number.NEGATIVE_INFINITY)
    return this.#history
      .of(key)
      .some((state, index) => index >= startedAt && !this.#history.isLive(state, latest))
  }
}
