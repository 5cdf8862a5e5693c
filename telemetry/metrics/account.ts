import type { ErrorStats } from "../../src/failures.ts"
import { COUNTED, type Reading, sum } from "./series.ts"

/** A duration of an L1 hit. */
export interface Sample {
  readonly seconds: number
  /** `cache.operation` */
  readonly operation: string
}

/** One open store, as an account reads it. */
export interface Source {
  read(): Reading
  /** The durations of L1 hits since the last call. */
  takeSamples(): Iterable<Sample>
}

/** The final counts of a store that has left. */
interface Left {
  /** In the order of {@link COUNTED}. */
  readonly counts: readonly (number | undefined)[]
  readonly errors: readonly ErrorStats[]
}

/**
 * All stores of one name. Two observations of equal attributes overwrite each other, so the stores are added up here. While a store of
 * the name is open, the counts of those that left are kept, because a counter must not go down.
 */
export class Account {
  readonly #sources = new Set<Source>()
  /** The stores that have left and may enter again, because their provider was replaced. */
  readonly #away = new Map<Source, Left>()
  /** The closed stores, in one. */
  #closed: Left = { counts: COUNTED.map(() => undefined), errors: [] }

  /** A store enters, or enters again with all that it has counted. */
  enter(source: Source): void {
    this.#away.delete(source)
    this.#sources.add(source)
  }

  leave(source: Source): void {
    if (!this.#sources.delete(source)) return
    const reading = source.read()
    const counts = COUNTED.map((series) => series.read(reading))
    this.#away.set(source, { counts, errors: reading.stats.errors })
  }

  /** A store that has left was closed, and does not enter again. */
  closed(source: Source): void {
    const left = this.#away.get(source)
    if (left === undefined) return
    this.#away.delete(source)
    const counts = this.#closed.counts.map((count, i) => plus(count, left.counts[i]))
    this.#closed = { counts, errors: addUp([...this.#closed.errors, ...left.errors]) }
  }

  /** Whether no store of the name is open. */
  get isEmpty(): boolean {
    return this.#sources.size === 0
  }

  get sources(): Iterable<Source> {
    return this.#sources
  }

  readings(): Reading[] {
    return [...this.#sources].map((source) => source.read())
  }

  /** The sum of each of {@link COUNTED}, over the open stores and those that have left. */
  counted(readings: readonly Reading[]): (number | undefined)[] {
    const left = this.#left()
    return COUNTED.map((series, i) =>
      left.reduce((total, { counts }) => plus(total, counts[i]), sum(series, readings)),
    )
  }

  errors(readings: readonly Reading[]): ErrorStats[] {
    const left = this.#left().flatMap(({ errors }) => errors)
    return addUp([...left, ...readings.flatMap(({ stats }) => stats.errors)])
  }

  #left(): Left[] {
    return [this.#closed, ...this.#away.values()]
  }
}

/** One for each kind, with the sum of its counts. */
function addUp(all: readonly ErrorStats[]): ErrorStats[] {
  const kinds = new Map<string, ErrorStats>()
  for (const error of all) {
    const id = `${error.operation} ${error.tier} ${error.type}`
    const known = kinds.get(id)
    kinds.set(id, { ...error, count: error.count + (known?.count ?? 0) })
  }
  return [...kinds.values()]
}

function plus(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined ? b : a + (b ?? 0)
}
