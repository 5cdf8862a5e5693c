import { COUNTED, type Reading, sum } from "./series.ts"

/** A failed operation, as `errors` tells it apart. */
export interface ErrorKind {
  readonly operation: string
  readonly type: string
}

/** How often each kind of error came up. */
export class ErrorCounts {
  readonly #counts = new Map<string, { kind: ErrorKind; count: number }>()

  add(kind: ErrorKind, count = 1): void {
    const id = `${kind.operation} ${kind.type}`
    const known = this.#counts.get(id)
    if (known === undefined) this.#counts.set(id, { kind, count })
    else known.count += count
  }

  addAll(others: ErrorCounts): void {
    for (const { kind, count } of others) this.add(kind, count)
  }

  [Symbol.iterator](): Iterator<Readonly<{ kind: ErrorKind; count: number }>> {
    return this.#counts.values()
  }
}

/** One open store, as its account reads it. */
export interface Source {
  read(): Reading
  readonly errors: ErrorCounts
  /** The durations of L1 hits taken since they were last asked for, s. */
  takeSamples(): Iterable<number>
}

/**
 * All stores of one name. Two observations of equal attributes would overwrite each other, so they are added up here. A
 * store that is closed leaves its counts behind: what only grows must not shrink.
 */
export class Account {
  readonly #sources = new Set<Source>()
  readonly #left: (number | undefined)[] = COUNTED.map(() => undefined)
  readonly #errorsLeft = new ErrorCounts()

  enter(source: Source): void {
    this.#sources.add(source)
  }

  leave(source: Source): void {
    if (!this.#sources.delete(source)) return
    const reading = source.read()
    for (const [i, row] of COUNTED.entries()) this.#left[i] = plus(this.#left[i], row.read(reading))
    this.#errorsLeft.addAll(source.errors)
  }

  get sources(): Iterable<Source> {
    return this.#sources
  }

  readings(): Reading[] {
    return [...this.#sources].map((source) => source.read())
  }

  /** The row `i` of {@link COUNTED}, over the open stores and the closed ones. */
  counted(i: number, readings: readonly Reading[]): number | undefined {
    const row = COUNTED[i]
    return row && plus(this.#left[i], sum(row, readings))
  }

  errors(): ErrorCounts {
    const all = new ErrorCounts()
    all.addAll(this.#errorsLeft)
    for (const source of this.#sources) all.addAll(source.errors)
    return all
  }
}

function plus(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined ? b : a + (b ?? 0)
}
