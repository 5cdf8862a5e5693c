import { type Runtime, systemRuntime } from "../../tiers/runtime.ts"
import type { TestRuntime } from "../support/runtime.ts"

/** The clocks of one machine: the monotonic one is that of the race, and the wall clock has an error of its own and is stepped. */
export class Clocks {
  readonly runtime: Runtime
  readonly #time: TestRuntime
  /** The errors that the wall clock has had, ms, each with the time of the race from which on. */
  readonly #errors: { readonly since: number; readonly ms: number }[]

  constructor(time: TestRuntime, errorMs: number) {
    this.#time = time
    this.#errors = [{ since: Number.NEGATIVE_INFINITY, ms: errorMs }]
    this.runtime = { ...time, now: () => this.now() }
  }

  /** The wall clock, Unix ms. */
  now(): number {
    return this.#time.now() + this.#errorMs
  }

  step(ms: number): void {
    this.#errors.push({ since: this.#time.now(), ms: this.#errorMs + ms })
  }

  /** The earliest time that the wall clock has shown since this time of the race. */
  earliest(since: number): number {
    return Math.min(...this.#shownSince(since).map(({ from }) => from))
  }

  /** The latest time that the wall clock has shown since this time of the race. */
  latest(since: number): number {
    return Math.max(...this.#shownSince(since).map(({ to }) => to))
  }

  get #errorMs(): number {
    return this.#errors.at(-1)?.ms ?? 0
  }

  #shownSince(since: number): { from: number; to: number }[] {
    return this.#errors.flatMap((error, index) => {
      const until = this.#errors[index + 1]?.since ?? this.#time.now()
      if (until < since) return []
      return [{ from: Math.max(error.since, since) + error.ms, to: until + error.ms }]
    })
  }
}

/** Makes the runtime of the system, over which L1 takes its shortcuts, this one. The result undoes that. */
export function asSystem({ now, monotonic, random, id, setTimer }: Runtime): () => void {
  const real = { ...systemRuntime }
  Object.assign(systemRuntime, { now, monotonic, random, id, setTimer })
  return () => void Object.assign(systemRuntime, real)
}
