import { STEP_MS } from "../report.ts"

/** The time that all charts show: their span, and the selected moment. */
export class TimeView {
  readonly #onMove: () => void
  #agoMs = 0
  /** How far back the charts go, ms. */
  spanMs = 60_000

  /** `onMove` draws the charts: another moment is selected, or they have another size. */
  constructor(onMove: () => void) {
    this.#onMove = onMove
  }

  /** Draws all charts anew. */
  redraw(): void {
    this.#onMove()
  }

  /** How long before now the selected moment is, ms; 0 for now. */
  get agoMs(): number {
    return this.#agoMs
  }

  /** Selects a moment, rounded to a step of the span. */
  pointAt(agoMs: number): void {
    this.#agoMs = Math.min(this.spanMs, Math.max(0, Math.round(agoMs / STEP_MS) * STEP_MS))
    this.#onMove()
  }
}
