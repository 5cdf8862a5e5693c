import type { Point } from "./paths.ts"

export interface Series {
  label: string
  /** The class in the style sheet that sets its colour. */
  className: string
}

export interface Chart {
  element: Element
  /** `says`: the values at the selected moment, as text for screen readers. */
  draw(points: readonly Point[], nowMs: number, says?: string): void
}
