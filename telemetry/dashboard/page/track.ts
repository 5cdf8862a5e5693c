import { type PointName, type Points, STEPS } from "../report.ts"

/** The last 15 minutes of one store of one process, as far as the page has been told. */
export class Track {
  /** The number of the latest point. */
  step = -1
  /** When the page was last told of it, ms on its monotonic clock. */
  seenMs = 0
  /** Points that are known, the latest included. */
  known = 0
  readonly #series = new Map<PointName, number[]>()

  /** Adds the points up to `step`. What lies between them and those known before is not known. */
  add(step: number, { steps, values }: Points, atMs: number): void {
    this.seenMs = atMs
    const moved = this.step < 0 ? STEPS : step - this.step
    if (moved < 0) this.#forget()
    if (moved > 0) {
      for (const series of this.#series.values()) {
        series.splice(0, moved)
        while (series.length < STEPS) series.push(0)
      }
      this.known = moved > steps ? 0 : this.known + moved
    }
    this.step = step
    this.known = Math.min(STEPS, Math.max(this.known, steps))
    for (const [name, points] of Object.entries(values) as [PointName, number[]][]) {
      const series = this.#series.get(name) ?? new Array<number>(STEPS).fill(0)
      this.#series.set(name, series)
      series.splice(STEPS - points.length, points.length, ...points)
    }
  }

  /** The value of a series so many points before the latest; `undefined` if that is not known. */
  at(name: PointName, back: number): number | undefined {
    if (back >= this.known) return undefined
    return this.#series.get(name)?.[STEPS - 1 - back] ?? 0
  }

  #forget(): void {
    this.#series.clear()
    this.known = 0
  }
}
