/** The time that all charts show: how far they go back, and the moment that they point at. */
export class TimeView {
  readonly #onMove: () => void
  #agoMs = 0
  /** How far back the charts go, ms. */
  spanMs = 60_000

  /** `onMove` runs whenever the charts point at another moment. */
  constructor(onMove: () => void) {
    this.#onMove = onMove
  }

  /** How long before now the moment pointed at is, ms; 0 for now itself. */
  get agoMs(): number {
    return this.#agoMs
  }

  /** Points at a moment, rounded to a second of the span. */
  pointAt(agoMs: number): void {
    this.#agoMs = Math.min(this.spanMs, Math.max(0, Math.round(agoMs / 1_000) * 1_000))
    this.#onMove()
  }
}
