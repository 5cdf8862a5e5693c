import { STEP_MS } from "../../report.ts"
import { h, say, set, svg } from "../elements.ts"
import type { TimeView } from "../time-view.ts"
import type { Scale } from "./paths.ts"

const HEIGHT = 176
/** Where the highest value is drawn, px from the top. */
const TOP = 16
/** Where 0 or the lowest value is drawn, px from the top. */
const BOTTOM = HEIGHT - 2

/** How far each key moves the selected moment into the past, ms. */
const STEPS_MS: Readonly<Record<string, number>> = {
  ArrowLeft: STEP_MS,
  ArrowDown: STEP_MS,
  ArrowRight: -STEP_MS,
  ArrowUp: -STEP_MS,
  PageDown: 60_000,
  PageUp: -60_000,
  Home: Number.POSITIVE_INFINITY,
  End: Number.NEGATIVE_INFINITY,
  Escape: Number.NEGATIVE_INFINITY,
}

export interface Axes {
  ticks: readonly number[]
  /** The text at a tick. */
  label: (tick: number) => string
  y: Scale
}

/** The frame of a chart with axes; one unit is one pixel. It is a slider that selects a moment. */
export class Plot {
  readonly element: HTMLElement
  readonly #time: TimeView
  readonly #frame: HTMLElement
  readonly #drawing: SVGSVGElement
  readonly #grid = svg("g", { class: "grid" })
  readonly #labels = svg("g", { class: "labels" })
  readonly #cursor = svg("line", { class: "cursor", y1: String(TOP - 6), y2: String(BOTTOM) })
  readonly #oldest = h("span", {})
  #saidMs = -1
  /** Kept, because asking for it makes the browser lay out the page. */
  #width = 1

  constructor(time: TimeView, title: string, paths: readonly SVGPathElement[]) {
    this.#time = time
    this.#drawing = svg(
      "svg",
      { height: String(HEIGHT), "aria-hidden": "true" },
      this.#grid,
      ...paths,
      this.#labels,
      this.#cursor,
    )
    this.#frame = h(
      "div",
      {
        class: "plot",
        role: "slider",
        tabindex: "0",
        "aria-label": `${title}: moment shown`,
        "aria-valuemax": "0",
      },
      this.#drawing,
    )
    const times = h("div", { class: "times", "aria-hidden": "true" }, this.#oldest, h("span", {}, "now"))
    this.element = h("div", {}, this.#frame, times)
    this.#listen()
  }

  /** The height of a share of the plot, from 0 at the bottom to 1 at the top. */
  static heightOf(share: number): number {
    return BOTTOM - share * (BOTTOM - TOP)
  }

  /**
   * Draws the axes, and returns the scale of time. `says`: the values at the selected moment, as text for screen readers.
   */
  prepare({ ticks, label, y }: Axes, nowMs: number, says: string): Scale {
    const { spanMs, agoMs } = this.#time
    const width = this.#width
    set(this.#frame, "aria-valuemin", String(-spanMs / 1_000))
    say(this.#oldest, `${spanMs / 60_000} min ago`)
    set(this.#drawing, "viewBox", `0 0 ${width} ${HEIGHT}`)
    set(this.#drawing, "width", String(width))
    this.#grid.replaceChildren(
      ...ticks.map((tick) => {
        const at = String(Math.round(y(tick)) + 0.5)
        return svg("line", { x1: "0", x2: String(width), y1: at, y2: at })
      }),
    )
    this.#labels.replaceChildren(
      ...ticks.map((tick) => {
        const at = { x: "0", y: String(Math.round(y(tick)) - 4) }
        return svg("text", at, label(tick).replace(/\.0+(?=\D)/, ""))
      }),
    )
    const x = (atMs: number) => width - ((nowMs - atMs) / spanMs) * width
    const at = x(nowMs - agoMs).toFixed(1)
    set(this.#cursor, "x1", at)
    set(this.#cursor, "x2", at)
    set(this.#cursor, "class", agoMs === 0 ? "cursor off" : "cursor")
    this.#announce(says)
    return x
  }

  /** Only if another moment was selected: otherwise a screen reader would read out the numbers every second. */
  #announce(says: string): void {
    const { agoMs } = this.#time
    if (this.#saidMs === agoMs) return
    set(this.#frame, "aria-valuenow", String(-agoMs / 1_000))
    set(this.#frame, "aria-valuetext", agoMs === 0 ? "now" : `${agoMs / 1_000} s ago: ${says}`)
    this.#saidMs = agoMs
  }

  #listen(): void {
    const [frame, time] = [this.#frame, this.#time]
    new ResizeObserver(([frame]) => {
      this.#width = Math.max(1, Math.round(frame?.contentRect.width ?? 1))
      time.redraw()
    }).observe(frame)
    const point = ({ clientX }: PointerEvent) => {
      const { left, width } = frame.getBoundingClientRect()
      time.pointAt((1 - (clientX - left) / width) * time.spanMs)
    }
    frame.addEventListener("pointerdown", point)
    frame.addEventListener("pointermove", point)
    frame.addEventListener("pointerleave", () => time.pointAt(0))
    frame.addEventListener("blur", () => time.pointAt(0))
    frame.addEventListener("keydown", (event) => {
      const stepMs = STEPS_MS[event.key]
      if (stepMs === undefined) return
      event.preventDefault()
      time.pointAt(time.agoMs + stepMs)
    })
  }
}
