import type { Point } from "./paths.ts"

export interface Series {
  label: string
  /** Names its colour in the style sheet. */
  className: string
}

export interface Chart {
  element: Element
  /** `says` tells a screen reader what is shown at the moment pointed at. */
  draw(points: readonly Point[], nowMs: number, says?: string): void
}
