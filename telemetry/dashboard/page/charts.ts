import type { PageElement } from "./dom.ts"
import type { Elements } from "./elements.ts"

export interface Point {
  atMs: number
  /** One a series, `undefined` where nothing is known. */
  values: readonly (number | undefined)[]
}

export interface Series {
  label: string
  /** Names its colour in the style sheet. */
  className: string
}

export interface Chart {
  element: PageElement
  /** `says` tells a listener what is shown at the moment pointed at. */
  draw(points: readonly Point[], nowMs: number, says?: string): void
}

type Scale = (value: number) => number

/** Draws in SVG, one pixel a unit, the last `spanMs()` before now. Part of the page's script: it names nothing outside itself. */
export function chartsOf({ h, svg, set, say }: Elements, spanMs: () => number) {
  const HEIGHT = 176
  const TOP = 16
  const BOTTOM = HEIGHT - 2

  /** How long before now the moment is that all charts point at, ms. */
  let agoMs = 0
  let onMove = () => {}

  /** Bands on top of each other, the first at the bottom. */
  function stacked(title: string, series: readonly Series[], label: (tick: number) => string): Chart {
    const bands = series.map(({ className }) => ({
      area: svg("path", { class: `area ${className}` }),
      line: svg("path", { class: `line ${className}` }),
    }))
    // Where a band is thin, its line would hide that of the one below; only the uppermost may.
    const lines = [...bands.slice(0, -1).reverse(), ...bands.slice(-1)].map(({ line }) => line)
    const plot = plotOf(title, [...bands.map(({ area }) => area), ...lines])
    return {
      element: plot.element,
      draw(points, nowMs, says) {
        const sums = points.map(({ atMs, values }) => ({ atMs, values: runningSums(values) }))
        const runs = runsOf(sums)
        const top = niceTop(Math.max(0, ...runs.flat().map(({ values }) => values.at(-1) ?? 0)))
        const y = (value: number) => BOTTOM - (value / top) * (BOTTOM - TOP)
        const x = plot.prepare([0, top / 2, top], y, label, nowMs, says)
        bands.forEach(({ area, line }, index) => {
          const upper = (run: Point[]) => pathOf(run, index, x, y)
          const lower = (run: Point[]) => pathOf([...run].reverse(), index - 1, x, y).replace("M", "L")
          // An empty band would paint its colour over the one below.
          const filled = (at: number) => Boolean(points[at]?.values[index])
          set(line, "d", runsOf(strokes(sums, filled)).map(upper).join(""))
          set(area, "d", runs.map((run) => `${upper(run)}${lower(run)}Z`).join(""))
        })
      },
    }
  }

  /** Lines over a logarithmic scale, which has no place for 0. */
  function logarithmic(title: string, series: readonly Series[], label: (tick: number) => string): Chart {
    const lines = series.map(({ className }) => svg("path", { class: `line ${className}` }))
    const plot = plotOf(title, lines)
    return {
      element: plot.element,
      draw(points, nowMs, says) {
        const powers = points.flatMap(({ values }) =>
          values.flatMap((value) => (value ? Math.log10(value) : [])),
        )
        const low = Math.floor(Math.min(...powers))
        const high = Math.max(low + 1, Math.ceil(Math.max(...powers)))
        const y = (value: number) => BOTTOM - ((Math.log10(value) - low) / (high - low)) * (BOTTOM - TOP)
        const step = Math.ceil((high - low) / 4)
        const ticks = powers.length === 0 ? [] : multiples(low, high, step).map((power) => 10 ** power)
        const x = plot.prepare(ticks, y, label, nowMs, says)
        lines.forEach((line, index) => {
          const own = points.map(({ atMs, values }) => ({ atMs, values: [values[index] || undefined] }))
          set(
            line,
            "d",
            runsOf(own)
              .map((run) => pathOf(run, 0, x, y))
              .join(""),
          )
        })
      },
    }
  }

  /** One line without axes, from 0 to `top`, or else to its highest. Says nothing that does not stand beside it. */
  function spark(className: string, top?: number): Chart {
    const area = svg("path", { class: `area ${className}` })
    const line = svg("path", { class: `line ${className}` })
    const box = { class: "spark", viewBox: "0 0 300 32", preserveAspectRatio: "none", "aria-hidden": "true" }
    const foot = svg("line", { class: "foot", x1: "0", x2: "300", y1: "31", y2: "31" })
    return {
      element: svg("svg", box, foot, area, line),
      draw(points, nowMs) {
        const runs = runsOf(points)
        const highest = top ?? Math.max(1e-9, ...runs.flat().map(({ values }) => values[0] ?? 0))
        const x = (atMs: number) => 300 - ((nowMs - atMs) / spanMs()) * 300
        const y = (value: number) => 31 - (value / highest) * 29
        const upper = runs.map((run) => pathOf(run, 0, x, y))
        const some = runsOf(strokes(points, (at) => Boolean(points[at]?.values[0])))
        set(line, "d", some.map((run) => pathOf(run, 0, x, y)).join(""))
        const back = (run: Point[]) => pathOf([...run].reverse(), -1, x, y).replace("M", "L")
        set(area, "d", runs.map((run, index) => `${upper[index]}${back(run)}Z`).join(""))
      },
    }
  }

  /** The frame of a chart: its axes, and the line that marks the moment pointed at. */
  function plotOf(title: string, paths: readonly PageElement[]) {
    const grid = svg("g", { class: "grid" })
    const labels = svg("g", { class: "labels" })
    const cursor = svg("line", { class: "cursor", y1: String(TOP - 6), y2: String(BOTTOM) })
    const drawing = svg(
      "svg",
      { height: String(HEIGHT), "aria-hidden": "true" },
      grid,
      ...paths,
      labels,
      cursor,
    )
    const plot = h(
      "div",
      { class: "plot", role: "slider", tabindex: "0", "aria-label": `${title}: moment shown` },
      drawing,
    )
    const oldest = h("span", {})
    const times = h("div", { class: "times", "aria-hidden": "true" }, oldest, h("span", {}, "now"))
    set(plot, "aria-valuemax", "0")

    let saidMs = -1

    const moveTo = (ms: number) => {
      agoMs = Math.min(spanMs(), Math.max(0, Math.round(ms / 1_000) * 1_000))
      onMove()
    }
    const point = ({ clientX }: { clientX: number }) => {
      const { left, width } = plot.getBoundingClientRect()
      moveTo((1 - (clientX - left) / width) * spanMs())
    }
    plot.addEventListener("pointerdown", point)
    plot.addEventListener("pointermove", point)
    plot.addEventListener("pointerleave", () => moveTo(0))
    plot.addEventListener("blur", () => moveTo(0))
    plot.addEventListener("keydown", (event) => {
      const steps: Readonly<Record<string, number>> = {
        ArrowLeft: agoMs + 1_000,
        ArrowDown: agoMs + 1_000,
        ArrowRight: agoMs - 1_000,
        ArrowUp: agoMs - 1_000,
        PageDown: agoMs + 10_000,
        PageUp: agoMs - 10_000,
        Home: spanMs(),
        End: 0,
        Escape: 0,
      }
      const ms = steps[event.key]
      if (ms === undefined) return
      event.preventDefault()
      moveTo(ms)
    })

    /** Draws the axes for these ticks; gives the scale of time. */
    function prepare(
      ticks: readonly number[],
      y: Scale,
      label: (tick: number) => string,
      nowMs: number,
      says = "",
    ): Scale {
      const width = Math.max(1, Math.round(plot.getBoundingClientRect().width))
      set(plot, "aria-valuemin", String(-spanMs() / 1_000))
      say(oldest, `${spanMs() / 60_000} min ago`)
      set(drawing, "viewBox", `0 0 ${width} ${HEIGHT}`)
      set(drawing, "width", String(width))
      grid.replaceChildren(
        ...ticks.map((tick) => {
          const at = String(Math.round(y(tick)) + 0.5)
          return svg("line", { x1: "0", x2: String(width), y1: at, y2: at })
        }),
      )
      labels.replaceChildren(
        ...ticks.map((tick) => {
          const at = { x: "0", y: String(Math.round(y(tick)) - 4) }
          return svg("text", at, label(tick).replace(/\.0+(?=\D)/, ""))
        }),
      )
      const x = (atMs: number) => width - ((nowMs - atMs) / spanMs()) * width
      const at = x(nowMs - agoMs).toFixed(1)
      set(cursor, "x1", at)
      set(cursor, "x2", at)
      set(cursor, "class", agoMs === 0 ? "cursor off" : "cursor")
      // Only when it was moved: a screen reader would read every second's numbers out.
      if (saidMs !== agoMs) {
        set(plot, "aria-valuenow", String(-agoMs / 1_000))
        set(plot, "aria-valuetext", agoMs === 0 ? "now" : `${agoMs / 1_000} s ago: ${says}`)
        saidMs = agoMs
      }
      return x
    }
    return { element: h("div", {}, plot, times), prepare }
  }

  /** How full something is, with its limit. */
  function meter(label: string) {
    const bar = h("div", { class: "bar" })
    const text = h("span", { class: "value" })
    const track = h("div", { class: "track", role: "meter", "aria-label": label, "aria-valuemin": "0" }, bar)
    const element = h(
      "div",
      { class: "meter" },
      h("div", { class: "line" }, h("span", {}, label), text),
      track,
    )
    function show(value: number, limit: number, says: string): void {
      bar.style.width = `${limit === 0 ? 0 : Math.min(100, (value / limit) * 100)}%`
      set(track, "aria-valuenow", String(value))
      set(track, "aria-valuemax", String(limit))
      set(track, "aria-valuetext", says)
      say(text, says)
    }
    return { element, show }
  }

  /** The points where there is something to draw, and those that it rises from and falls to; gaps in place of the others. */
  function strokes(points: readonly Point[], some: (at: number) => boolean): Point[] {
    return points.map((point, at) =>
      some(at - 1) || some(at) || some(at + 1) ? point : { ...point, values: [] },
    )
  }

  /** The stretches of points without a gap. */
  function runsOf(points: readonly Point[]): Point[][] {
    const runs: Point[][] = []
    let open = false
    for (const point of points) {
      const known = point.values.length > 0 && point.values.every((value) => value !== undefined)
      if (known && open) runs.at(-1)?.push(point)
      else if (known) runs.push([point])
      open = known
    }
    return runs
  }

  /** Through one value of each point; below the first value lies 0. A single point is a dot. */
  function pathOf(run: readonly Point[], index: number, x: Scale, y: Scale): string {
    const places = run.map(({ atMs, values }) => `${x(atMs).toFixed(1)},${y(values[index] ?? 0).toFixed(1)}`)
    return `M${places.join("L")}${places.length === 1 ? "h0" : ""}`
  }

  function runningSums(values: readonly (number | undefined)[]): (number | undefined)[] {
    let total = 0
    return values.map((value) => {
      if (value === undefined) return undefined
      total += value
      return total
    })
  }

  /** The least of 1, 2, 4, 5, 10, 20, … that is not below `value`; 1 at least. */
  function niceTop(value: number): number {
    const power = 10 ** Math.floor(Math.log10(Math.max(1, value)))
    return [1, 2, 4, 5, 10].map((step) => step * power).find((top) => top >= value) ?? 1
  }

  function multiples(from: number, to: number, step: number): number[] {
    return Array.from({ length: Math.floor((to - from) / step) + 1 }, (_, index) => from + index * step)
  }

  return {
    stacked,
    logarithmic,
    spark,
    meter,
    /** How long before now the charts point, ms. */
    ago: () => agoMs,
    /** Calls back whenever that changes. */
    whenMoved(callback: () => void) {
      onMove = callback
    },
  }
}

export type Charts = ReturnType<typeof chartsOf>
