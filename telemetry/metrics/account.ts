import { COUNTED, type Reading, sum } from "./series.ts"

/** A failed operation, by the attributes of `errors`. */
export interface ErrorKind {
  readonly operation: string
  readonly type: string
}

/** The number of errors by kind. */
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

/** One open store, as an account reads it. */
export interface Source {
  read(): Reading
  readonly errors: ErrorCounts
  /** The durations of L1 hits since the last call, s. */
  takeSamples(): Iterable<number>
}

/**
 * All stores of one name. Two observations of equal attributes overwrite each other, so the stores are added up here. The
 * counts of a closed store are kept, because a counter must not go down.
 */
export class Account {
  readonly #sources = new Set<Source>()
  /** The counts of the closed stores, in the order of {@link COUNTED}. */
  readonly #left: (number | undefined)[] = COUNTED.map(() => undefined)
  readonly #errorsLeft = new ErrorCounts()

  enter(source: Source): void {
    this.#sources.add(source)
  }

  leave(source: Source): void {
    if (!this.#sources.delete(source)) return
    const reading = source.read()
    for (const [i, series] of COUNTED.entries()) this.#left[i] = plus(this.#left[i], series.read(reading))
    this.#errorsLeft.addAll(source.errors)
  }

  get sources(): Iterable<Source> {
    return this.#sources
  }

  readings(): Reading[] {
    return [...this.#sources].map((source) => source.read())
  }

  /** The sum of each of {@link COUNTED}, over the open stores and the closed ones. */
  counted(readings: readonly Reading[]): (number | undefined)[] {
    return COUNTED.map((series, i) => plus(this.#left[i], sum(series, readings)))
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
