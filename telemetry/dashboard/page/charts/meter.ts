import { h, say, set } from "../elements.ts"

export interface Meter {
  element: Element
  /** `says` is the text beside the bar. */
  show(value: number, limit: number, says: string): void
}

/** A bar that shows how much of a limit is used. */
export function meter(label: string): Meter {
  const bar = h("div", { class: "bar" })
  const text = h("span", { class: "value" })
  const track = h("div", { class: "track", role: "meter", "aria-label": label, "aria-valuemin": "0" }, bar)
  return {
    element: h("div", { class: "meter" }, h("div", { class: "line" }, h("span", {}, label), text), track),
    show(value, limit, says) {
      bar.style.width = `${limit === 0 ? 0 : Math.min(100, (value / limit) * 100)}%`
      set(track, "aria-valuenow", String(value))
      set(track, "aria-valuemax", String(limit))
      set(track, "aria-valuetext", says)
      say(text, says)
    },
  }
}
